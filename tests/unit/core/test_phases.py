"""The table as a whole. Walks over it are in `tests/property/test_core_phases.py`."""

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
