"""The page on a running system: what it shows is what the API says, and what it does when the line is cut."""

import time
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import resize
from tests.browser.pixels import PLACES, measure_at, quantile
from tests.browser.reading import (
    UNREAD,
    VIEWS,
    amount,
    complaints,
    open_view,
    requested_hosts,
    text,
    texts,
    wait,
)
from tests.browser.relay import relaying
from tests.browser.running import COMPLETION_USD, Running

LIVE = ("Live", "Delayed")
SOON_S = 3.0
TWO_FRAMES = "(done) => requestAnimationFrame(() => requestAnimationFrame(done))"
FIRST_SECOND_IS_OVER = "return performance.now() > performance.getEntriesByType('navigation')[0].responseEnd + 1000"
ASKED_AT_FIRST = """
  const [document] = performance.getEntriesByType("navigation");
  const early = performance.getEntriesByType("resource").filter((one) => one.startTime < document.responseEnd + 1000);
  return early.map((one) => new URL(one.name).pathname);
"""
CUSTOMERS = ("acme", "globex", "himal", "hooli", "sakura")


@pytest.fixture
def base_url(system: Running) -> str:
    return system.address


def first_customer(driver: webdriver.Chrome) -> str:
    return str(driver.execute_script("return document.querySelector('.customers tbody td.name a').pathname"))


def test_every_view_shows_figures_and_complains_of_nothing(browser: webdriver.Chrome, base_url: str) -> None:
    open_view(browser, base_url, "/")
    paths = [*VIEWS, first_customer(browser)]
    complaints(browser), requested_hosts(browser)
    for path in paths:
        open_view(browser, base_url, path)
        wait(browser, "not live", lambda: text(browser, ".chip.state").startswith(LIVE))
        shown = text(browser, "main")
        assert any(letter.isdigit() for letter in shown)
        assert not UNREAD.search(shown), shown
        if path in VIEWS:
            assert text(browser, "h1") == VIEWS[path]
    assert complaints(browser) == []
    assert requested_hosts(browser) == {urlsplit(base_url).netloc}


def test_the_first_paint_needs_no_request_for_its_figures(browser: webdriver.Chrome, system: Running) -> None:
    """The document carries them."""
    open_view(browser, system.address, "/")
    for path in [*VIEWS, first_customer(browser)]:
        open_view(browser, system.address, path)
        answers = set(browser.execute_script("return JSON.parse(document.getElementById('snapshot').textContent)"))
        wait(browser, "the first second lasts", lambda: browser.execute_script(FIRST_SECOND_IS_OVER))
        asked = browser.execute_script(ASKED_AT_FIRST)
        assert answers
        assert not {one.partition("?")[0] for one in answers} & set(asked), f"{path} asks for what its document carries"


def test_the_nearest_to_its_limit_comes_first(browser: webdriver.Chrome, base_url: str) -> None:
    open_view(browser, base_url, "/")
    shares = [int(share.removesuffix(" %")) for share in texts(browser, ".customers .percent")]
    assert shares
    assert shares == sorted(shares, reverse=True)
    assert texts(browser, "th[aria-sort=descending]") == ["Of limit"]


def test_the_figures_of_every_customer_are_those_of_the_api(browser: webdriver.Chrome, system: Running) -> None:
    with system.still():
        open_view(browser, system.address, "/")

        def spent() -> list[Decimal]:
            return [Decimal(row["spend"]) for row in system.get("/v1/customers", order="-limit_share")["data"]]

        wait(browser, "spend differs", lambda: list(map(amount, texts(browser, "td.spend"))) == spent())
        listed = {row["customer"]: row for row in system.get("/v1/customers")["data"]}
        names = texts(browser, ".customers tbody td.name")
        assert set(names) == set(listed)
        shown = zip(
            names, texts(browser, "td.spend"), texts(browser, "td.limit"), texts(browser, "td.access"), strict=True
        )
        for name, spend, limit, access in shown:
            row = listed[name]
            assert amount(spend) == Decimal(row["spend"])
            assert spend.startswith(row["currency"])
            assert limit == "–" if row["limit"] is None else amount(limit) == Decimal(row["limit"])
            assert access.split("\n")[0] == ("Open" if row["allowed"] else "Closed")
            assert ("until" in access) is not row["allowed"]
        assert not listed["himal"]["allowed"]

        def totals() -> list[Decimal]:
            return sorted(Decimal(one["spend"]) for one in system.get("/v1/overview")["currencies"])

        wait(browser, "totals differ", lambda: sorted(map(amount, texts(browser, ".tile.lead .amount"))) == totals())


def test_the_figures_of_one_customer_are_those_of_the_api(browser: webdriver.Chrome, system: Running) -> None:
    with system.still():
        for customer in CUSTOMERS:
            open_view(browser, system.address, f"/customers/{customer}")
            spend, access = (system.get(f"/v1/customers/{customer}/{what}") for what in ("spend", "access"))
            assert amount(text(browser, ".figure .amount")) == Decimal(spend["total"])
            assert [amount(line) for line in texts(browser, ".lines tbody .spend")] == [
                Decimal(line["amount"]) for line in spend["lines"]
            ]
            assert text(browser, ".hero .chip") == ("Open" if access["allowed"] else f"Closed: {access['reason']}")
            if access["remaining"] is not None:
                assert amount(text(browser, ".facts dd")) == Decimal(access["remaining"])


