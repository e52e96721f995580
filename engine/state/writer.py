"""The one write: slices that are ready share a call, and a call is sent until it is answered.

Each loop takes ready slices (one write of a slice is in flight at a time), packs them into one call (in a cluster: one
a bucket), and hands the answers back. What gathers meanwhile goes into the next call. An unknown outcome is resolved by
sending the same bytes again; a refusal ends the slice's epoch. After a write comes the reaction to what it left owing:
messages of new effects are acknowledged before the write that inserts the effects.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import anyio
from anyio.abc import TaskGroup

from engine import telemetry as catalogue
from engine.config import EngineConfig
from engine.core.record import Record
from engine.errors import StateDamaged, Unanswered, Unsendable
from engine.event import Effect, Message, Totals
from engine.notice import Tell, notice, shortened
from engine.ports import Call, Sender, StateServer
from engine.processor import Reacts
from engine.state.calling import RESEND_BASE_S, RESEND_CAP_S, Calling, Pending, shares
from engine.state.counts import WriterCounts
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
from engine.state.ready import Ready
from engine.state.seen import Seen
from engine.state.slices import Prepared, Slice, Stage
from engine.telemetry import Telemetry

DAMAGE_RETRY_S = 5.0
REACT_RETRY_S = 5.0
CLEAR_LINGER_S = 0.05


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
        tell: Tell,
        written: Callable[[Sequence[Prepared]], None],
    ) -> None:
        self._written = written
        self._config = config
        self._server = server
        self._sender = sender
        self._telemetry = telemetry
        self._attributes = {catalogue.GROUP: config.group, catalogue.FUNCTION: "apply"}
        self._reacts = reacts
        self._deletes = deletes_identities
        self._tell = tell
        self._ready = Ready(config.call_events_max, apart=server.clustered)
        self._lazy: list[Slice] = []
        self._tasks: TaskGroup | None = None
        self.counts = WriterCounts()
        self.seen = Seen()
        self._calling = Calling(
            server, config.group, counts=self.counts, telemetry=telemetry, tell=tell, answered=self._answered
        )

    @property
    def doubt(self) -> str | None:
        """Why the state server's newest answer is missing; None if it answers."""
        return self._calling.doubt

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            for number in range(self._config.calls_in_flight_max):
                tasks.start_soon(self._write_forever, name=f"writer {number}")
            tasks.start_soon(self._clear_lazily, name="clear")

    def queue(self, own: Slice) -> None:
        """The slice wants a write, or a look; nothing happens if one is under way: it is queued again after it."""
        if own.stage is Stage.IDLE and not own.epoch.ended:
            self._ready.add(own)

    def look_at(self, slices: Sequence[Slice], *, not_since_s: float) -> None:
        """Queue those not written or compared since a time: position or day may rise, or writes be lost."""
        for own in slices:
            if own.looked_s < not_since_s:
                self.queue(own)

    def inherit(self, own: Slice, owed: Owed) -> None:
        """An epoch begins with a reaction for everything that the slice still owes."""
        self._react(own, owed, None)
        if own.stage is not Stage.PUBLISHING:
            self.queue(own)

    # ---------------------------------------------------------------- the loops
    async def _write_forever(self) -> None:
        while True:
            writing, checking = await self._ready.next_call()
            with self._ready.under_way():
                if writing:
                    await self._send("apply", writing)
                if checking:
                    await self._send("check", checking)

    async def _clear_lazily(self) -> None:
        """Reactions that found nothing new due travel with the slice's next write, or on their own after a while."""
        while True:
            await anyio.sleep(CLEAR_LINGER_S)
            lazy, self._lazy = self._lazy, []
            for own in lazy:
                if own.owes:  # else it travelled with a write meanwhile
                    self.queue(own)
            self._ready.look_again()

    # ---------------------------------------------------------------- calls
    async def _send(self, function: str, slices: Sequence[Slice]) -> None:
        """Until it is answered; in a cluster a node that does not answer holds back no slices of the others.

        How many calls may be in doubt there has its bound in the slices: each is in one call at most.
        """
        pack = self._pack_write if function == "apply" else self._pack_check
        pending: list[Pending] = []
        for share in shares(self._server, slices, lambda own: own.bucket):
            try:
                pending.append(pack(share))
            except (StateDamaged, ValueError) as error:
                self._apart(share, str(error))
        doubtful = await self._calling.once(function, pending) if pending else []
        if doubtful and self._server.clustered:
            self._start(self._calling.until_answered, function, doubtful)
        else:
            await self._calling.until_answered(function, doubtful)

    def _pack_write(self, slices: Sequence[Slice]) -> Pending:
        writes = [own.build() for own in slices]
        config = self._config
        payload = pack_apply(config.group, config.buckets, config.horizon_d, self._deletes, writes)
        return Pending(self._call(slices[0], payload), slices, writes)

    def _pack_check(self, slices: Sequence[Slice]) -> Pending:
        compared = [(own.bucket, own.epoch.partition, own.encoded) for own in slices]
        return Pending(self._call(slices[0], pack_check(self._config.group, compared)), slices, ())

    def _call(self, first: Slice, payload: bytes) -> Call:
        return Call(slice_key(tag(self._config.group, first.bucket), first.epoch.partition), payload)

    def _apart(self, slices: Sequence[Slice], reason: str) -> None:
        """A slice that cannot be written spoils no other: each goes alone, and is tried again after a while."""
        if len(slices) > 1:
            self._start(self._send_apart, slices)
        elif not slices[0].epoch.ended:
            self._damaged(slices[0], reason)

    async def _send_apart(self, slices: Sequence[Slice]) -> None:
        for own in slices:
            if not own.epoch.ended:
                await self._send("apply", [own])

    # ---------------------------------------------------------------- answers
    def _answered(self, function: str, pending: Pending, reply: list[bytes] | StateDamaged) -> None:
        slices = pending.slices
        if isinstance(reply, StateDamaged) or len(reply) != len(slices):
            self._apart(slices, str(reply) if isinstance(reply, StateDamaged) else f"{len(reply)} answers")
            return
        if function == "apply":
            self._telemetry.record(catalogue.CALL_EVENTS, sum(len(own.batch) for own in slices), self._attributes)
        for place, own in enumerate(slices):
            if own.epoch.ended:
                continue
            try:
                (answer,) = unpack_apply(reply[place : place + 1])
                if function == "apply":
                    self._answer(own, pending.writes[place], answer)
                elif isinstance(answer, Refused):
                    self._refused(own, answer)
                else:
                    self._settle(own)
            except (StateDamaged, ValueError) as error:
                self._damaged(own, str(error))

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
        own.epoch.released(done)
        if answer.owed:
            self._react(own, answer.owed, done)
        if own.stage is not Stage.PUBLISHING:
            self._settle(own)

    def _damaged(self, own: Slice, reason: str) -> None:
        """An alarm, never a dead letter: the slice stops until the value is mended."""
        self.counts.damaged += 1
        text = f"bucket {own.bucket}, partition {own.epoch.partition}: {reason}; nothing was written"
        self._tell(notice("state.damaged", text, partition=own.epoch.partition, bucket=own.bucket))
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
    def _react(self, own: Slice, owed: Owed, done: Sequence[Prepared] | None) -> None:
        """`done` are not done before the effects are in; None: not known."""
        try:
            effects = self._due(owed)
        except Exception as error:  # noqa: BLE001 - whatever user code raises
            self._reaction_failed(own, owed, done, error)
            return
        own.react(owed, effects, done)
        messages = [
            effect.message for totals, effect in effects if effect.message and effect.name not in totals.standing
        ]
        if messages:
            own.stage = Stage.PUBLISHING
            self._start(self._publish, own, messages)

    def _due(self, owed: Owed) -> list[tuple[Totals, Effect]]:
        if self._reacts is None:
            return []
        return [(totals, effect) for totals in owed.totals for effect in self._reacts.react(totals)]

    def _reaction_failed(self, own: Slice, owed: Owed, done: Sequence[Prepared] | None, error: Exception) -> None:
        """The keys go on owing, and the slice waits: what it wrote is in the totals, and not done."""
        cause = shortened(f"{type(error).__name__}: {error}")
        text = f"bucket {own.bucket}, partition {own.epoch.partition}: react failed, {cause}; it is called again"
        self._tell(notice("reaction.failed", text, partition=own.epoch.partition, bucket=own.bucket, cause=cause))
        own.stage = Stage.PUBLISHING
        own.wait_for_reaction(done)
        self._start(self._react_again, own, owed, done)

    async def _react_again(self, own: Slice, owed: Owed, done: Sequence[Prepared] | None) -> None:
        await anyio.sleep(REACT_RETRY_S)
        if own.epoch.ended:
            return
        own.stage = Stage.IN_FLIGHT
        self._react(own, owed, done)
        if own.stage is not Stage.PUBLISHING:
            self._settle(own)

    async def _publish(self, own: Slice, messages: list[Message]) -> None:
        delay_s = RESEND_BASE_S
        while not own.epoch.ended:
            try:
                await self._sender.send(messages)
            except (Unanswered, Unsendable) as error:
                text = f"{len(messages)} messages of effects are not acknowledged ({error}): sent again"
                self._tell(notice("effects.unanswered", text, messages=len(messages)))
                await anyio.sleep(delay_s)
                delay_s = min(delay_s * 2, RESEND_CAP_S)
            else:
                for topic, count in Counter(message.topic for message in messages).items():
                    self._telemetry.add(catalogue.SENT, count, catalogue.sending(topic))
                break
        self._settle(own)

    async def _later(self, own: Slice, delay_s: float) -> None:
        await anyio.sleep(delay_s)
        self._settle(own)

    def _start(self, function: Callable[..., object], *arguments: object) -> None:
        assert self._tasks is not None, "the writer runs"
        self._tasks.start_soon(function, *arguments)  # type: ignore[arg-type]
