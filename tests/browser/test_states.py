"""What the page says when not all is well, on a stand-in for the API that can be put into any state."""

from selenium import webdriver

from tests.browser.fake_api import serving
from tests.browser.fake_data import Customer, World
from tests.browser.reading import VIEWS, open_view, text, texts, wait


def test_no_events_fills_itself_when_one_arrives(browser: webdriver.Chrome) -> None:
    with serving("no_events") as (api, address):
        open_view(browser, address, "/")
        assert "Waiting for the first event" in text(browser, "main")
        assert f"curl -i {address}/v1/events" in text(browser, ".command")
        api.world = World()
        wait(browser, "it stays empty", lambda: texts(browser, ".customers tbody tr"))


def test_one_failed_panel_leaves_the_others(browser: webdriver.Chrome) -> None:
    with serving("part_failed") as (api, address):
        open_view(browser, address, "/")
        assert "Newest alerts could not be loaded: 503 alerts are being read" in text(browser, ".failed")
        assert texts(browser, ".customers tbody tr")
        open_view(browser, address, "/pipeline")
        wait(browser, "no frame", lambda: "unassigned" in text(browser, ".partitions tbody tr"))
        assert texts(browser, ".partitions tbody tr td.lag")[0] == "–"
        assert all(lag != "–" for lag in texts(browser, ".partitions tbody tr td.lag")[1:])
        open_view(browser, address, "/")
        assert texts(browser, ".failed")
        browser.find_element("css selector", "button[aria-label=Pause]").click()  # or it would ask again by itself
        api.state = "load"
        browser.find_element("css selector", ".failed button").click()
        wait(browser, "the panel does not heal", lambda: not texts(browser, ".failed"))
        assert texts(browser, ".alert-list li")


def test_the_worst_partition_leads_and_the_others_keep_their_places(browser: webdriver.Chrome) -> None:
    with serving("no_events") as (api, address):
        for number, partition in enumerate(api.world.partitions):
            partition.update(lag=4_000 if number == 5 else number % 4)
        open_view(browser, address, "/pipeline")
        wait(browser, "no frame", lambda: len(texts(browser, ".partitions td.name")) == 12)
        others = [f"usage-events {number}" for number in range(12) if number != 5]
        assert texts(browser, ".partitions td.name") == ["usage-events 5", *others]


def test_a_silent_stream_counts_as_cut(browser: webdriver.Chrome) -> None:
    """An open connection proves nothing: after ten seconds without a word the page says that it hears none."""
    with serving("load") as (api, address):
        open_view(browser, address, "/")
        wait(browser, "not live", lambda: text(browser, ".chip.state").startswith("Live"))
        api.state = "silent"
        kept = text(browser, ".tile.lead")
        wait(browser, "the silence is not told", lambda: "Not connected since" in text(browser, ".strip.bad"))
        assert text(browser, ".chip.state") == "Reconnecting…"
        since, now = browser.execute_script(
            "return [document.querySelector('.strip.bad').innerText.match(/since (\\S+)\\./)[1], Date.now()]"
        )
        assert seconds_since(browser, since, now) >= 10, "the time of the last frame is told, not that of the cut"
        assert len(kept) == len(text(browser, ".tile.lead"))
        api.state = "load"
        browser.execute_script("document.querySelector('.strip.bad button')?.click()")  # it may have healed by itself
        wait(browser, "it does not heal", lambda: text(browser, ".chip.state").startswith("Live"))
        assert texts(browser, ".strip.bad") == []


def seconds_since(driver: webdriver.Chrome, clock: str, now_ms: int) -> float:
    """From a time of day in the viewer's zone until now."""
    script = "return new Date(new Date(arguments[1]).toDateString() + ' ' + arguments[0]).getTime()"
    return float(now_ms - driver.execute_script(script, clock, now_ms)) / 1000 % 86_400


def test_a_page_that_is_left_lets_its_stream_go(browser: webdriver.Chrome) -> None:
    """The browser keeps pages for the back button, with their streams, and has six connections to a host."""
    with serving("load") as (api, address):
        for path in [*VIEWS, *VIEWS]:
            open_view(browser, address, path)
            wait(browser, "not live", lambda: text(browser, ".chip.state").startswith("Live"))
        wait(browser, "streams stay open", lambda: api.streams == 1)
        browser.back()
        wait(browser, "not live again", lambda: text(browser, ".chip.state").startswith("Live"))
        assert text(browser, "h1") == "Alerts"


def test_names_from_outside_stay_text(browser: webdriver.Chrome) -> None:
    name = "<img src=x onerror=alert(1)>&amp;"
    with serving("load") as (api, address):
        customer = Customer(name, 1, api.world.chance)
        customer.limit = "1.00"
        api.world.customers[name] = customer
        open_view(browser, address, "/")
        assert texts(browser, ".customers td.name")[0].replace("…", "")[:10] == name[:10]
        browser.find_element("css selector", ".customers td.name a").click()
        wait(browser, "not opened", lambda: text(browser, "h1") == name)
        assert browser.find_elements("css selector", "main img") == []
