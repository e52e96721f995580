"""What a partition's events go through between being read and being done.

Two ledgers: `engine.state.epoch.Epoch` for processors with aggregates (done = written), and `PlainLedger` for plain
handlers (done = handled). The partition speaks to both in the same words.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from engine.core.done_map import DoneMap, decode_done, encode_done
from engine.core.offsets import OffsetTracker
from engine.errors import ForeignMetadata, StateLost
from engine.event import Event
from engine.notice import Tell, notice
from engine.ports import Committed
from engine.state.epoch import LogView
from engine.state.slices import Prepared

NOTHING = DoneMap()


class Ledger(Protocol):
    ended: bool

    def start_offset(self, log: LogView, *, from_log_start: bool, accept_lost_state: bool) -> int: ...
    def begin(self, start: int) -> None: ...
    def read(self, events: Sequence[Event], position: int, newest_timestamp: int | None) -> Sequence[Event]: ...
    def day_may_rise(self, clock_ms: int) -> bool: ...
    def at_end(self, clock_ms: int) -> None: ...
    def uncounted_day(self) -> int | None: ...
    def counted(self, day: int, partitions: int) -> None: ...
    def open(self, key: bytes, events: Sequence[Event]) -> None: ...
    def finish(self, key: bytes, prepared: Sequence[Prepared], *, waited: bool) -> None: ...
    def drained(self, held: int) -> bool: ...
    def done_offset(self) -> int | None: ...
    def snapshot(self) -> Committed | None: ...
    def oldest(self) -> Event | None: ...
    def end(self, reason: str) -> None: ...
    def forget(self) -> None:
        """The epoch is over: let go of its events now, not when the garbage collector comes by."""
        ...

    @property
    def position(self) -> int: ...
    @property
    def read_before(self) -> int:
        """Up to where an earlier epoch has read: what lies below is read again."""
        ...


class PlainLedger:
    """At least once: an event is done when its handler has returned.

    What is done beyond the lowest open offset travels in the commit's metadata, so that a restart does not repeat it.
    """

    def __init__(
        self,
        partition: int,
        *,
        released: Callable[[Sequence[Event]], None],
        on_end: Callable[[str], None],
        tell: Tell,
    ) -> None:
        self.ended = False
        self._partition = partition
        self._released = released
        self._on_end = on_end
        self._tell = tell
        self._offsets: OffsetTracker[Event] = OffsetTracker(0)
        self._before = NOTHING
        """What an earlier epoch had done beyond its watermark."""

    @property
    def position(self) -> int:
        return self._offsets.position

    @property
    def read_before(self) -> int:
        return self._before.end

    def start_offset(self, log: LogView, *, from_log_start: bool, accept_lost_state: bool) -> int:
        """The committed offset, and what the commit says is done beyond it.

        Raises:
            StateLost: the committed offset is not in the log any more, or not yet.
        """
        name, committed = f"partition {self._partition}", log.committed
        if committed is None:
            if log.beginning and not from_log_start:
                text = f"{name}: no committed offset was found; begins where the log does, at {log.beginning}"
                self._tell(notice("commit.missing", text, partition=self._partition, position=log.beginning))
            return log.beginning
        if committed.offset > log.end:
            raise StateLost(
                f"{name}: offset {committed.offset} is committed, but the log ends at {log.end}: it was truncated or "
                "created again; nothing was read. Reset the group's offset to go on"
            )
        if committed.offset < log.beginning and not accept_lost_state:
            raise StateLost(
                f"{name}: events from offset {committed.offset} were not handled, but the log begins at "
                f"{log.beginning}: retention cut them; set ENGINE_ACCEPT_LOST_STATE to go on without them"
            )
        try:
            self._before = decode_done(committed.metadata, watermark=committed.offset, end=log.end)
        except ForeignMetadata as error:
            text = f"{name}: the commit's metadata is not used: {error}"
            self._tell(notice("commit.foreign", text, partition=self._partition))
        return max(committed.offset, log.beginning)

    def begin(self, start: int) -> None:
        self._offsets = OffsetTracker(start)

    def read(self, events: Sequence[Event], position: int, newest_timestamp: int | None) -> Sequence[Event]:
        """Everything below `position` was delivered or is a gap. Returns the events that are not done yet."""
        if self._before:
            events = [event for event in events if event.offset not in self._before]
        opened: dict[int, Event | None] = {event.offset: event for event in events}
        assert len(opened) == len(events), f"partition {self._partition}: an offset was delivered twice"
        self._offsets.open(opened)
        self._offsets.read_to(position)
        if position >= self._before.end:
            self._before = NOTHING
        return events

    def day_may_rise(self, clock_ms: int) -> bool:
        """Nothing depends on the day of a partition without state."""
        return False

    def at_end(self, clock_ms: int) -> None:
        """The same."""

    def uncounted_day(self) -> int | None:
        """Nor on the number of partitions."""
        return None

    def counted(self, day: int, partitions: int) -> None:
        """The same."""

    def open(self, key: bytes, events: Sequence[Event]) -> None:
        """They are since they were read."""

    def finish(self, key: bytes, prepared: Sequence[Prepared], *, waited: bool) -> None:
        self.handled([event for event, _ in prepared])

    def handled(self, events: Sequence[Event]) -> None:
        """These events are done, whatever their keys."""
        if not self.ended:
            self._offsets.complete([event.offset for event in events])
            self._released(events)

    def drained(self, held: int) -> bool:
        """Nothing is open but `held` events."""
        return self._offsets.open_count == held

    def done_offset(self) -> int | None:
        return self._offsets.committable

    def snapshot(self) -> Committed | None:
        """What to commit: one moment's watermark, and what is done beyond it at the same moment."""
        offsets, before = self._offsets, self._before
        metadata = encode_done(offsets.committable, offsets.position, offsets.open_offsets(), before=before)
        return Committed(offsets.committable, metadata)

    def oldest(self) -> Event | None:
        return self._offsets.oldest

    def end(self, reason: str) -> None:
        if not self.ended:
            self.ended = True
            self._on_end(reason)

    def forget(self) -> None:
        self._offsets.forget_items()
