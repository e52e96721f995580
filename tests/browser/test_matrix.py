"""Every view in every state that people may see, wide and narrow, light and dark: words, layout, accessibility.

A case is opened once and then looked at in each size and scheme, as a reader who turns a phone or changes the theme.
In the dark the document is the one that was seen in the light: there only the colours are asked again.
"""

import re
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from selenium import webdriver

from tests.browser.axe import COLOURS, findings
from tests.browser.chromium import emulate, resize, touch
from tests.browser.fake_api import FakeApi
from tests.browser.fake_data import LONG_ID, LONGEST_ID, UNTOUCHED
from tests.browser.layout import defects
from tests.browser.reading import UNREAD, complaints, open_view, requested_hosts, text, texts, wait

WIDE, NARROW = (1280, 800), (390, 844)
LOOKS = [(size, dark) for size in (WIDE, NARROW) for dark in (False, True)]
WIDTHS = (320, 500, 640, 768, 1024, 1199, 1200, 1600)
"""At 1,280 pixels a zoom of 200 % is 640, one of 400 % is 320."""
WIDEST = ("/", "/customers/acme", f"/customers/{LONGEST_ID}", "/alerts", "/pipeline")
CHIPS = {"delayed": "Delayed 4 s", "disconnected": "Reconnecting…", "loading": "Connecting…"}
LIVE = r"Live · \d+(\.\d)? s|Delayed .*"
REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (404|503)")
"""The browser says so itself, of every answer that is not there."""
CUT = r"Not connected since \d\d:\d\d:\d\d\. Figures are from then\. Retrying (in \d s|now…)\s+Retry now"
NOT_READY = "Not ready: catalog: none is registered; set BILLING_CATALOG or run: billing catalog apply CATALOG"
MONEY = r"USD [\d,]+\.\d\d"


class Case(NamedTuple):
    """An address in a state of the API, and what the page must say (regular expressions)."""

    state: str
    path: str
    says: tuple[str, ...]


CASES = (
    Case("load", "/", (MONEY, "Last audit\\s+equal\\s+12 min ago", "closes access", "The API is open")),
    Case("load", "/customers/acme", (r"of \$500\.00", "Remaining", r"Resets\s+1 \w+ 00:00 Europe/Berlin", "Total")),
    Case("load", "/customers/initech", ("Closed: limit reached", "104 %")),
    Case("load", f"/customers/{LONG_ID}", ("Spend, 1–",)),
    Case("load", "/alerts", ("Newest first. Times are in your zone", "closes access", "alert only")),
    Case("load", "/pipeline", ("Behind by", "accepted =", "held back|Held back by", "not valid JSON")),
    Case("loading", "/", ("Spend this period",)),
    Case("loading", "/customers/acme", ("acme", "Recent events")),
    Case("loading", "/alerts", ("Fired",)),
    Case("loading", "/pipeline", ("Partitions, worst first",)),
    Case("unconfigured", "/", ("No catalog yet", "billing check", "billing catalog apply", "billing send", NOT_READY)),
    Case("unconfigured", "/customers/acme", ("could not be loaded: 503 not ready: no catalog", "Retry", NOT_READY)),
    Case("unconfigured", "/alerts", ("could not be loaded: 503 not ready: no catalog", "Retry", NOT_READY)),
    Case("unconfigured", "/pipeline", ("Behind by", "could not be loaded: 503 not ready", NOT_READY)),
    Case("no_events", "/", ("Waiting for the first event", "curl -i http://127", "Copy")),
    Case("no_events", "/customers/acme", (r"\$0\.00\s+of \$500\.00", "No line yet", "No alert yet", "No event of")),
    Case("no_events", "/alerts", ("No alert yet. One appears here when a threshold",)),
    Case(
        "no_events",
        "/pipeline",
        (
            "0 accepted =",
            "None. An event that cannot be counted is kept here",
        ),
    ),
    Case("delayed", "/", (MONEY, r"Freshness\s+4\.3 s|Last audit")),
    Case("delayed", "/customers/acme", (r"of \$500\.00",)),
    Case("delayed", "/alerts", ("closes access",)),
    Case("delayed", "/pipeline", (r"Freshness\s+4\.3 s",)),
    Case("disconnected", "/", (CUT, MONEY)),
    Case("disconnected", "/customers/acme", (CUT, r"of \$500\.00")),
    Case("disconnected", "/alerts", (CUT, MONEY)),
    Case("disconnected", "/pipeline", (CUT, "accepted =")),
    Case("part_failed", "/", (MONEY, "Newest alerts could not be loaded: 503 alerts are being read", "Retry")),
    Case("part_failed", "/customers/acme", (r"of \$500\.00", "Alerts could not be loaded: 503 alerts are being read")),
    Case("part_failed", "/alerts", ("Fired could not be loaded: 503 alerts are being read", "Retry")),
    Case("part_failed", "/pipeline", ("events behind unknown", "unassigned", "running")),
    Case("vast", "/", (r"USD [\d,]{10,}\.\d\d",)),
    Case("vast", f"/customers/{LONGEST_ID}", (r"\$[\d,]{10,}\.\d\d",)),
    Case("vast", "/alerts", (r"USD [\d,]{10,}\.\d\d",)),
    Case("vast", "/pipeline", (r"[\d,]{14,} accepted =", "M/s")),
    Case("load", "/?state=unpriced", ("massive-dynamic", "– not priced")),
    Case("load", "/?state=none", ("globex", "– no limit")),
    Case("load", "/?q=untouched", (UNTOUCHED, r"[D$]\s*0\.00", "0 %")),
    Case("load", "/customers/massive-dynamic", ("–\\s+not priced",)),
    Case("load", "/customers/globex", (r"\$[\d.]+\s+no limit", "Period ends")),
    Case("load", f"/customers/{UNTOUCHED}", (r"\$0\.00\s+of \$500\.00", r"\b0 %", "No line yet")),
    Case("load", "/?q=acm-e", ("No customer matches 'acm-e'", "Clear")),
    Case("load", "/customers/nobody", ("No customer matches 'nobody'", "Search again", "All customers")),
    Case("load", "/alerts?customer=nobody", ("No alert matches", "Clear")),
    Case("load", "/nowhere", ("Not found", "To the start")),
)


