"""Nothing shifts: neither when figures take the place of grey blocks, nor while they change."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from selenium import webdriver

from tests.browser.chromium import resize
from tests.browser.fake_api import FakeApi
from tests.browser.reading import VIEWS, text, texts, wait

PATHS = (*VIEWS, "/customers/acme")
SIZES = ((1280, 800), (390, 844))
SMALL = 0.1
"""A layout shift score that counts as good (web.dev/cls)."""
CHARTS = ("/customers/acme", "/pipeline")
FRAMES_S = 2.5
"""Many frames, and more than one turn of the order of rows."""
NOTE = """
window.shifts = [];
const note = ({ value, sources }) => {
  const moved = sources.filter(({ node, previousRect: from, currentRect: to }) => {
    const stays = node !== null && from.width > 0 && to.width > 0;
    return stays && (from.x !== to.x || (from.y !== to.y && !node.parentElement.closest("tbody")));
  });
  window.shifts.push({ value, moved: moved.map(({ node }) => node.className || node.nodeName) });
};
new PerformanceObserver((list) => list.getEntries().forEach(note)).observe({ type: "layout-shift", buffered: true });
"""


class Shifts(NamedTuple):
    """`score` as browsers count it; `moved`: what lies elsewhere now, but for rows that changed places."""

    score: float
    moved: list[str]


@pytest.fixture(scope="module")
def watcher(browser: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NOTE})
    yield browser
    resize(browser, 1280, 800)


def shifts(driver: webdriver.Chrome) -> Shifts:
    """Since the last call."""
    found = driver.execute_script("return window.shifts.splice(0)")
    return Shifts(sum(one["value"] for one in found), [name for one in found for name in one["moved"]])


def loaded(driver: webdriver.Chrome, served: tuple[FakeApi, str], path: str) -> None:
    """First grey blocks, below what the service warns of; then figures."""
    api, address = served
    api.put("loading")
    driver.get(address + path)
    wait(driver, "no grey blocks", lambda: texts(driver, ".ghost") and texts(driver, ".strip"))
    api.put("load")
    wait(driver, "it does not load", lambda: not texts(driver, "[aria-busy=true], .ghost"))
    wait(driver, "not live", lambda: text(driver, ".chip.state").startswith("Live ·"))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("path", PATHS)
def test_figures_take_the_places_of_grey_blocks(
    watcher: webdriver.Chrome, served: tuple[FakeApi, str], path: str, size: tuple[int, int]
) -> None:
    resize(watcher, *size)
    loaded(watcher, served, path)
    found = shifts(watcher)
    print(f"{path} {size}: {found.score:.3f}")
    assert found.score < SMALL


@pytest.mark.parametrize("path", PATHS)
def test_figures_change_in_their_places(watcher: webdriver.Chrome, served: tuple[FakeApi, str], path: str) -> None:
    resize(watcher, *SIZES[0])
    loaded(watcher, served, path)
    watcher.execute_script("document.querySelector('main table').scrollIntoView()")
    shifts(watcher)
    served[0].world.partitions[7]["lag"] = 45  # it is held back soon, and then not any more
    watcher.execute_async_script(f"setTimeout(arguments[0], {FRAMES_S * 1000})")
    found = shifts(watcher)
    assert found.moved == []


@pytest.mark.parametrize("path", CHARTS)
def test_a_chart_is_drawn_late_in_its_place(watcher: webdriver.Chrome, served: tuple[FakeApi, str], path: str) -> None:
    resize(watcher, *SIZES[0])
    watcher.execute_cdp_cmd("Network.clearBrowserCache", {})
    served[0].drawing.clear()
    loaded(watcher, served, path)
    assert not texts(watcher, ".uplot")
    watcher.execute_script("document.querySelector('figure').scrollIntoView()")
    shifts(watcher)
    served[0].drawing.set()
    wait(watcher, "no chart", lambda: texts(watcher, ".uplot"))
    watcher.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert shifts(watcher).moved == []
