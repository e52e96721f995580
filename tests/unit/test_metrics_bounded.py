"""Trap 25: what is shown does not grow with keys, commits or time."""

from collections.abc import Iterator
from dataclasses import fields

import pytest

from engine import telemetry as catalogue
from engine.adapters.otel import OpenTelemetry
from engine.runtime.observed import observe
from engine.runtime.statistics import (
    PARKED_MAX,
    SAMPLES_MAX,
    Counters,
    HeldBack,
    Lanes,
    LatencySamples,
    Parked,
    PartitionStatistics,
    Statistics,
)
from tests.unit.state.events import FakeEvent

KEYS_MORE = 10_000


@pytest.fixture
def telemetry() -> Iterator[OpenTelemetry]:
    telemetry = OpenTelemetry("billing", "w1")
    yield telemetry
    telemetry.close()


def series(telemetry: OpenTelemetry) -> list[str]:
    """Names and labels of all samples."""
    return [line.rpartition(" ")[0] for line in telemetry.exposition().decode().splitlines() if line[:1] != "#"]


def after(number: int) -> Statistics:
    """An engine that has seen so many keys, each parked, each in an epoch and a commit of its own."""
    refused = dict.fromkeys(("rollback", "other owner", "fork"), number)
    names = [each.name for each in fields(Counters) if each.name != "refused"]
    counters = Counters(**dict.fromkeys(names, number), refused=refused)
    parked = [Parked(offset, f"{offset:x}", 1, f"reason {offset}") for offset in range(min(number, PARKED_MAX))]
    held_back = HeldBack(number, f"{number:x}", float(number), number, f"reason {number}")
    partition = PartitionStatistics(
        "usage", 0, "running", number, number, number, number, number, number, held_back, number, number, False, parked
    )  # fmt: skip
    return Statistics("w1", number, "memory", counters, None, Lanes(number, number, number, number, False), [partition])


def test_series_do_not_grow_with_what_was_seen(telemetry: OpenTelemetry) -> None:
    """Guards the attributes of `engine.telemetry`: none of them is a key, an offset, a reason or an epoch."""
    seen = [after(1)]
    observe(telemetry, "usage", "g", lambda: seen[-1])
    first = series(telemetry)
    for number in range(2, 50):
        seen.append(after(number * KEYS_MORE))
        assert series(telemetry) == first
    assert any("engine_in_flight" in each for each in first)


def test_what_is_recorded_keeps_its_series(telemetry: OpenTelemetry) -> None:
    """As often as it is called: counters and histograms hold sums, no samples."""
    attributes = {catalogue.GROUP: "g", catalogue.FUNCTION: "apply"}
    telemetry.record(catalogue.CALL_DURATION, 0.001, attributes)
    telemetry.add(catalogue.SENT, 1, catalogue.sending("usage.dead"))
    first = series(telemetry)
    for number in range(KEYS_MORE):
        telemetry.record(catalogue.CALL_DURATION, number / 1000, attributes)
        telemetry.add(catalogue.SENT, 1, catalogue.sending("usage.dead"))
    assert series(telemetry) == first


def test_a_key_cannot_become_an_attribute(telemetry: OpenTelemetry) -> None:
    """Guards `_check`: an attribute that the catalogue does not name is refused."""
    with pytest.raises(AssertionError, match="key"):
        telemetry.add(catalogue.SENT, 1, {"key": "acme"})


def test_latencies_are_those_of_recent_writes() -> None:
    """Guards `SAMPLES_MAX`."""

    class Clock:
        now = 0

        def now_ms(self) -> int:
            return self.now

    clock = Clock()
    samples = LatencySamples(clock)
    for _ in range(SAMPLES_MAX):
        samples.add([(FakeEvent(b"key", -1_000), None)])  # type: ignore[list-item]
    for _ in range(SAMPLES_MAX):
        samples.add([(FakeEvent(b"key", -1), None)])  # type: ignore[list-item]
    summary = samples.summary()
    assert summary is not None
    assert (summary.p50, summary.p99) == (1, 1), "the older ones are gone"
