"""One slice in one epoch: what of it is open, and the next write of it.

A slice is the part of a partition whose keys fall in one bucket. Its events are *waiting* (in lanes), then *gathered*
(answered by the processor), then in the *batch* of a write. `build` makes the write by the rules of the protocol
(`engine/README.md`): the stored record, less the batch, plus everything read and still open as holes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

from engine.aggregate import Period
from engine.core.record import BEGINNING, Record
from engine.event import Counts, Dead, Effect, Event, Totals
from engine.state.identity import arrival_day
from engine.state.packing import Applied, Owed, SliceWrite, Stored, Verdicts
from engine.state.summing import sum_up
from engine.state.weight import cut

if TYPE_CHECKING:
    from engine.state.epoch import Epoch

RECENT_MAX = 16_384
"""Identities of a partition that its worker remembers by itself, to leave out near duplicates without a round trip."""
RECENT_MIN = 32
"""The same of a slice, however many there are."""

ASK_WRITES = 16
"""So many writes after a rejection ask which of the next identities are remembered."""

Prepared = tuple[Event, Counts | Dead]
_OFFSET = attrgetter("offset")


class Stage(Enum):
    IDLE = auto()
    QUEUED = auto()
    IN_FLIGHT = auto()
    PUBLISHING = auto()
    """Messages of its effects are on their way; the write that inserts the effects comes after them."""


@dataclass(slots=True)
class Reaction:
    """What is due at the totals that the slice owes a reaction to."""

    digest: bytes
    effects: list[tuple[bytes, Period, bytes]]
    low: int | None
    """Lowest offset that is not done before the effects are in; None: nothing new is due."""


class Slice:
    """Mutable, owned by one epoch, touched by one task at a time between two awaits."""

    __slots__ = (
        "_after", "_after_encoded", "_asked", "_asks", "_position_at_start", "_recent", "_unread",
        "_weight", "batch", "bucket", "encoded",
        "epoch", "gathered", "known", "looked_s", "reaction", "record", "stage", "verdicts", "waiting",
    )  # fmt: skip

    def __init__(self, epoch: "Epoch", bucket: int, stored: Stored) -> None:
        self.epoch = epoch
        self.bucket = bucket
        self.encoded = stored.record
        self.record = Record.decode(stored.record)
        self._position_at_start = self.record.position
        self._unread = set(self.record.holes)
        self.waiting: dict[int, Event] = {}
        self.gathered: list[Prepared] = []
        self.batch: list[Prepared] = []
        self.verdicts: list[bool] | None = None
        self.known: set[int] = set()
        self._recent: dict[bytes, int] = {}
        self._asked: list[int] = []
        self._asks = 0
        self._weight = 0
        self._after = self.record
        self._after_encoded = stored.record
        self.reaction: Reaction | None = None
        self.stage = Stage.IDLE
        self.looked_s = float("-inf")

    # ---------------------------------------------------------------- reading
    def is_done(self, offset: int) -> bool:
        """Whether the record that the epoch began with names the event as in the state."""
        return offset < self._position_at_start and offset not in self._unread

    def read(self, offset: int) -> None:
        """The event was read (again): from now on it is open as waiting or gathered."""
        self._unread.discard(offset)

    # ---------------------------------------------------------------- what is open
    def oldest(self) -> Event | None:
        """The open event with the lowest offset, of those that were read."""
        events = [event for event, _ in self.gathered]
        events += [event for event, _ in self.batch]
        events += self.waiting.values()
        return min(events, key=_OFFSET, default=None)

    @property
    def has_work(self) -> bool:
        """Whether there is a reason for a write of its own."""
        return bool(self.gathered or self.batch or (self.reaction and self.reaction.low is not None))

    @property
    def owes(self) -> bool:
        """Whether a reaction, if only to nothing new, is still to be written: that may wait a little."""
        return self.reaction is not None

    # ---------------------------------------------------------------- writing
    def take(self, room: int) -> int:
        """Move gathered events into the batch, as many as `room` allows; one that was rejected goes as it was.

        Returns the batch's weight (`weight.py`).
        """
        if not self.batch:
            count, self._weight = cut(self.gathered, room) if self.gathered else (0, 0)
            self.batch, self.gathered = self.gathered[:count], self.gathered[count:]
        return self._weight

    def build(self) -> SliceWrite:
        """The write of the batch and of the reaction."""
        judged, counting, unmetered, dead = self._judge()
        self._after = self._next_record()
        self._after_encoded = self._after.encode()
        ask = self._ask() if self._asks else []
        self._asks = max(0, self._asks - 1)
        reaction = self.reaction
        return SliceWrite(
            bucket=self.bucket,
            partition=self.epoch.partition,
            before=self.encoded,
            after=self._after_encoded,
            judged=judged,
            updates=sum_up(counting),
            counted=len(counting) - unmetered,
            unmetered=unmetered,
            duplicate=len(judged) - len(counting),
            dead=dead,
            ask=ask,
            reacted=reaction.digest if reaction else b"",
            effects=reaction.effects if reaction else [],
            partitions=self.epoch.partitions,
        )

    def record_would_change(self) -> bool:
        """Whether position, holes or day have moved since the last write."""
        after, record = self._next_record(), self.record
        return (after.position, after.holes, after.day) != (
            record.position,
            record.holes,
            record.day,
        ) or not self.encoded

    def _judge(self) -> tuple[list[tuple[bytes, int, bool]], list[tuple[Event, Counts]], int, int]:
        horizon_d, recent, known = self.epoch.horizon_d, self._recent, self.known
        judged: list[tuple[bytes, int, bool]] = []
        counting: list[tuple[Event, Counts]] = []
        unmetered = dead = 0
        verdicts = iter(self.verdicts) if self.verdicts is not None else None
        for event, answer in self.batch:
            if isinstance(answer, Dead):
                dead += 1
                continue
            identity, adds, _ = answer
            day = arrival_day(event.timestamp)
            if verdicts is not None:
                duplicate = next(verdicts)
            else:
                seen = recent.get(identity)
                duplicate = event.offset in known or (seen is not None and abs(day - seen) <= horizon_d)
            judged.append((identity, day, duplicate))
            if not duplicate:
                recent[identity] = day
                counting.append((event, answer))
                if not adds:
                    unmetered += 1
        return judged, counting, unmetered, dead

    def _ask(self) -> list[tuple[bytes, int]]:
        """The identities that come next, as far as they are gathered: a reply names those that are remembered.

        Each costs a look-up more, so it is done for a while after a write was rejected for an identity's sake.
        """
        asked: list[int] = []
        ask: list[tuple[bytes, int]] = []
        for event, answer in self.gathered[: len(self.batch)]:
            if not isinstance(answer, Dead):
                asked.append(event.offset)
                ask.append((answer.identity, arrival_day(event.timestamp)))
        self._asked = asked
        return ask

    def _next_record(self) -> Record:
        epoch, record = self.epoch, self.record
        holes = sorted({*self._unread, *self.waiting, *(event.offset for event, _ in self.gathered)})
        return Record(
            position=max(record.position, epoch.position),
            holes=tuple(holes),
            day=self._day(holes),
            buckets=epoch.buckets,
            horizon_d=epoch.horizon_d,
            stamp=epoch.next_stamp(),
        )

    def _day(self, holes: Sequence[int]) -> int:
        """The arrival day at `low`. It never falls; while the lowest hole is not read again it stays."""
        before, epoch = self.record.day, self.epoch
        if holes and self._unread:
            return before
        if holes:
            low = self.waiting.get(holes[0]) or next(event for event, _ in self.gathered if event.offset == holes[0])
            day = arrival_day(low.timestamp)
        else:
            day = max(epoch.newest_day, epoch.end_day)
        return max(before, min(day, epoch.counted_day))

    # ---------------------------------------------------------------- answers
    def applied(self, answer: Applied) -> list[Prepared]:
        """The write is in the state. Returns the batch that it held."""
        self.record, self.encoded = self._after, self._after_encoded
        done, self.batch, self.verdicts = self.batch, [], None
        self.known = {offset for offset, known in zip(self._asked, answer.remembered, strict=False) if known}
        self.reaction = None
        recent_max = max(RECENT_MIN, RECENT_MAX // self.epoch.buckets)
        if len(self._recent) > recent_max:
            newest = islice(self._recent.items(), len(self._recent) - recent_max // 2, None)
            self._recent = dict(newest)
        return done

    def rejected(self, answer: Verdicts) -> None:
        """Nothing was written: the same batch goes again with the verdicts that Redis gave."""
        self.verdicts = answer.duplicates
        self._asks = ASK_WRITES

    def react(self, owed: Owed, effects: Sequence[tuple[Totals, Effect]], low: int | None) -> None:
        """The effects that are due at `owed`; those that stand already hold nothing up."""
        fresh = any(effect.name not in totals.standing for totals, effect in effects)
        named = [(totals.key, totals.period, effect.name) for totals, effect in effects]
        self.reaction = Reaction(owed.digest, named, low if fresh else None)

    def wait_for_reaction(self, low: int | None) -> None:
        """Which effects are due is not known yet; nothing from `low` on is done before they are in."""
        self.reaction = Reaction(b"", [], low)

    def done_offset(self) -> int:
        """The lowest offset of the slice that is not done; the epoch's position if there is none; -1 if unknown."""
        oldest = self.oldest()
        low = self.epoch.position if oldest is None else oldest.offset
        if self._unread:
            low = min(low, *self._unread)
        if self.reaction and self.reaction.low is not None:
            low = min(low, self.reaction.low)
        return low


def day_before(now_ms: int) -> int:
    """The arrival day that a slice at the log's end may claim, by a clock read before the log was asked for it."""
    return max(BEGINNING, arrival_day(now_ms) - 1)
