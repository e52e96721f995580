"""What users write: a processor with aggregates, or a plain `async def handle(event)` or `handle(events)` without."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from engine.event import Counts, Dead, Effect, Event, Totals

Answers: TypeAlias = Iterable[Counts | Dead]
Handler: TypeAlias = Callable[[Event], Awaitable[None]]
BatchHandler: TypeAlias = Callable[[Sequence[Event]], Awaitable[None]]
"""Gets consecutive events of one key. If it raises, they are handed over again one by one."""


class Processor(Protocol):
    """Says what events add to the aggregates. The answers follow from the events alone: a replay must give the same."""

    def prepare(self, key: bytes, events: Sequence[Event]) -> Answers | Awaitable[Answers]:
        """One answer for each of some consecutive events of `key`, in their order.

        A plain function runs inline, without a task; an `async def` runs in the key's lane, one call at a time.
        """
        ...


@runtime_checkable
class Reacts(Protocol):
    """A processor with this method is shown every watched total after a write has moved it."""

    def react(self, totals: Totals) -> Sequence[Effect]:
        """Every effect due at these totals, also those that stand already. Looks at totals, never at events."""
        ...


@runtime_checkable
class Waits(Protocol):
    """A processor with this method is not handed events that arrived later than what it knows."""

    def handles_until_ms(self) -> int | None:
        """Events with a later arrival wait, in milliseconds since 1970; None: all events."""
        ...


def reacting(processor: object) -> Reacts | None:
    """The processor, if it wants to see totals."""
    return processor if isinstance(processor, Reacts) else None


def waiting(processor: object) -> Waits | None:
    """The processor, if what it knows can lag behind the events."""
    return processor if isinstance(processor, Waits) else None
