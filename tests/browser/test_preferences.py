"""What readers ask of their systems: no motion, colours of their own, paper, wider text, and a page that speaks."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from selenium import webdriver

from tests.browser.chromium import emulate, resize
from tests.browser.fake_api import FakeApi, serving
from tests.browser.layout import defects
from tests.browser.reading import VIEWS, open_view, text, texts, wait

PATHS = (*VIEWS, "/customers/acme")
SPEAK_S = 5.0
CLOCK_S = 0.1
"""Timers of the browser may be early by a little."""
WATCH_TINTS = """
window.tints = 0;
const animate = Element.prototype.animate;
Element.prototype.animate = function (...frames) { window.tints += 1; return animate.apply(this, frames); };
"""
HEAR = """
window.heard = [];
const speaks = document.querySelector("[role=status]");
const hear = () => window.heard.push([performance.now() / 1000, speaks.textContent]);
new MutationObserver(hear).observe(speaks, { childList: true, characterData: true, subtree: true });
"""
WIDER = """
const sheet = new CSSStyleSheet();
const wider = "line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important";
sheet.replaceSync(`* { ${wider} }`);
document.adoptedStyleSheets = [sheet];
"""
PAINTS = """
const of = (selector, ...names) => {
  const style = getComputedStyle(document.querySelector(selector));
  return names.map((name) => style.getPropertyValue(name));
};
return {
  fill: of(".customers .bar .fill", "background-color", "print-color-adjust"),
  track: of(".customers .bar", "background-color"),
  frame: of(".customers .bar", "border-top-style", "border-top-width"),
  chip: of(".customers .chip", "border-top-style", "border-top-width", "print-color-adjust"),
  chosen: of(".choice [aria-current]", "background-color", "color"),
  other: of(".choice a:not([aria-current])", "background-color", "color"),
};
"""


@pytest.fixture
def reader(browser: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    yield browser
    emulate(browser)
    resize(browser, 1280, 800)


@pytest.mark.parametrize("wanted", ["no-preference", "reduce"])
def test_changed_rows_tint_only_where_motion_is_welcome(
    reader: webdriver.Chrome, served: tuple[FakeApi, str], wanted: str
) -> None:
    api, address = served
    api.put("load")
    emulate(reader, prefers_reduced_motion=wanted)
    open_view(reader, address, "/")
    reader.execute_script(WATCH_TINTS)
    before = texts(reader, ".customers td.spend")
    wait(reader, "no figure changes", lambda: len(set(before) - set(texts(reader, ".customers td.spend"))) > 5)
    tints = reader.execute_script("return window.tints")
    assert tints > 0 if wanted == "no-preference" else tints == 0
    lasting = "return document.getAnimations().filter((one) => one.effect.getComputedTiming().duration > 0).length"
    assert wanted == "no-preference" or reader.execute_script(lasting) == 0


def test_in_forced_colours_bars_and_chips_are_there(reader: webdriver.Chrome, served: tuple[FakeApi, str]) -> None:
    served[0].put("load")
    emulate(reader, forced_colors="active")
    open_view(reader, served[1], "/")
    paints = reader.execute_script(PAINTS)
    assert paints["fill"][0] != paints["track"][0]
    assert paints["frame"] == ["solid", "1px"]
    assert paints["chip"][:2] == ["solid", "1px"]
    assert paints["chosen"] != paints["other"]


def test_on_paper_bars_and_chips_are_there_and_controls_are_not(
    reader: webdriver.Chrome, served: tuple[FakeApi, str]
) -> None:
    served[0].put("load")
    open_view(reader, served[1], "/")
    emulate(reader, media="print")
    paints = reader.execute_script(PAINTS)
    assert paints["fill"][1] == paints["chip"][2] == "exact"
    hidden = "return [...document.querySelectorAll('.top, .skip, .foot')].every((one) => !one.checkVisibility())"
    assert reader.execute_script(hidden)
    assert len(texts(reader, ".customers tbody tr")) > 30
    assert defects(reader) == []


@pytest.mark.parametrize("path", PATHS)
def test_wider_text_cuts_nothing(reader: webdriver.Chrome, served: tuple[FakeApi, str], path: str) -> None:
    """The spacing of WCAG 1.4.12."""
    served[0].put("load")
    open_view(reader, served[1], path)
    reader.execute_script(WIDER)
    found = []
    for width in (1280, 390):
        resize(reader, width, 800)
        found += [f"{width}: {line}" for line in defects(reader)]
    assert found == []


def test_alerts_are_spoken_in_batches(reader: webdriver.Chrome, served: tuple[FakeApi, str]) -> None:
    with serving() as (other, _):
        alerts = other.world.alerts[:7]
    api, address = served
    api.put("no_events")
    open_view(reader, address, "/alerts")
    assert text(reader, "h1") == "Alerts"
    reader.execute_script(HEAR)
    for alert in alerts[:2]:
        api.tell("alert", alert)
    wait(reader, "nothing is spoken", lambda: reader.execute_script("return window.heard.length"))
    for alert in alerts[2:]:
        api.tell("alert", alert)
    wait(reader, "the rest is not spoken", lambda: "5 new alerts and changes" in text_content(reader))
    times = [time for time, _ in reader.execute_script("return window.heard")]
    assert all(later - sooner >= SPEAK_S - CLOCK_S for sooner, later in pairwise(times))
    assert len(texts(reader, ".alerts-table tbody tr")) == len(alerts)


def text_content(driver: webdriver.Chrome) -> str:
    return str(driver.execute_script("return document.querySelector('[role=status]').textContent"))


@pytest.mark.parametrize("path", PATHS)
def test_no_table_speaks_by_itself(reader: webdriver.Chrome, served: tuple[FakeApi, str], path: str) -> None:
    served[0].put("load")
    open_view(reader, served[1], path)
    live = ":is([aria-live]:not([aria-live=off]), [role=alert], [role=log], [role=timer], [role=status])"
    assert matches(reader, f"{live}:not(.legend .at)") == 1  # the one of the page; a chart tells where its cursor is
    assert matches(reader, f"{live} table, table {live}, table{live}") == 0


def matches(driver: webdriver.Chrome, selector: str) -> int:
    return len(driver.find_elements("css selector", selector))
