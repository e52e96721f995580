"""A part of the system goes away under the open page and comes back: what it says meanwhile, and that it heals itself.

The figures stay as they were, none is invented, and afterwards every one is the API's again, without a reload.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest
from selenium import webdriver

from engine.embedded import apache
from engine.embedded.apache import ApacheKafka
from tests.browser.reading import amount, complaints, open_view, text, texts, wait
from tests.browser.running import COMPLETION_USD, Running, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

FIGURES = ".tile.lead .amount, .customers td.spend, .figure .amount, .facts dd, .lines td.spend"
NETWORK = re.compile(r"Failed to load resource: (the server responded with a status of 503|net::ERR_)")
"""What the browser itself says of a request that failed."""
TOKENS = 400_000
COST = TOKENS * COMPLETION_USD
CENT = Decimal("0.01")
HEALED_S = 40.0
BLIND_S = 3.0
"""For so long an end of the log counts as known, after which it was not asked for."""


@pytest.fixture(scope="module")
def system(browser: webdriver.Chrome) -> Iterator[Running]:
    with running(load={}) as one:
        yield one


def figures(browser: webdriver.Chrome) -> list[str]:
    return texts(browser, FIGURES)


def strips(browser: webdriver.Chrome) -> str:
    return " ".join(texts(browser, ".strip:not(.plain)"))


def is_live(browser: webdriver.Chrome) -> bool:
    """And nothing is wrong any more."""
    return text(browser, ".chip.state").startswith("Live") and not strips(browser) and not texts(browser, ".failed")


class Outage:
    """The page from before something went away until it has healed; figures must not move until `over`."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self._browser = browser
        self._kept = figures(browser)
        assert any(amount(shown) > 0 for shown in self._kept if shown[0] in "$€¥UEJ")

    def shows(self, what: str, holds: Callable[[], object]) -> None:
        """Waits for it, with every figure as it was all the while."""

        def holds_still() -> object:
            assert figures(self._browser) == self._kept
            return holds()

        wait(self._browser, f"not shown: {what}", holds_still, within_s=HEALED_S)


@contextmanager
def watched(browser: webdriver.Chrome, system: Running, path: str) -> Iterator[Outage]:
    """An outage while a view is open. At the end another event was sent and is shown, as everything the API says."""
    with system.still():
        open_view(browser, system.address, path)
        wait(browser, "not live", lambda: is_live(browser) and agrees(browser, system, path))
        complaints(browser)
        browser.execute_script("window.sameDocument = true")
        yield Outage(browser)
        wait(browser, "it does not heal", lambda: is_live(browser), within_s=HEALED_S)
        before = Decimal(system.get("/v1/customers/initech/spend")["total"])
        system.send({"initech": TOKENS})
        system.wait_until_counted()
        spent = Decimal(system.get("/v1/customers/initech/spend")["total"])
        assert before + COST <= spent <= before + COST + CENT, "the prompt of an event is less than a cent"
        wait(browser, "figures differ from the API", lambda: agrees(browser, system, path))
        assert browser.execute_script("return window.sameDocument") is True
        assert [told for told in complaints(browser) if not NETWORK.search(told)] == []


def agrees(browser: webdriver.Chrome, system: Running, path: str) -> bool:
    """Whether the open view shows what the API reads for each customer by itself."""
    if path != "/":
        spend = system.get(f"/v1{path}/spend")
        wanted = [*(Decimal(line["amount"]) for line in spend["lines"]), Decimal(spend["total"])]
        shown = list(map(amount, texts(browser, ".lines td.spend")))
        return shown == wanted and amount(text(browser, ".figure .amount")) == wanted[-1]
    listed = system.get("/v1/customers", order="-limit_share")["data"]
    spends = [system.get(f"/v1/customers/{row['customer']}/spend") for row in listed]
    totals = [Decimal(spend["total"]) for spend in spends]
    sums: dict[str, Decimal] = {}
    for spend, total in zip(spends, totals, strict=True):
        sums[spend["currency"]] = sums.get(spend["currency"], Decimal(0)) + total
    return (
        [Decimal(row["spend"]) for row in listed] == totals
        and texts(browser, ".customers td.name") == [row["customer"] for row in listed]
        and list(map(amount, texts(browser, ".customers td.spend"))) == totals
        and sorted(map(amount, texts(browser, ".tile.lead .amount"))) == sorted(sums.values())
    )


def says_how_late(system: Running, taken_s: float) -> bool:
    """Whether the API owns up to an event that it took at `taken_s` and did not count."""
    passed_s = time.time() - taken_s
    freshness_s = system.get("/v1/pipeline")["freshness_s"]
    assert freshness_s is None or freshness_s >= passed_s - BLIND_S
    return freshness_s is None or freshness_s > BLIND_S


def test_the_api_dies_and_comes_back(browser: webdriver.Chrome, system: Running) -> None:
    with watched(browser, system, "/") as outage:
        system.kill_api()
        outage.shows("a cut", lambda: text(browser, ".chip.state") == "Reconnecting…")
        outage.shows("since when", lambda: re.search(r"Not connected since \d\d:\d\d:\d\d. Figures", strips(browser)))
        outage.shows("figures of before", lambda: texts(browser, "main.stale .customers td.spend"))
        outage.shows("when it tries again", lambda: "Retrying" in strips(browser))
        system.start_api()


def test_redis_is_killed_and_comes_back(browser: webdriver.Chrome, system: Running) -> None:
    """With what it had written; a panel says that it could not be loaded anew."""
    with watched(browser, system, "/customers/initech") as outage:
        system.redis.kill()
        try:
            system.send({"initech": TOKENS})
            taken_s = time.time()
            outage.shows("what is waited for", lambda: "Not ready: redis: " in strips(browser))
            outage.shows("which part failed", lambda: "503 Redis does not answer" in text(browser, ".failed"))
            outage.shows("how late it is", lambda: text(browser, ".chip.state").startswith("Delayed"))
            outage.shows("how late the API is", lambda: says_how_late(system, taken_s))
        finally:
            system.redis.restart()


def test_redis_hangs_and_goes_on(browser: webdriver.Chrome, system: Running) -> None:
    """It takes connections and does not answer."""
    with watched(browser, system, "/") as outage:
        os.kill(system.redis.pid, signal.SIGSTOP)
        try:
            system.send({"initech": TOKENS})
            taken_s = time.time()
            outage.shows("how late it is", lambda: text(browser, ".chip.state").startswith("Delayed"))
            outage.shows("what is waited for", lambda: "Not ready: " in strips(browser))
            outage.shows("how late the API is", lambda: says_how_late(system, taken_s))
        finally:
            os.kill(system.redis.pid, signal.SIGCONT)


def test_kafka_dies_and_comes_back(browser: webdriver.Chrome) -> None:
    """With its log kept."""
    missing = apache.available()
    if missing and not os.environ.get("CI"):
        pytest.skip(f"Apache Kafka cannot be started: {missing}")
    with (
        ApacheKafka() as kafka,
        running(load={}, kafka=kafka.bootstrap) as system,
        watched(browser, system, "/") as outage,
    ):
        kafka.kill()
        outage.shows("how late it is", lambda: text(browser, ".chip.state").startswith("Delayed"))
        outage.shows("what is waited for", lambda: "Not ready: the end of the log" in strips(browser))
        kafka.restart()
