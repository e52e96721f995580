"""The tracker against a model too simple to be wrong: a list and a set."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.core.offsets import OffsetTracker


class OffsetTrackerModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tracker = OffsetTracker(5)
        self.opened: list[int] = []
        self.done: set[int] = set()
        self.next = 5

    @rule(gap=st.integers(0, 3))
    def open(self, gap: int) -> None:
        self.tracker.open(self.next + gap)
        self.opened.append(self.next + gap)
        self.next += gap + 1

    @rule(gap=st.integers(0, 3))
    def cross_a_gap(self, gap: int) -> None:
        self.next += gap
        self.tracker.read_to(self.next)

    @precondition(lambda self: set(self.opened) - self.done)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(set(self.opened) - self.done)))
        self.tracker.complete(offset)
        self.done.add(offset)

    @invariant()
    def nothing_below_committable_is_open(self) -> None:
        still_open = [offset for offset in self.opened if offset not in self.done]
        assert self.tracker.committable == min(still_open, default=self.next)
        assert self.tracker.open_count == len(still_open)


TestOffsetTracker = OffsetTrackerModel.TestCase


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
