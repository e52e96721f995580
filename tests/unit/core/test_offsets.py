"""The tracker's refusals. The model is in `tests/property/test_core_offsets.py`."""

import pytest

from engine.core.offsets import SLACK, OffsetTracker


def test_an_offset_below_the_position_is_a_bug_of_the_caller() -> None:
    tracker = OffsetTracker(5)
    tracker.open(5)
    with pytest.raises(AssertionError, match="6 or higher"):
        tracker.open(5)


def test_completing_twice_is_a_bug_of_the_caller() -> None:
    tracker = OffsetTracker(5)
    tracker.open(5)
    tracker.open(6)
    tracker.complete(6)
    with pytest.raises(AssertionError, match="before"):
        tracker.complete(6)


def test_one_that_stays_open_does_not_keep_all_that_follow() -> None:
    """Guards the rebuilding of the window: a parked key must not cost memory for every event behind it."""
    tracker = OffsetTracker(0)
    tracker.open(0)
    for offset in range(1, 20 * SLACK):
        tracker.open(offset)
        tracker.complete(offset)
    assert len(tracker._window) <= SLACK + 2
    assert (tracker.committable, tracker.open_count, list(tracker.open_offsets())) == (0, 1, [0])
    tracker.complete(0)
    assert tracker.committable == 20 * SLACK
