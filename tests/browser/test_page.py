"""The page on a running system with load, whoever serves it: `base_url` names where."""

import time
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import resize
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


def first_customer(driver: webdriver.Chrome) -> str:
    return str(driver.execute_script("return document.querySelector('.customers tbody td.name a').pathname"))


def test_every_view_shows_figures_and_complains_of_nothing(browser: webdriver.Chrome, base_url: str) -> None:
    open_view(browser, base_url, "/")
    paths = [*VIEWS, first_customer(browser)]
    complaints(browser), requested_hosts(browser)
    for path in paths:
        open_view(browser, base_url, path)
        wait(browser, "not live", lambda: text(browser, ".chip.state").startswith(("Live", "Delayed")))
        shown = text(browser, "main")
        assert any(letter.isdigit() for letter in shown)
        assert not UNREAD.search(shown), shown
        if path in VIEWS:
            assert text(browser, "h1") == VIEWS[path]
    assert complaints(browser) == []
    assert requested_hosts(browser) == {urlsplit(base_url).netloc}


def test_the_nearest_to_its_limit_comes_first(browser: webdriver.Chrome, base_url: str) -> None:
    open_view(browser, base_url, "/")
    shares = [int(share.removesuffix(" %")) for share in texts(browser, ".customers .percent")]
    assert shares
    assert shares == sorted(shares, reverse=True)
    assert texts(browser, "th[aria-sort=descending]") == ["Of limit"]


def test_lines_add_up_to_the_total_that_leads(browser: webdriver.Chrome, base_url: str) -> None:
    open_view(browser, base_url, "/")
    open_view(browser, base_url, first_customer(browser))
    browser.find_element("css selector", "button[aria-label=Pause]").click()
    lines = [amount(shown) for shown in texts(browser, ".lines tbody .spend")]
    assert len(lines) > 0
    assert sum(lines) == amount(text(browser, ".lines tfoot .spend")) == amount(text(browser, ".figure .amount"))


def test_a_cut_is_told_with_figures_kept_and_heals(browser: webdriver.Chrome, base_url: str) -> None:
    with relaying(base_url) as relay:
        open_view(browser, relay.address, "/")
        wait(browser, "not live", lambda: text(browser, ".chip.state").startswith("Live"))
        relay.cut()
        wait(browser, "the cut is not told", lambda: "Not connected since" in text(browser, ".strip.bad"))
        assert text(browser, ".chip.state") == "Reconnecting…"
        assert texts(browser, "main.stale .customers tbody tr")
        kept = text(browser, ".tile.lead .amount")
        assert amount(kept) > 0
        relay.heal()
        wait(browser, "it does not heal", lambda: text(browser, ".chip.state").startswith(("Live", "Delayed")))
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
