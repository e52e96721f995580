"""Walks over the table of a partition's life, against what must hold whatever the table says."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.core import phases
from engine.core.phases import TRANSITIONS, Phase, Step
from tests.property.mutants import assert_fails, check

LETTING_GO = {Phase.DRAINING, Phase.CLOSED}


class PhasesModel(RuleBasedStateMachine):
    """`may_read`: the position is known, nothing has ended since, and the partition is ours."""

    def __init__(self) -> None:
        super().__init__()
        self.assigned()

    @precondition(lambda self: self.phase is Phase.CLOSED)
    @rule()
    def assigned(self) -> None:
        """Another life begins."""
        self.phase = Phase.RECOVERING
        self.may_read = False
        self.letting_go = False

    @rule(taken=st.sampled_from(Step))
    def take(self, taken: Step) -> None:
        if taken not in TRANSITIONS[self.phase]:
            assert taken is not Step.CLOSE, "lost to another member: nothing holds on to a partition"
            with pytest.raises(AssertionError, match=taken.name):
                phases.step(self.phase, taken)
            return
        before = self.phase
        self.phase = phases.step(self.phase, taken)
        if taken in {Step.HALT, Step.EPOCH_ENDED, Step.CLOSE, Step.DRAIN}:
            self.may_read = False
        if taken is Step.RECOVERED:
            assert not self.may_read, "it recovers once an epoch"
            self.may_read = True
        if taken in {Step.DRAIN, Step.CLOSE}:
            self.letting_go = True
        if taken is Step.CLOSE:
            assert self.phase is Phase.CLOSED
        if taken is Step.DRAIN:
            assert (self.phase is Phase.DRAINING) == (before is Phase.RUNNING), "only what runs has something to finish"
        if taken is Step.HALT:
            assert self.phase is Phase.HALTED
        if taken is Step.EPOCH_ENDED:
            assert self.phase is (Phase.CLOSED if before is Phase.DRAINING else Phase.RECOVERING)

    @invariant()
    def only_a_known_position_is_read_from(self) -> None:
        assert (self.phase is Phase.RUNNING) == self.may_read

    @invariant()
    def what_is_let_go_never_comes_back(self) -> None:
        assert (self.phase in LETTING_GO) == self.letting_go


TestPhases = PhasesModel.TestCase


def test_without_a_mutant() -> None:
    check(PhasesModel)


@pytest.mark.parametrize(
    ("phase", "taken", "becomes"),
    [
        (Phase.DRAINING, Step.EPOCH_ENDED, Phase.RECOVERING),
        (Phase.DRAINING, Step.CLOSE, Phase.DRAINING),
        (Phase.RUNNING, Step.EPOCH_ENDED, Phase.RUNNING),
        (Phase.RUNNING, Step.DRAIN, Phase.CLOSED),
        (Phase.RUNNING, Step.HALT, Phase.RUNNING),
        (Phase.RECOVERING, Step.HALT, Phase.RUNNING),
        (Phase.RECOVERING, Step.DRAIN, Phase.DRAINING),
        (Phase.HALTED, Step.EPOCH_ENDED, Phase.RUNNING),
        (Phase.HALTED, Step.DRAIN, Phase.HALTED),
        (Phase.HALTED, Step.RECOVERED, Phase.HALTED),
        (Phase.CLOSED, Step.EPOCH_ENDED, Phase.RECOVERING),
        (Phase.CLOSED, Step.RECOVERED, Phase.RUNNING),
        (Phase.RUNNING, Step.CLOSE, None),
    ],
)
def test_the_model_finds(phase: Phase, taken: Step, becomes: Phase | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line of the table is another one, or missing."""
    if becomes is None:
        monkeypatch.delitem(TRANSITIONS[phase], taken)
    else:
        monkeypatch.setitem(TRANSITIONS[phase], taken, becomes)
    assert_fails(PhasesModel)