@pytest.fixture(scope="module")
def reader(browser: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    yield browser
    dress(browser, WIDE, dark=False)


def dress(driver: webdriver.Chrome, size: tuple[int, int], *, dark: bool) -> None:
    resize(driver, *size)
    touch(driver, on=size == NARROW)
    emulate(driver, dark=dark)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.state}{case.path[:40]}")
def test_what_is_seen(reader: webdriver.Chrome, served: tuple[FakeApi, str], case: Case) -> None:
    api, address = served
    dress(reader, WIDE, dark=False)
    open_in(reader, api, address, case)
    found = []
    for size, dark in LOOKS:
        dress(reader, size, dark=dark)
        say_all(reader, case)
        shown = text(reader)
        found += [f"{size} {'dark' if dark else 'light'}: {line}" for line in looked_at(reader, size, dark=dark)]
        assert not UNREAD.search(shown), shown
        if case.state == "loading":
            figures = texts(reader, "main :is(.value, td, .amount)")
            assert not any(letter.isdigit() for figure in figures for letter in figure), figures
        if case.state == "disconnected":
            assert figures_are_muted(reader), "figures of then look like figures of now"
    assert found == []
    assert [line for line in complaints(reader) if not is_expected(line, case)] == []
    assert requested_hosts(reader) == {urlsplit(address).netloc}


@pytest.mark.parametrize("path", WIDEST, ids=lambda path: path[:40])
@pytest.mark.parametrize("state", ["load", "vast"])
def test_nothing_is_cut_at_any_width(
    reader: webdriver.Chrome, served: tuple[FakeApi, str], state: str, path: str
) -> None:
    api, address = served
    api.put(state)
    dress(reader, WIDE, dark=False)
    open_view(reader, address, path)
    found = []
    for width in WIDTHS:
        dress(reader, (width, 800), dark=False)
        found += [f"{width}: {line}" for line in defects(reader)]
    assert found == []


def open_in(driver: webdriver.Chrome, api: FakeApi, address: str, case: Case) -> None:
    complaints(driver), requested_hosts(driver)
    api.put("load" if case.state == "disconnected" else case.state)
    if case.state == "loading":
        driver.get(address + case.path)
        wait(driver, "no grey blocks", lambda: texts(driver, ".ghost"))
        return
    open_view(driver, address, case.path)
    if case.state == "disconnected":
        wait(driver, "not live", lambda: re.fullmatch(LIVE, text(driver, ".chip.state")))
        api.state = "disconnected"


def say_all(driver: webdriver.Chrome, case: Case) -> None:
    chip = CHIPS.get(case.state, LIVE)
    wait(driver, f"the chip does not say {chip}", lambda: re.fullmatch(chip, text(driver, ".chip.state")))
    for words in case.says:
        wait(driver, f"it does not say {words}", partial(says, driver, words))


def says(driver: webdriver.Chrome, words: str) -> bool:
    return re.search(words, text(driver).replace("\xa0", " ")) is not None


def looked_at(driver: webdriver.Chrome, size: tuple[int, int], *, dark: bool) -> list[str]:
    if dark:
        return findings(driver, COLOURS)
    return findings(driver) + defects(driver, touch=size == NARROW)


def figures_are_muted(driver: webdriver.Chrome) -> bool:
    script = """
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = "var(--muted)";
    const muted = getComputedStyle(probe).color;
    probe.remove();
    const figures = [...document.querySelectorAll("main :is(.tile .value, td.number, .figure .amount)")];
    return figures.length > 0 && figures.every((one) => one.innerText && getComputedStyle(one).color === muted);
    """
    return bool(driver.execute_script(script))


def is_expected(line: str, case: Case) -> bool:
    refuses = case.state in ("unconfigured", "part_failed", "disconnected") or case.path == "/customers/nobody"
    return refuses and REFUSED.search(line) is not None
