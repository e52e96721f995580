"""What a partition's events go through between being read and being done.

Two ledgers: `engine.state.epoch.Epoch` for processors with aggregates (done = written), and `PlainLedger` for plain
handlers (done = handled). The partition speaks to both in the same words.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from engine.core.offsets import OffsetTracker
from engine.event import Event
from engine.state.slices import Prepared


class Ledger(Protocol):
    ended: bool

    def begin(self, start: int) -> None: ...
    def read_to(self, position: int, newest_timestamp: int | None) -> None: ...
    def at_end(self, clock_ms: int) -> None: ...
    def undone(self, key: bytes, events: Sequence[Event]) -> Sequence[Event]: ...
    def open(self, key: bytes, events: Sequence[Event]) -> None: ...
    def finish(self, key: bytes, prepared: Sequence[Prepared], *, waited: bool) -> None: ...
    def done_offset(self) -> int | None: ...
    def oldest(self) -> Event | None: ...
    def end(self, reason: str) -> None: ...

    @property
    def drained(self) -> bool: ...

    @property
    def position(self) -> int: ...


class PlainLedger:
    """At least once: an event is done when its handler has returned."""

    def __init__(self, *, released: Callable[[Sequence[Prepared]], None], on_end: Callable[[str], None]) -> None:
        self.ended = False
        self.position = 0
        self._released = released
        self._on_end = on_end
        self._offsets = OffsetTracker(0)
        self._events: dict[int, Event] = {}

    def begin(self, start: int) -> None:
        self.position = start
        self._offsets = OffsetTracker(start)

    def read_to(self, position: int, newest_timestamp: int | None) -> None:
        """The tracker follows when the events below are opened; here only gaps at the end of what was read matter."""
        self.position = max(self.position, position)

    def at_end(self, clock_ms: int) -> None:
        """Nothing depends on the day of a partition without state."""

    def undone(self, key: bytes, events: Sequence[Event]) -> Sequence[Event]:
        return events

    def open(self, key: bytes, events: Sequence[Event]) -> None:
        for event in events:
            self._events[event.offset] = event

    def opened_in_order(self, events: Sequence[Event]) -> None:
        """All events of a fetch, ascending, before their lanes get them."""
        for event in events:
            self._offsets.open(event.offset)
        self._offsets.read_to(self.position)

    def finish(self, key: bytes, prepared: Sequence[Prepared], *, waited: bool) -> None:
        if self.ended:
            return
        for event, _ in prepared:
            self._events.pop(event.offset, None)
            self._offsets.complete(event.offset)
        self._released(prepared)

    def done_offset(self) -> int | None:
        return self._offsets.committable

    def oldest(self) -> Event | None:
        return self._events.get(self._offsets.committable)

    def end(self, reason: str) -> None:
        if not self.ended:
            self.ended = True
            self._on_end(reason)

    @property
    def drained(self) -> bool:
        return self._offsets.open_count == 0
