import pytest

from engine.core.phases import TRANSITIONS, Phase, Step, step


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("taken", Step)
def test_every_pair_is_in_the_table_or_refused(phase: Phase, taken: Step) -> None:
    if taken in TRANSITIONS[phase]:
        assert step(phase, taken) is TRANSITIONS[phase][taken]
    else:
        with pytest.raises(AssertionError, match=taken.name):
            step(phase, taken)


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_can_be_closed_at_once(phase: Phase) -> None:
    """Lost to another member: no phase may hold on to a partition."""
    if phase is not Phase.CLOSED:
        assert step(phase, Step.CLOSE) is Phase.CLOSED
