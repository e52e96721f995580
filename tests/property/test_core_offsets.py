"""The tracker of offsets against a model too simple to be wrong: a list and a set."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.core.offsets import OffsetTracker
from tests.property.mutants import Mutant, assert_found, check, each

START = 5


class OffsetTrackerModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tracker = OffsetTracker[str](START)
        self.still_open: list[int] = []
        self.next = START

    @rule(gap=st.integers(0, 3), count=st.integers(1, 5))
    def open(self, gap: int, count: int) -> None:
        offsets = range(self.next + gap, self.next + gap + count)
        self.tracker.open({offset: f"at {offset}" for offset in offsets})
        self.still_open += offsets
        self.next += gap + count

    @rule(gap=st.integers(0, 3))
    def cross_a_gap(self, gap: int) -> None:
        self.next += gap
        self.tracker.read_to(self.next)

    @rule(back=st.integers(1, 3))
    def hear_of_an_older_position(self, back: int) -> None:
        self.tracker.read_to(max(0, self.next - back))

    @precondition(lambda self: self.still_open)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(self.still_open))
        self.tracker.complete([offset])
        self.still_open.remove(offset)

    @precondition(lambda self: self.still_open)
    @rule(count=st.integers(1, 10))
    def complete_what_is_behind_the_first(self, count: int) -> None:
        self.tracker.complete(self.still_open[1 : count + 1])
        del self.still_open[1 : count + 1]

    @invariant()
    def only_what_is_done_can_be_committed(self) -> None:
        assert self.tracker.committable == min(self.still_open, default=self.next)
        assert self.tracker.position == self.next
        assert self.tracker.oldest == (f"at {self.still_open[0]}" if self.still_open else None)

    @invariant()
    def what_is_open_is_known(self) -> None:
        assert list(self.tracker.open_offsets()) == self.still_open
        assert self.tracker.open_count == len(self.still_open)

    @invariant()
    def its_size_follows_what_is_open(self) -> None:
        assert len(self.tracker._open) == len(self.still_open)


TestOffsetTracker = OffsetTrackerModel.TestCase


def test_without_a_mutant() -> None:
    check(OffsetTrackerModel)


@each(
    # what, where, a piece of its source, and what stands there instead
    Mutant("the open offset is committed", OffsetTracker, "committable", "next(iter(self._open), self._position)",
           "next(iter(self._open), self._position - 1) + 1"),
    Mutant("the newest holds the watermark", OffsetTracker, "committable", "iter(", "reversed("),
    Mutant("the newest is the oldest", OffsetTracker, "oldest", "iter(", "reversed("),
    Mutant("a gap at the end stops the watermark", OffsetTracker,
           "read_to", "max(self._position, position)", "self._position"),
    Mutant("the position falls", OffsetTracker, "read_to", "max(self._position, position)", "position"),
    Mutant("a completion is forgotten", OffsetTracker, "complete", "del still_open[offset]", "pass"),
    Mutant("only the first of several is completed", OffsetTracker, "complete", "for offset in offsets:",
           "for offset in [*offsets][:1]:"),
    Mutant("the position skips an offset", OffsetTracker, "open", "last + 1", "last + 2"),
    Mutant("the position stays at the first", OffsetTracker, "open", "last + 1", "first + 1"),
)  # fmt: skip
def test_the_model_finds(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_found(OffsetTrackerModel, mutant, monkeypatch)
