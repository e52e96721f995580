"""The n-th event of a name is seen when a count reaches n; a count that cannot be is refused."""

import pytest

from perf.harness.checks import CheckFailed
from perf.harness.sightings import Sighting, Sightings


def test_events_are_seen_when_the_count_reaches_them() -> None:
    sightings = Sightings({"a": [10, 20, 30], "b": [15]})

    sightings.see("a", 0, 11)
    sightings.see("a", 2, 25)
    sightings.see("b", 1, 40)
    sightings.see("a", 2, 50)

    assert sightings.found == [Sighting("a", 10, 25), Sighting("a", 20, 25), Sighting("b", 15, 40)]
    assert sightings.missing == 1


def test_latencies_leave_the_warm_up_out() -> None:
    sightings = Sightings({"a": [1_000_000, 2_000_000]})

    sightings.see("a", 2, 2_500_000)

    assert sightings.latencies_s(from_us=1_500_000) == [0.5]


def test_events_may_become_due_meanwhile() -> None:
    due_us = {"a": [10]}
    sightings = Sightings(due_us)
    sightings.see("a", 1, 12)

    due_us["a"].append(20)
    assert sightings.missing == 1
    sightings.see("a", 2, 22)

    assert sightings.missing == 0
    sightings.check()


@pytest.mark.parametrize(("count", "why"), [(1, "were seen before"), (4, "only 3 were sent")])
def test_a_count_that_falls_or_is_too_high_is_refused(count: int, why: str) -> None:
    sightings = Sightings({"a": [10, 20, 30]})
    sightings.see("a", 2, 35)

    with pytest.raises(CheckFailed, match=why):
        sightings.see("a", count, 40)


def test_a_lost_event_is_refused() -> None:
    sightings = Sightings({"a": [10, 20]})
    sightings.see("a", 1, 12)

    with pytest.raises(CheckFailed, match="1 of 2 events were never seen"):
        sightings.check()
