"""The one write: slices that are ready share a call, and a call is sent until it is answered.

Each loop takes ready slices (one write of a slice is in flight at a time), packs them into one call, and hands the
answers back. What gathers meanwhile goes into the next call. An unknown outcome is resolved by sending the same bytes
again; a refusal ends the slice's epoch. After a write comes the reaction to what it left owing: messages of new effects
are acknowledged before the write that inserts the effects.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from engine import telemetry as catalogue
from engine.config import EngineConfig
from engine.core.record import Record
from engine.errors import StateDamaged, Unanswered, Unsendable
from engine.event import Effect, Message, Totals
from engine.ports import Sender, StateServer
from engine.processor import Reacts
from engine.state.keys import slice_key, tag
from engine.state.packing import (
    Applied,
    Damaged,
    Owed,
    Refused,
    SliceWrite,
    Verdicts,
    pack_apply,
    pack_check,
    unpack_apply,
)  # fmt: skip
from engine.state.slices import Prepared, Slice, Stage
from engine.telemetry import Telemetry

ASKS_MAX = 2_000
RESEND_BASE_S = 0.02
RESEND_CAP_S = 1.0
DAMAGE_RETRY_S = 5.0
CHECK_SLICES_MAX = 1_024
CLEAR_LINGER_S = 0.05


@dataclass(slots=True)
class WriterCounts:
    """What happened since the start; the source of metrics."""

    calls: int = 0
    events: int = 0
    unanswered: int = 0
    rejected: int = 0
    refused: dict[str, int] = field(default_factory=lambda: {"rollback": 0, "other owner": 0, "fork": 0})
    counted: int = 0
    unmetered: int = 0
    duplicates_dropped: int = 0
    dead_lettered: int = 0
    effects: int = 0
    damaged: int = 0


class Writer:
    """Shared by all partitions of a process. `run` in a task group; `queue` from anywhere in the same loop."""

    def __init__(
        self,
        config: EngineConfig,
        server: StateServer,
        sender: Sender,
        *,
        reacts: Reacts | None,
        telemetry: Telemetry,
        deletes_identities: bool,
        warn: Callable[[str], None],
        written: Callable[[Sequence[Prepared]], None],
    ) -> None:
        self._written = written
        self._config = config
        self._server = server
        self._sender = sender
        self._telemetry = telemetry
        self._by_function = {
            function: {catalogue.GROUP: config.group, catalogue.FUNCTION: function} for function in ("apply", "check")
        }
        self._reacts = reacts
        self._deletes = deletes_identities
        self._warn = warn
        self._ready: deque[Slice] = deque()
        self._lazy: list[Slice] = []
        self._bell = anyio.Event()
        self._tasks: TaskGroup | None = None
        self.counts = WriterCounts()

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            for number in range(self._config.calls_in_flight_max):
                tasks.start_soon(self._write_forever, name=f"writer {number}")
            tasks.start_soon(self._clear_lazily, name="clear")

    def queue(self, own: Slice) -> None:
        """The slice wants a write, or a look; nothing happens if one is under way: it is queued again after it."""
        if own.stage is Stage.IDLE and not own.epoch.ended:
            own.stage = Stage.QUEUED
            self._ready.append(own)
            self._bell.set()

    def look_at(self, slices: Sequence[Slice], *, not_since_s: float) -> None:
        """Queue those not written or compared since a time: position or day may rise, or writes be lost."""
        for own in slices:
            if own.looked_s < not_since_s:
                self.queue(own)

    def inherit(self, own: Slice, owed: Owed) -> None:
        """An epoch begins with a reaction for everything that the slice still owes."""
        self._react(own, owed, [], inherited=True)

    # ---------------------------------------------------------------- the loops
    async def _write_forever(self) -> None:
        while True:
            writing, checking = self._take()
            if writing:
                await self._write(writing)
            if checking:
                await self._check(checking)
            if not writing and not checking:
                await self._rung()

    async def _rung(self) -> None:
        if self._bell.is_set():
            self._bell = anyio.Event()
        await self._bell.wait()

    async def _clear_lazily(self) -> None:
        """Reactions that found nothing new due travel with the slice's next write, or on their own after a while."""
        while True:
            await anyio.sleep(CLEAR_LINGER_S)
            lazy, self._lazy = self._lazy, []
            for own in lazy:
                self.queue(own)

    def _take(self) -> tuple[list[Slice], list[Slice]]:
        writing: list[Slice] = []
        checking: list[Slice] = []
        room = self._config.call_events_max
        now_s = anyio.current_time()
        while self._ready and room > 0 and len(checking) < CHECK_SLICES_MAX:
            own = self._ready.popleft()
            if own.epoch.ended:
                continue
            own.stage = Stage.IN_FLIGHT
            own.looked_s = now_s
            if own.has_work or own.owes or own.record_would_change():
                room -= max(1, own.take(room))
                writing.append(own)
            else:
                checking.append(own)
        return writing, checking

    async def _write(self, slices: list[Slice]) -> None:
        """One call; a slice that cannot be written spoils no other, and is tried again after a while."""
        try:
            await self._write_together(slices)
        except (StateDamaged, ValueError) as error:
            if len(slices) > 1:
                for own in slices:
                    await self._write([own])
            elif not slices[0].epoch.ended:
                self._damaged(slices[0], str(error))

    async def _write_together(self, slices: list[Slice]) -> None:
        writes = [own.build(own.epoch.partition_count(), ASKS_MAX) for own in slices]
        config = self._config
        payload = pack_apply(config.group, config.buckets, config.horizon_d, self._deletes, writes)
        reply = await self._answered("apply", payload, slices)
        if reply is None:
            return
        self.counts.calls += 1
        events = sum(len(own.batch) for own in slices)
        self._telemetry.record(catalogue.CALL_EVENTS, events, self._by_function["apply"])
        for own, write, answer in zip(slices, writes, unpack_apply(reply), strict=True):
            if not own.epoch.ended:
                self._answer(own, write, answer)

    async def _check(self, slices: list[Slice]) -> None:
        compared = [(own.bucket, own.epoch.partition, own.encoded) for own in slices]
        payload = pack_check(self._config.group, compared)
        reply = await self._answered("check", payload, slices)
        if reply is None:
            return
        for own, answer in zip(slices, unpack_apply(reply), strict=True):
            if own.epoch.ended:
                continue
            if isinstance(answer, Refused):
                self._refused(own, answer)
            else:
                self._settle(own)

    async def _answered(self, function: str, payload: bytes, slices: Sequence[Slice]) -> list[bytes] | None:
        """The same bytes until they are answered; None once every epoch concerned is over."""
        first = slices[0]
        key = slice_key(tag(self._config.group, first.bucket), first.epoch.partition)
        delay_s = RESEND_BASE_S
        attributes = self._by_function[function]
        while True:
            try:
                began_s = anyio.current_time()
                with self._telemetry.span(catalogue.CALL_SPAN, attributes):
                    reply = await self._server.call(function, payload, key=key, writes=function == "apply")
                self._telemetry.record(catalogue.CALL_DURATION, anyio.current_time() - began_s, attributes)
                return reply
            except Unanswered as error:
                self.counts.unanswered += 1
                if delay_s >= RESEND_CAP_S / 2:
                    self._warn(f"the state server does not answer ({error}): the same call is sent again")
            await anyio.sleep(delay_s)
            delay_s = min(delay_s * 2, RESEND_CAP_S)
            if all(own.epoch.ended for own in slices):
                return None

    # ---------------------------------------------------------------- answers
    def _answer(self, own: Slice, write: SliceWrite, answer: Applied | Verdicts | Refused | Damaged) -> None:
        match answer:
            case Applied():
                self._applied(own, write, answer)
            case Verdicts():
                self.counts.rejected += 1
                own.rejected(answer)
                self._settle(own)
            case Refused():
                self._refused(own, answer)
            case Damaged():
                self._damaged(own, answer.reason)

    def _applied(self, own: Slice, write: SliceWrite, answer: Applied) -> None:
        counts = self.counts
        counts.counted += write.counted
        counts.unmetered += write.unmetered
        counts.duplicates_dropped += write.duplicate
        counts.dead_lettered += write.dead
        counts.effects += len(write.effects)
        done = own.applied(answer)
        counts.events += len(done)
        self._written(done)
        if answer.owed:
            self._react(own, answer.owed, done, inherited=False)
        own.epoch.released(done)
        if own.stage is not Stage.PUBLISHING:
            self._settle(own)

    def _damaged(self, own: Slice, reason: str) -> None:
        """An alarm, never a dead letter: the slice stops until the value is mended."""
        self.counts.damaged += 1
        self._warn(f"bucket {own.bucket}, partition {own.epoch.partition}: {reason}; nothing was written")
        self._start(self._later, own, DAMAGE_RETRY_S)

    def _settle(self, own: Slice) -> None:
        own.stage = Stage.IDLE
        if own.has_work:
            self.queue(own)
        elif own.owes:
            self._lazy.append(own)

    def _refused(self, own: Slice, answer: Refused) -> None:
        """Another owner, or lost writes: classify for people, drop the epoch either way."""
        stored, mine = Record.decode(answer.stored), own.record
        if stored.position < mine.position or not answer.stored:
            kind = "rollback"
        elif stored.position > mine.position or stored.stamp != mine.stamp:
            kind = "other owner"
        else:
            kind = "fork"
        self.counts.refused[kind] += 1
        found = f"bucket {own.bucket} holds a record up to {stored.position}, {mine.position} was expected"
        own.epoch.end(f"{kind}: {found}")

    # ---------------------------------------------------------------- reactions
    def _react(self, own: Slice, owed: Owed, done: Sequence[Prepared], *, inherited: bool) -> None:
        effects: list[tuple[Totals, Effect]] = []
        if self._reacts is not None:
            for totals in owed.totals:
                effects += [(totals, effect) for effect in self._reacts.react(totals)]
        own.react(owed, effects, done, inherited=inherited)
        messages = [
            effect.message for totals, effect in effects if effect.message and effect.name not in totals.standing
        ]
        if messages:
            own.stage = Stage.PUBLISHING
            self._start(self._publish, own, messages)
        elif inherited:
            self.queue(own)

    async def _publish(self, own: Slice, messages: list[Message]) -> None:
        delay_s = RESEND_BASE_S
        while not own.epoch.ended:
            try:
                await self._sender.send(messages)
            except (Unanswered, Unsendable) as error:
                self._warn(f"{len(messages)} messages of effects are not acknowledged ({error}): sent again")
                await anyio.sleep(delay_s)
                delay_s = min(delay_s * 2, RESEND_CAP_S)
            else:
                break
        for topic, count in Counter(message.topic for message in messages).items():
            self._telemetry.add(catalogue.SENT, count, catalogue.sending(topic))
        self._settle(own)

    async def _later(self, own: Slice, delay_s: float) -> None:
        await anyio.sleep(delay_s)
        self._settle(own)

    def _start(self, function: Callable[..., object], *arguments: object) -> None:
        assert self._tasks is not None, "the writer runs"
        self._tasks.start_soon(function, *arguments)  # type: ignore[arg-type]
