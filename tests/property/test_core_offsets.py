"""The tracker of offsets against a model too simple to be wrong: a list and a set."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.core import offsets
from engine.core.offsets import OffsetTracker
from tests.property.mutants import Mutant, assert_found, check, each

START = 5
SLACK = 3


@pytest.fixture(autouse=True)
def little_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsets, "SLACK", SLACK)


class OffsetTrackerModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tracker = OffsetTracker(START)
        self.still_open: list[int] = []
        self.next = START

    @rule(gap=st.integers(0, 3), count=st.integers(1, 5))
    def open(self, gap: int, count: int) -> None:
        for offset in range(self.next + gap, self.next + gap + count):
            self.tracker.open(offset)
            self.still_open.append(offset)
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
        self.tracker.complete(offset)
        self.still_open.remove(offset)

    @precondition(lambda self: self.still_open)
    @rule(count=st.integers(1, 10))
    def complete_what_is_behind_the_first(self, count: int) -> None:
        for offset in self.still_open[1 : count + 1]:
            self.tracker.complete(offset)
        del self.still_open[1 : count + 1]

    @invariant()
    def only_what_is_done_can_be_committed(self) -> None:
        assert self.tracker.committable == min(self.still_open, default=self.next)
        assert self.tracker.position == self.next

    @invariant()
    def what_is_open_is_known(self) -> None:
        assert list(self.tracker.open_offsets()) == self.still_open
        assert self.tracker.open_count == len(self.still_open)

    @invariant()
    def its_size_follows_what_is_open(self) -> None:
        assert len(self.tracker._open) == len(self.still_open)
        assert len(self.tracker._window) <= 2 * len(self.still_open) + 2 * SLACK


TestOffsetTracker = OffsetTrackerModel.TestCase


def test_without_a_mutant() -> None:
    check(OffsetTrackerModel)


@each(
    # what, where, a piece of its source, and what stands there instead
    Mutant("the open offset is committed", OffsetTracker,
           "committable", "self._window[0] if", "self._window[0] + 1 if"),
    Mutant("a gap at the end stops the watermark", OffsetTracker,
           "read_to", "max(self._position, position)", "self._position"),
    Mutant("the position falls", OffsetTracker, "read_to", "max(self._position, position)", "position"),
    Mutant("one completion frees one place", OffsetTracker, "complete", "while self", "if self"),
    Mutant("a completion is forgotten", OffsetTracker, "complete", "self._open.remove(offset)", "pass"),
    Mutant("done offsets are listed as open", OffsetTracker, "open_offsets", "if offset in self._open", ""),
    Mutant("done offsets are kept", OffsetTracker, "complete", "+ SLACK:", "+ 100 * SLACK:"),
    Mutant("open offsets are thrown away", OffsetTracker,
           "complete", "deque(self.open_offsets())", "deque([*self.open_offsets()][1:])"),
    Mutant("the position skips an offset", OffsetTracker, "open", "offset + 1", "offset + 2"),
)  # fmt: skip
def test_the_model_finds(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_found(OffsetTrackerModel, mutant, monkeypatch)
