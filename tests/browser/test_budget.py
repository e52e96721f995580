"""The page over the wire, from the real API: how much a visit costs, and how soon it shows a number."""

import gzip
import re
from collections.abc import Iterator

import httpx
import pytest
from selenium import webdriver

from tests.browser.reading import VIEWS, open_view, wait
from tests.browser.running import Running
from tests.browser.wire import Record, Transfer, forget_files, throttle

PATHS = (*VIEWS, "/customers/acme")
REQUESTS_MAX = 10
ALL_MAX_BYTES = 116_000
"""With heads; the parts below are what is packed into bodies."""
PARTS = {
    "HTML and CSS": (r"^/[^.]*$|\.css$", 14_000),
    "own JS": (r"/app\.\w+\.js$", 26_000),
    "libraries": (r"/(preact|htm|uPlot)\.", 28_000),
    "font": (r"\.woff2$", 49_000),
}
SNAPSHOT = re.compile(rb'<script type="application/json" id="snapshot">.*?</script>', re.DOTALL)
FIRST_NUMBER_MAX_S = 3.0
"""An order of magnitude: what is aimed at is 0.3 s on loopback and 1 s on the slow line."""
NOTE_FIRST_NUMBER = r"""
addEventListener("DOMContentLoaded", () => {
  const figures = () => [...document.querySelectorAll("main :is(.amount, .value, td)")];
  const look = () => {
    if (figures().some((one) => /\d/.test(one.innerText))) window.firstNumberAt = performance.now() / 1000;
    else requestAnimationFrame(look);
  };
  look();
});
"""


@pytest.fixture(scope="module")
def visitor(browser: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    browser.execute_cdp_cmd("Network.enable", {})
    yield browser
    throttle(browser, bits_per_s=0, latency_ms=0)


def visit(driver: webdriver.Chrome, address: str, path: str) -> list[Transfer]:
    """Everything that a view asks for until it stands."""
    driver.get("about:blank")
    record = Record(driver)
    open_view(driver, address, path)
    wait(driver, "files are under way", lambda: all(one.finished for one in record.read() if one.is_own_file))
    return record.read()


def snapshot_bytes(address: str, path: str) -> int:
    """What the first answers that the document carries cost; they are answers, not the page."""
    document = httpx.get(address + path).content
    return len(gzip.compress(document, 9)) - len(gzip.compress(SNAPSHOT.sub(b"", document), 9))


@pytest.mark.parametrize("path", PATHS)
def test_a_first_visit_stays_within_the_budget(visitor: webdriver.Chrome, system: Running, path: str) -> None:
    forget_files(visitor)
    found = visit(visitor, system.address, path)
    files = [one for one in found if one.is_own_file]
    carried = snapshot_bytes(system.address, path)
    answers = sum(one.bytes for one in found if not one.is_own_file)
    total = sum(one.bytes for one in files)
    print(f"{path}: {len(files)} files, {total:,} bytes; answers {answers:,}, carried {carried:,}")
    for name, (pattern, most_bytes) in PARTS.items():
        part = sum(one.body_bytes for one in files if re.search(pattern, one.path))
        print(f"  {name}: {part:,} of {most_bytes:,}")
        assert 0 < part - (carried if name == "HTML and CSS" else 0) <= most_bytes
    assert len(files) <= REQUESTS_MAX
    assert total - carried <= ALL_MAX_BYTES
    assert [one.path for one in files if one.status != httpx.codes.OK] == []


@pytest.mark.parametrize("path", PATHS)
def test_a_second_visit_asks_for_the_document_only(visitor: webdriver.Chrome, system: Running, path: str) -> None:
    visit(visitor, system.address, path)
    again = visit(visitor, system.address, path)
    assert [one.path for one in again if one.is_own_file and not one.cached] == [path]


@pytest.mark.parametrize(
    ("line", "bits_per_s", "latency_ms"), [("loopback", 0, 0), ("10 Mbit/s, 80 ms", 10_000_000, 80)]
)
@pytest.mark.parametrize("path", PATHS)
def test_the_first_number_comes_soon(
    visitor: webdriver.Chrome, system: Running, path: str, line: str, bits_per_s: int, latency_ms: int
) -> None:
    noted = visitor.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NOTE_FIRST_NUMBER})
    throttle(visitor, bits_per_s=bits_per_s, latency_ms=latency_ms)
    forget_files(visitor)
    open_view(visitor, system.address, path)
    wait(visitor, "no number", lambda: visitor.execute_script("return window.firstNumberAt"))
    seconds = visitor.execute_script("return window.firstNumberAt")
    visitor.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", noted)
    throttle(visitor, bits_per_s=0, latency_ms=0)
    print(f"{path} at {line}: first number after {seconds:.2f} s")
    assert seconds < FIRST_NUMBER_MAX_S
