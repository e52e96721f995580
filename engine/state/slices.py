"""One slice in one epoch: what of it is open, and the next write of it.

A slice is the part of a partition whose keys fall in one bucket. Its events are *waiting* (in lanes), then *gathered*
(answered by the processor), then in the *batch* of a write. `build` makes the write by the rules of the protocol
(`engine/README.md`): the stored record, less the batch, plus everything read and still open as holes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from engine.aggregate import Period
from engine.core.record import BEGINNING, Record
from engine.event import Counts, Dead, Effect, Event, Totals
from engine.state.identity import DAY_MS, arrival_day
from engine.state.packing import Applied, Owed, SliceWrite, Stored, Verdicts
from engine.state.seen import number_of
from engine.state.summing import sum_up
from engine.state.weight import QUESTIONS_AN_EVENT, cut

if TYPE_CHECKING:
    from engine.state.epoch import Epoch

ASK_WRITES = 4
"""Two duplicates that were not known here within so many writes make as many ask which of the next identities are
remembered: an answer costs a third of what a rejection costs."""
ASK_LEAST = 32
"""A batch of fewer events is not worth a question: one of them rejected costs little."""
ASK_GROWTH = 2
"""Where writes ask, a batch may be so many times as large as the one before it."""

Prepared = tuple[Event, Counts | Dead]


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
        "_after", "_after_encoded", "_answered", "_asked", "_asking", "_asks",
        "_position_at_start", "_suspicious", "_unread", "_weight", "batch", "bucket", "encoded",
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
        self._asked: list[int] = []
        self._asking = 0
        """The write asks about so many of the first events gathered."""
        self._answered = 0
        """What is remembered of so many of the first events gathered is known."""
        self._asks = 0
        self._suspicious = 0
        """A rejection within so many writes makes them ask."""
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
    def lowest(self) -> int | None:
        """The lowest open offset, of the events that were read."""
        offsets = [event.offset for event, _ in self.gathered]
        offsets += [event.offset for event, _ in self.batch]
        offsets += self.waiting
        return min(offsets, default=None)

    def oldest(self) -> Event | None:
        """The event at `lowest`."""
        low = self.lowest()
        if low is None:
            return None
        return self.waiting.get(low) or next(
            event for prepared in (self.gathered, self.batch) for event, _ in prepared if event.offset == low
        )

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

        Returns what the write weighs (`weight.py`).
        """
        if not self.batch:
            for_events = room - room // QUESTIONS_AN_EVENT if self._asks else room
            first, self._weight = cut(self.gathered, for_events, self._askable()) if self.gathered else (0, 0)
            self.batch, self.gathered = self.gathered[:first], self.gathered[first:]
            self._answered = max(0, self._answered - first)
        self._asking = self._questions(room - self._weight) if self._asks else 0
        return self._weight + self._asking // QUESTIONS_AN_EVENT

    def _questions(self, room: int) -> int:
        """About how many of the events that are gathered next the write may ask."""
        wanted = ASK_GROWTH * max(len(self.batch), ASK_LEAST)
        return min(len(self.gathered), wanted, max(0, room) * QUESTIONS_AN_EVENT)

    def _askable(self) -> int:
        """How many of the gathered events may go: while writes ask, those that were asked about, else half of them."""
        if not (self._asks or self._answered) or len(self.gathered) < ASK_LEAST:
            return len(self.gathered)
        return self._answered or len(self.gathered) // 2

    def build(self) -> SliceWrite:
        """The write of the batch and of the reaction."""
        judged, counting, unmetered, dead = self._judge()
        self._after = self._next_record()
        self._after_encoded = self._after.encode()
        ask = self._ask()
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
        table, mask, nonce, known = self.epoch.seen.table, self.epoch.seen.mask, self.epoch.nonce, self.known
        judged: list[tuple[bytes, int, bool]] = []
        counting: list[tuple[Event, Counts]] = []
        unmetered = dead = day = day_ms = next_ms = 0
        verdicts = iter(self.verdicts) if self.verdicts is not None else None
        for event, answer in self.batch:
            if isinstance(answer, Dead):
                dead += 1
                continue
            identity = answer.identity
            if event.timestamp >= next_ms or event.timestamp < day_ms:
                day = arrival_day(event.timestamp)
                day_ms, next_ms = day * DAY_MS, (day + 1) * DAY_MS
            number = number_of(identity, nonce)
            if verdicts is not None:
                duplicate = next(verdicts)
            else:
                duplicate = table[number & mask] == number or event.offset in known
            judged.append((identity, day, duplicate))
            if not duplicate:
                table[number & mask] = number
                counting.append((event, answer))
                if not answer.adds:
                    unmetered += 1
        return judged, counting, unmetered, dead

    def _ask(self) -> list[tuple[bytes, int]]:
        """The identities that come next, as far as they are gathered: a reply names those that are remembered.

        Each costs a look-up more, so it is done for a while after a duplicate came that was not known here. Only what
        was asked about goes into the next write then.
        """
        ask: list[tuple[bytes, int]] = []
        self._asked = []
        for event, answer in self.gathered[: self._asking]:
            if not isinstance(answer, Dead):
                self._asked.append(event.offset)
                ask.append((answer.identity, arrival_day(event.timestamp)))
        return ask

    def _next_record(self) -> Record:
        epoch, record = self.epoch, self.record
        holes = sorted({*self._unread, *self.waiting, *[event.offset for event, _ in self.gathered]})
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
        self._answered = self._asking if answer.remembered else 0
        if self.known:
            self._asks = ASK_WRITES
        self._suspicious = max(0, self._suspicious - 1)
        self.reaction = None
        return done

    def rejected(self, answer: Verdicts) -> None:
        """Nothing was written: the same batch goes again with the verdicts that Redis gave."""
        self.verdicts = answer.duplicates
        if self._suspicious:
            self._asks = ASK_WRITES
        self._suspicious = ASK_WRITES

    def react(self, owed: Owed, effects: Sequence[tuple[Totals, Effect]], done: Sequence[Prepared] | None) -> None:
        """The effects that are due at `owed`; those that stand already hold nothing up.

        `done` left them owing; None: what did is not known.
        """
        fresh = any(effect.name not in totals.standing for totals, effect in effects)
        named = [(totals.key, totals.period, effect.name) for totals, effect in effects]
        self.reaction = Reaction(owed.digest, named, _lowest(done) if fresh else None)

    def wait_for_reaction(self, done: Sequence[Prepared] | None) -> None:
        """Which effects are due is not known yet; nothing of `done` is before they are in."""
        self.reaction = Reaction(b"", [], _lowest(done))

    def done_offset(self) -> int:
        """The lowest offset of the slice that is not done; the epoch's position if there is none; -1 if unknown."""
        low = self.lowest()
        if low is None:
            low = self.epoch.position
        if self._unread:
            low = min(low, *self._unread)
        if self.reaction and self.reaction.low is not None:
            low = min(low, self.reaction.low)
        return low


def _lowest(done: Sequence[Prepared] | None) -> int | None:
    """The lowest offset; None if there is none, -1 if it is not known."""
    return -1 if done is None else min([event.offset for event, _ in done], default=None)


def day_before(now_ms: int) -> int:
    """The arrival day that a slice at the log's end may claim, by a clock read before the log was asked for it."""
    return max(BEGINNING, arrival_day(now_ms) - 1)
