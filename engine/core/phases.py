"""The life of one assigned partition, as a table: every transition lies in this file.

RECOVERING -> RUNNING      the records are read and the position is set
RECOVERING -> HALTED       state and log do not fit together; looked at again later
RUNNING -> RECOVERING      an epoch ended (refused, or the log moved): begin another
any -> DRAINING -> CLOSED  revoked or stopped: finish what is open, commit, let go
any -> CLOSED              lost, or the deadline has passed
"""

from enum import Enum
from typing import Final


class Phase(Enum):
    RECOVERING = "recovering"
    RUNNING = "running"
    HALTED = "halted"
    DRAINING = "draining"
    CLOSED = "closed"


class Step(Enum):
    RECOVERED = "recovered"
    HALT = "halt"
    EPOCH_ENDED = "epoch ended"
    DRAIN = "drain"
    CLOSE = "close"


TRANSITIONS: Final[dict[Phase, dict[Step, Phase]]] = {
    Phase.RECOVERING: {
        Step.RECOVERED: Phase.RUNNING,
        Step.HALT: Phase.HALTED,
        Step.EPOCH_ENDED: Phase.RECOVERING,
        Step.DRAIN: Phase.CLOSED,
        Step.CLOSE: Phase.CLOSED,
    },
    Phase.RUNNING: {
        Step.HALT: Phase.HALTED,
        Step.EPOCH_ENDED: Phase.RECOVERING,
        Step.DRAIN: Phase.DRAINING,
        Step.CLOSE: Phase.CLOSED,
    },
    Phase.HALTED: {Step.EPOCH_ENDED: Phase.RECOVERING, Step.DRAIN: Phase.CLOSED, Step.CLOSE: Phase.CLOSED},
    Phase.DRAINING: {Step.EPOCH_ENDED: Phase.CLOSED, Step.CLOSE: Phase.CLOSED},
    Phase.CLOSED: {Step.CLOSE: Phase.CLOSED},
}


def step(phase: Phase, taken: Step) -> Phase:
    """The phase after `taken`. A step that the table does not list is a bug in the caller."""
    assert taken in TRANSITIONS[phase], f"{taken.name} is not legal in {phase.name}"
    return TRANSITIONS[phase][taken]
