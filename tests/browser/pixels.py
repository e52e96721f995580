"""`python -m tests.browser.pixels`: event to pixel, from when the API has taken an event until its change is drawn.

The browser watches one element for a change, and notes the time after the frame that draws it, by this machine's clock.
Nothing but the events that are sent here may change that element while it is measured.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from selenium import webdriver

from tests.browser.chromium import browsing
from tests.browser.reading import WAIT_S, open_view, text, wait
from tests.browser.running import Running, running

EVENTS = 30
PAUSE_MOST_S = 1.5
"""Between events, by chance, so that they fall in with no rhythm of server or page."""
PLACES = {"customer": ("/customers/initech", ".figure .amount"), "table": ("/", 'tr:has(a[href$="/initech"]) .spend')}
"""Where the spend of one customer stands: path and selector."""
WATCH = """
const read = () => document.querySelector(arguments[0])?.textContent ?? "";
const before = read();
const frame = new MessageChannel();
window.nextPixel = new Promise((resolve) => {
  frame.port1.onmessage = () => resolve(Date.now());
  const observer = new MutationObserver(() => {
    if (read() === before) return;
    observer.disconnect();
    frame.port2.postMessage(null); // comes back when the frame is drawn
  });
  observer.observe(document.body, { childList: true, characterData: true, subtree: true });
});
"""
ARRIVAL = "window.nextPixel.then(arguments[0])"


class Pixels(NamedTuple):
    """One entry an event: how long it took to be drawn, and what the API said of the age of its data meanwhile."""

    delays_s: Sequence[float]
    freshness_s: Sequence[float]

    def report(self, what: str) -> str:
        """One line for people: `spend table, 30 events to pixel: p50 0.210 s, p99 0.430 s (freshness …)`."""
        delays, ages = (
            f"p50 {quantile(values, 0.5):.3f} s, p99 {quantile(values, 0.99):.3f} s"
            for values in (self.delays_s, self.freshness_s)
        )
        return f"{what}, {len(self.delays_s)} events to pixel: {delays} (freshness {ages})"


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def measure(
    driver: webdriver.Chrome,
    selector: str,
    send: Callable[[], object],
    freshness_s: Callable[[], float | None],
    *,
    events: int = EVENTS,
    seed: int = 1,
) -> Pixels:
    """Sends one event after the other and waits for each to change the text at `selector` of the open view.

    `send` returns when the API has taken an event; `freshness_s` asks it for the age of its data (None: not known,
    which fails).
    """
    driver.set_script_timeout(WAIT_S)
    chance = random.Random(seed)
    delays_s, ages_s = [], []
    for _ in range(events):
        time.sleep(chance.uniform(0, PAUSE_MOST_S))
        driver.execute_script(WATCH, selector)
        send()
        taken_s = time.time()
        age_s = freshness_s()
        assert age_s is not None, "the API does not know how old its data is"
        ages_s.append(age_s)
        delays_s.append(max(0.0, float(driver.execute_async_script(ARRIVAL)) / 1_000 - taken_s))
    return Pixels(delays_s, ages_s)


def measure_at(driver: webdriver.Chrome, system: Running, place: str, *, events: int = EVENTS) -> Pixels:
    """On a system that is still, at one of PLACES."""

    def freshness_s() -> float | None:
        known: float | None = system.get("/v1/pipeline")["freshness_s"]
        return known

    path, selector = PLACES[place]
    open_view(driver, system.address, path)
    wait(driver, "not live", lambda: text(driver, ".chip.state").startswith(("Live", "Delayed")))
    return measure(driver, selector, lambda: system.send({"initech": 2_000}), freshness_s, events=events)


def main() -> None:
    with browsing() as driver, running(load={}) as system, system.still():
        for place in PLACES:
            print(measure_at(driver, system, place).report(place), flush=True)


if __name__ == "__main__":
    main()
