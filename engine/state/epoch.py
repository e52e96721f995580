"""One epoch of one partition: from reading its records until a refusal, a rebalance or the end.

An epoch installs nothing. It reads the records of all slices, starts at the lowest offset that any of them lacks, skips
what they name as done, and from then on builds every write on the record that it wrote last. Refused once, it is over:
`on_end` is told, and whoever owns the partition begins another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from engine.core.record import BEGINNING, Stamp
from engine.errors import StateLost
from engine.event import Event
from engine.ports import Committed
from engine.state.identity import arrival_day, bucket_of
from engine.state.packing import Stored
from engine.state.seen import Seen
from engine.state.slices import Prepared, Slice, Stage, day_before


@dataclass(frozen=True, slots=True)
class LogView:
    """What the log and the group say of a partition at an epoch's beginning."""

    beginning: int
    end: int
    committed: Committed | None


class Epoch:
    """The open and done events of a partition, by slices."""

    def __init__(
        self,
        partition: int,
        stored: Sequence[Stored],
        *,
        nonce: int,
        horizon_d: int,
        partitions: int,
        seen: Seen,
        queue: Callable[[Slice], None],
        released: Callable[[Sequence[Prepared]], None],
        on_end: Callable[[str], None],
    ) -> None:
        self.partition = partition
        self.buckets = len(stored)
        self.horizon_d = horizon_d
        self.partitions = partitions
        """How many the topic has; asked for after `counted_day` was known."""
        self.ended = False
        self.newest_day = BEGINNING
        self.end_day = BEGINNING
        self.nonce = nonce
        self.seen = seen
        self._serial = 0
        self._queue = queue
        self._released = released
        self._on_end = on_end
        self.position = 0
        self.slices = [Slice(self, bucket, each) for bucket, each in enumerate(stored)]
        for each in self.slices:
            each.record.require(buckets=self.buckets, horizon_d=horizon_d)
        self.counted_day = max(each.record.day for each in self.slices)
        self.read_before = max(each.record.position for each in self.slices)

    def start_offset(self, log: LogView, *, from_log_start: bool, accept_lost_state: bool) -> int:
        """Where to read from: the lowest offset that a slice lacks.

        Raises:
            StateLost: the log does not hold what the state lacks, or is shorter than what the state holds.
        """
        name = f"partition {self.partition}"
        written = [each for each in self.slices if each.encoded]
        if written and self.read_before > log.end:
            raise StateLost(
                f"{name}: the state holds events up to offset {self.read_before}, but the log ends at {log.end}: "
                "it was truncated or created again; nothing was read"
            )
        start = min(each.record.low for each in self.slices)
        if start >= log.beginning or accept_lost_state:
            return max(start, log.beginning)
        if not written and log.committed is None:
            if from_log_start:
                return log.beginning
            raise StateLost(
                f"{name}: neither state nor a committed offset was found, and the log begins at {log.beginning}: a new "
                "group, or lost state; set ENGINE_FROM_LOG_START to begin there"
            )
        if from_log_start and not any(each.record.low < log.beginning for each in written):
            return log.beginning
        raise StateLost(
            f"{name}: the state lacks events from offset {start}, but the log begins at {log.beginning}: retention cut "
            "what Redis lost; set ENGINE_ACCEPT_LOST_STATE to go on with incomplete figures"
        )

    def begin(self, start: int) -> None:
        """Reading starts at `start`; slices that were never written are, so that a later start finds them."""
        self.position = start
        for each in self.slices:
            if not each.encoded:
                self._queue(each)

    def next_stamp(self) -> Stamp:
        self._serial += 1
        return Stamp(self.nonce, self._serial)

    def slice_of(self, key: bytes) -> Slice:
        return self.slices[bucket_of(key, self.buckets)]

    # ---------------------------------------------------------------- reading
    def read(self, events: Sequence[Event], position: int, newest_timestamp: int | None) -> Sequence[Event]:
        """Everything below `position` was delivered or is a gap. Returns the events that are not in the state yet.

        What it returns is to be opened or finished before anything else happens.
        """
        self.position = max(self.position, position)
        if newest_timestamp is not None:
            self.newest_day = max(self.newest_day, arrival_day(newest_timestamp))
        if not events or events[0].offset >= self.read_before:
            return events
        return self._undone(events)

    def _undone(self, events: Sequence[Event]) -> Sequence[Event]:
        undone: list[Event] = []
        for event in events:
            own = self.slice_of(event.key or b"")
            if not own.is_done(event.offset):
                own.read(event.offset)
                undone.append(event)
        return undone

    def day_may_rise(self, clock_ms: int) -> bool:
        """Whether `at_end` would say anything new."""
        return day_before(clock_ms) > max(self.end_day, self.newest_day)

    def at_end(self, clock_ms: int) -> None:
        """The log was asked for its end, and everything below was read; `clock_ms` was read before it was asked."""
        self.end_day = max(self.end_day, day_before(clock_ms))

    def uncounted_day(self) -> int | None:
        """The day that records may claim once the partitions are counted anew; None if there is nothing to gain."""
        day = max(self.newest_day, self.end_day)
        return day if day > self.counted_day else None

    def counted(self, day: int, partitions: int) -> None:
        """The topic had so many partitions after `day` was known.

        Identities are forgotten by the days of all partitions' records, so a record claims no day that its writer's
        count of them is older than.
        """
        self.partitions = max(self.partitions, partitions)
        self.counted_day = max(self.counted_day, day)

    def open(self, key: bytes, events: Sequence[Event]) -> None:
        """The events go into a lane."""
        waiting = self.slice_of(key).waiting
        for event in events:
            waiting[event.offset] = event

    def finish(self, key: bytes, prepared: Sequence[Prepared], *, waited: bool) -> None:
        """The processor has answered, dead letters are acknowledged: the events go into the slice's next write."""
        if self.ended:
            return
        own = self.slice_of(key)
        if waited:
            for event, _ in prepared:
                del own.waiting[event.offset]
        own.gathered += prepared
        self._queue(own)

    # ---------------------------------------------------------------- outcome
    def released(self, prepared: Sequence[Prepared]) -> None:
        if not self.ended:
            self._released(prepared)

    def done_offset(self) -> int | None:
        """Every event below it is done; None while an inherited reaction is not written."""
        low = min(each.done_offset() for each in self.slices)
        return None if low < 0 else low

    def snapshot(self) -> Committed | None:
        """What to commit, for people: the state goes by its own records."""
        done = self.done_offset()
        return None if done is None else Committed(done, "")

    def oldest(self) -> Event | None:
        """The open event with the lowest offset."""
        lowest = [(low, each) for each in self.slices if (low := each.lowest()) is not None]
        return min(lowest, key=itemgetter(0))[1].oldest() if lowest else None

    def drained(self, held: int) -> bool:
        """Nothing is open but `held` events in lanes, and nothing is owed."""
        if any(each.stage is not Stage.IDLE or each.has_work for each in self.slices):
            return False
        return sum(len(each.waiting) for each in self.slices) == held

    def end(self, reason: str) -> None:
        """The epoch is over; what still arrives of it changes nothing here."""
        if not self.ended:
            self.ended = True
            self._on_end(reason)

    def forget(self) -> None:
        """Let go of the events of an epoch that is over: calls in doubt may keep its slices for long."""
        for each in self.slices:
            each.waiting, each.gathered, each.batch = {}, [], []
