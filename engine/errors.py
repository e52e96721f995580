"""Every error the engine raises.

EngineError
├── ConfigError           the operator must change a setting; raised before any I/O, lists all problems at once
├── StateError            the state cannot be used as it is; the partition stops and says why
│   ├── StateLost         records are missing or point outside the log, and the log cannot rebuild them
│   ├── StateMismatch     the records were written under another bucket count or horizon
│   └── StateDamaged      a value in Redis has a type or a length that the engine never writes
├── HandlerFailed         the handler failed for the last time and `on_failure` is `stop`
├── ForeignMetadata       a commit's metadata is not one that the engine wrote for this watermark; it claims nothing
├── Unsendable            a message that the servers of the log will never take, however often it is sent
└── Unanswered            a call to another server may or may not have been carried out
"""


class EngineError(Exception):
    """Base class: catching it catches everything that the engine raises on purpose."""


class ConfigError(EngineError):
    """One or more settings are invalid; the message lists all of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class StateError(EngineError):
    """The state in Redis and the log do not fit together; nothing is written."""


class StateLost(StateError):
    """The log no longer holds what Redis would need to be rebuilt."""


class StateMismatch(StateError):
    """The records in Redis were written under another bucket count or horizon."""


class StateDamaged(StateError):
    """A value in Redis is not one that the engine writes: an alarm, never a dead letter."""


class ForeignMetadata(EngineError):
    """A commit's metadata cannot be used here: the caller takes nothing beyond the watermark as done."""


class Unanswered(EngineError):
    """The request was lost, refused for now, or its answer was: the same bytes must be sent again."""


class Unsendable(EngineError):
    """The servers of the log will never take this message as it is: it is too large.

    None of the messages of that send may be taken as sent; those that are not the cause must be sent again.
    """


class HandlerFailed(EngineError):
    """A handler failed for the last time, and the engine stops as it was told to: the event is not done.

    `partition` and `offset` name it; a restart begins with it.
    """

    def __init__(self, partition: int, offset: int, cause: str) -> None:
        super().__init__(f"partition {partition}, offset {offset}: {cause}; the engine stopped, the event is not done")
        self.partition = partition
        self.offset = offset