def test_alerts_and_the_balance_are_those_of_the_api(browser: webdriver.Chrome, system: Running) -> None:
    with system.still():
        open_view(browser, system.address, "/alerts")
        alerts = system.get("/v1/alerts", order="-time")["data"]
        assert [(alert["customer"], Decimal(alert["spend"])) for alert in alerts] == list(
            zip(texts(browser, ".alerts-table .name"), map(amount, texts(browser, ".alerts-table .spend")), strict=True)
        )
        assert "closes access" in texts(browser, ".alerts-table .effect")
        open_view(browser, system.address, "/pipeline")
        counted = system.get("/v1/pipeline")["counters"]["counted"]
        wait(browser, "the balance differs", lambda: f"{counted:,} counted" in text(browser, ".balance"))
        assert len(texts(browser, ".partitions tbody tr")) == 4


def test_an_event_reaches_the_open_page(browser: webdriver.Chrome, system: Running) -> None:
    with system.still():
        open_view(browser, system.address, "/customers/initech")
        before = amount(text(browser, ".figure .amount"))
        assert before > 0
        system.send({"initech": 400_000})
        after = before + 400_000 * COMPLETION_USD
        rounded = {after, after + Decimal("0.01")}  # the prompts are a line of their own, of less than a cent
        wait(browser, f"{after} is not shown", lambda: amount(text(browser, ".figure .amount")) in rounded)


@pytest.mark.parametrize("place", PLACES)
def test_an_event_is_drawn_soon(browser: webdriver.Chrome, system: Running, place: str) -> None:
    """How soon is printed; what is asserted is an order of magnitude, for others use these cores too."""
    with system.still():
        pixels = measure_at(browser, system, place, events=4)
    print(pixels.report(place))
    assert quantile(pixels.delays_s, 0.5) < SOON_S


def test_the_cursor_of_a_chart_outlives_its_drawing(browser: webdriver.Chrome, base_url: str) -> None:
    """A chart is drawn anew for another theme, another width, and when its library comes late."""
    open_view(browser, base_url, "/customers/acme")
    wait(browser, "not drawn", lambda: browser.find_elements("css selector", ".plot canvas"))
    browser.find_element("css selector", ".plot").send_keys(Keys.ARROW_RIGHT)
    wait(browser, "no cursor", lambda: text(browser, ".chart .at"))
    named = text(browser, ".chart .at")
    browser.execute_script("window.oldDrawing = document.querySelector('.plot canvas')")
    browser.execute_script("dispatchEvent(new Event('themechange'))")
    wait(browser, "not drawn anew", lambda: not browser.execute_script("return window.oldDrawing.isConnected"))
    browser.execute_async_script(f"({TWO_FRAMES})(arguments[0])")
    assert text(browser, ".chart .at") == named


def test_lines_add_up_to_the_total_that_leads(browser: webdriver.Chrome, base_url: str) -> None:
    open_view(browser, base_url, "/customers/acme")
    browser.find_element("css selector", "button[aria-label=Pause]").click()
    lines = [amount(shown) for shown in texts(browser, ".lines tbody .spend")]
    assert len(lines) > 1
    assert sum(lines) == amount(text(browser, ".lines tfoot .spend")) == amount(text(browser, ".figure .amount"))


def test_a_cut_is_told_with_figures_kept_and_heals(browser: webdriver.Chrome, base_url: str) -> None:
    with relaying(base_url) as relay:
        open_view(browser, relay.address, "/")
        wait(browser, "not live", lambda: text(browser, ".chip.state").startswith(LIVE))
        relay.cut()
        wait(browser, "the cut is not told", lambda: "Not connected since" in text(browser, ".strip.bad"))
        assert text(browser, ".chip.state") == "Reconnecting…"
        assert texts(browser, "main.stale .customers tbody tr")
        kept = text(browser, ".tile.lead .amount")
        assert amount(kept) > 0
        relay.heal()
        wait(browser, "it does not heal", lambda: text(browser, ".chip.state").startswith(LIVE))
        assert texts(browser, ".strip.bad") == []
        wait(browser, "figures stand still", lambda: text(browser, ".tile.lead .amount") != kept)


def test_pause_holds_the_figures_and_counts_what_waits(browser: webdriver.Chrome, base_url: str) -> None:
    open_view(browser, base_url, "/")
    browser.find_element("css selector", "button[aria-label=Pause]").click()
    before = texts(browser, ".customers .spend")
    wait(browser, "nothing waits", lambda: "waiting" in text(browser, ".chip.state"))
    time.sleep(1)
    assert texts(browser, ".customers .spend") == before
    browser.find_element("css selector", "button[aria-label=Resume]").click()
    wait(browser, "it does not go on", lambda: texts(browser, ".customers .spend") != before)


def test_everything_is_reached_by_keyboard(browser: webdriver.Chrome, base_url: str) -> None:
    open_view(browser, base_url, "/")
    body = browser.find_element("css selector", "body")
    body.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to content"
    body.send_keys(Keys.CONTROL, "k")
    assert browser.switch_to.active_element.get_attribute("id") == "find"
    browser.switch_to.active_element.send_keys("no such customer", Keys.ENTER)
    wait(browser, "no match is not told", lambda: "No customer matches 'no such customer'" in text(browser, "main"))


@pytest.mark.parametrize("width", [320, 390, 800, 1280])
def test_nothing_scrolls_sideways(browser: webdriver.Chrome, base_url: str, width: int) -> None:
    try:
        resize(browser, width, 800)
        open_view(browser, base_url, "/")
        for path in [*VIEWS, first_customer(browser)]:
            open_view(browser, base_url, path)
            wide = browser.execute_script("return document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{path} is {wide} px too wide"
    finally:
        resize(browser, 1280, 800)
