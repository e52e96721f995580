"""The tracker's refusals. The model is in `tests/property/test_core_offsets.py`."""

import sys

import pytest

from engine.core.offsets import OffsetTracker


def test_an_offset_below_the_position_is_a_bug_of_the_caller() -> None:
    tracker = OffsetTracker[str](5)
    tracker.open({5: "a"})
    with pytest.raises(AssertionError, match="6 or higher"):
        tracker.open({5: "a"})
    with pytest.raises(AssertionError, match="do not ascend"):
        tracker.open({9: "c", 6: "a", 7: "b"})


def test_completing_twice_is_a_bug_of_the_caller() -> None:
    tracker = OffsetTracker[str](5)
    tracker.open({5: "a", 6: "b"})
    tracker.complete([6])
    with pytest.raises(AssertionError, match="before"):
        tracker.complete([6])
    with pytest.raises(AssertionError, match="before"):
        tracker.complete([5, 5])


def test_one_that_stays_open_does_not_keep_all_that_follow() -> None:
    """A parked key must not cost memory for every event behind it."""
    tracker = OffsetTracker[bytes](0)
    tracker.open({0: b""})
    for offset in range(1, 20_000):
        tracker.open({offset: b""})
        tracker.complete([offset])
    assert sys.getsizeof(tracker._open) < 1_000
    assert (tracker.committable, tracker.open_count, list(tracker.open_offsets())) == (0, 1, [0])
    tracker.complete([0])
    assert tracker.committable == 20_000


def test_what_is_forgotten_stays_open() -> None:
    tracker = OffsetTracker[str](0)
    tracker.open({3: "a", 4: "b"})
    before = tracker.oldest
    tracker.forget_items()
    assert (before, tracker.oldest) == ("a", None)
    assert (tracker.committable, tracker.open_count) == (3, 2)
