"""The page in a headless browser while the service counts: what it costs there, and how soon a figure is drawn.

Costs are taken first, then a second script watches the drawn figures, since watching costs too. Amounts are looked up
in the load: one that was never true is a fault, and the others tell which events had come through.
"""

import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from selenium import webdriver

from perf.harness.checks import CheckFailed
from perf.harness.figures import latencies
from tests.browser.chromium import browsing
from tests.browser.reading import amount, open_view

SCRIPTS = Path(__file__).parent
BEFORE_PAGE = SCRIPTS.joinpath("paged_before.js").read_text(encoding="utf-8")
WATCH = SCRIPTS.joinpath("paged_watch.js").read_text(encoding="utf-8")
SETTLE_S = 2.0
DURATIONS = {
    "ScriptDuration": "script_ms_per_s", "RecalcStyleDuration": "style_ms_per_s", "LayoutDuration": "layout_ms_per_s",
    "TaskDuration": "task_ms_per_s",
}  # fmt: skip
FIGURES = {"Nodes": "nodes", "JSHeapUsedSize": "heap_bytes"}


class Sight(NamedTuple):
    """`customer`'s spend as drawn at `at_ms` (since 1970); None: it is not shown any more."""

    at_ms: float
    customer: str
    shown: str | None


class Due(NamedTuple):
    """A customer's spend before and after each of its events, in cents, and when that event was due (µs since 1970);
    what was spent before all of them was due at 0.
    """

    cents: Sequence[int]
    due_us: Sequence[int]


class WatchedPage:
    """One tab."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self._driver = driver
        self._address = address
        self._command("Page.addScriptToEvaluateOnNewDocument", source=BEFORE_PAGE)
        self._command("Performance.enable", timeDomain="threadTicks")

    def open(self, path: str) -> float:
        """Returns after how many ms the first amount was drawn."""
        open_view(self._driver, self._address, path)
        time.sleep(SETTLE_S)  # time itself: what is drawn once is not what a frame costs
        return float(self._driver.execute_script("return window.firstAmountMs"))

    def costs(self, seconds: float) -> dict[str, float]:
        """Of so many seconds: time of scripts and of the whole main thread a second, long tasks, layout shifts."""
        before, told = self._metrics(), self._told()
        time.sleep(seconds)
        after, tells = self._metrics(), self._told()
        elapsed_s = after["Timestamp"] - before["Timestamp"]
        return {
            **{name: (after[metric] - before[metric]) / elapsed_s * 1e3 for metric, name in DURATIONS.items()},
            "renders_per_s": (tells["renders"] - told["renders"]) / elapsed_s,
            "long_tasks_per_min": (tells["longTasks"] - told["longTasks"]) / elapsed_s * 60,
            "longest_task_ms": tells["longestTaskMs"],
            "layout_shift": tells["layoutShift"] - told["layoutShift"],
        }

    def size(self) -> dict[str, float]:
        """After a garbage collection."""
        self._command("HeapProfiler.collectGarbage")
        metrics = self._metrics()
        elements = self._driver.execute_script("return document.querySelectorAll('*').length")
        return {name: metrics[metric] for metric, name in FIGURES.items()} | {"elements": float(elements)}

    def sights(self, seconds: float) -> list[Sight]:
        """Every amount of a customer that is drawn meanwhile."""
        self._driver.execute_script(WATCH)
        time.sleep(seconds)
        return [Sight(*each) for each in self._driver.execute_script("return window.sights")]

    def _metrics(self) -> dict[str, float]:
        found = self._command("Performance.getMetrics")["metrics"]
        return {each["name"]: float(each["value"]) for each in found}

    def _told(self) -> dict[str, float]:
        return dict(self._driver.execute_script("return {...window.told}"))

    def _command(self, name: str, **parameters: object) -> Any:
        return self._driver.execute_cdp_cmd(name, parameters)


@contextmanager
def watched_page(address: str) -> Iterator[WatchedPage]:
    """A browser of its own."""
    with browsing() as driver:
        yield WatchedPage(driver, address)


def event_to_pixel(sights: Sequence[Sight], due: Mapping[str, Due]) -> dict[str, float]:
    """From when an event was due until the amount with it was drawn; of customers that were shown already.

    Raises:
        CheckFailed: an amount was never true.
    """
    counted: dict[str, int] = {}
    found_s: list[float] = []
    for sight in sights:
        if sight.shown is None:
            counted.pop(sight.customer, None)
            continue
        known, cents = due[sight.customer], int(amount(sight.shown) * 100)
        count = bisect_right(known.cents, cents)
        if not count or known.cents[count - 1] != cents:
            raise CheckFailed(f"the page showed {sight.shown} for {sight.customer}, which was never true")
        before = counted.setdefault(sight.customer, count)
        found_s += [sight.at_ms / 1e3 - each / 1e6 for each in known.due_us[before:count]]
        counted[sight.customer] = count
    return latencies(found_s, prefix="pixel_") | {"pixels": float(len(found_s))}
