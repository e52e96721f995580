"""One assigned partition: from recovering its state, through its epochs, to letting it go."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import anyio

from engine.config import EngineConfig
from engine.core.phases import Phase, Step, step
from engine.errors import StateError, Unanswered
from engine.notice import Field, Tell, notice
from engine.ports import Committed, Log, StateServer
from engine.runtime.intake import Intake
from engine.runtime.ledger import Ledger, PlainLedger
from engine.runtime.work import Work
from engine.state.epoch import Epoch, LogView
from engine.state.packing import Stored
from engine.state.records import read_slices
from engine.state.writer import Writer

T = TypeVar("T")

HALT_RETRY_S = 10.0
ASK_AGAIN_S = 0.5
BACK_OFF_S = 0.2


class Partition:
    """`run` it in a task; `drain` or `close` it from the rebalance."""

    def __init__(
        self,
        number: int,
        *,
        config: EngineConfig,
        log: Log,
        work: Work,
        server: StateServer | None,
        writer: Writer | None,
        random: Random,
        seeking: anyio.Lock,
        tell: Tell,
    ) -> None:
        self.number = number
        self.phase = Phase.RECOVERING
        self.halted: str | None = None
        self.committed: Committed | None = None
        self.committed_s = 0.0
        self._let_go: anyio.Event | None = None
        self.epochs = 0
        self._config = config
        self._log = log
        self._work = work
        self._server = server
        self._writer = writer
        self._random = random
        self._seeking = seeking
        self._tell = tell
        self._ended = anyio.Event()
        self._scope = anyio.CancelScope()
        self.intake: Intake | None = None

    # ---------------------------------------------------------------- what the fetch loop sees
    @property
    def wants_events(self) -> bool:
        """It runs, there is room, and nobody paused it."""
        if self.phase is not Phase.RUNNING or self.intake is None or self.intake.in_flight.full:
            return False
        return not self.paused

    @property
    def reads(self) -> bool:
        """Whether what a fetch brings is taken in. Not while it drains: that would begin what has to be finished."""
        return self.phase is Phase.RUNNING

    @property
    def paused(self) -> bool:
        """By command."""
        return self._work.holds.holds_partition(self.number)

    @property
    def waits_for_write(self) -> str:
        """Why what was handled is not done yet, in words."""
        doubt = self._writer.doubt if self._writer is not None else None
        return "waiting for its write" if doubt is None else f"waiting for Redis: {doubt}"

    @property
    def ledger(self) -> Ledger | None:
        return self.intake.ledger if self.intake is not None and self.phase in (Phase.RUNNING, Phase.DRAINING) else None

    # ---------------------------------------------------------------- life
    async def run(self) -> None:
        """Epoch after epoch, until closed."""
        with self._scope:
            while self.phase is not Phase.CLOSED:
                try:
                    await self._begin()
                except StateError as error:
                    await self._halt(error)
                    continue
                except Unanswered as error:  # not ours any more, as it seems: the group will say so
                    self._say("partition.waiting", f"does not begin: {error}")
                    await anyio.sleep(ASK_AGAIN_S)
                    continue
                await self._ended.wait()
                await self.cancel_calls()
                if self.phase is Phase.RECOVERING:
                    await self._confirm_ownership()

    async def drain(self, drain_s: float, commit: Callable[["Partition"], Awaitable[None]]) -> None:
        """Finish what is open within the deadline, commit, let go. A second call waits for the first."""
        if self._let_go is not None:
            await self._let_go.wait()
            return
        self._let_go = anyio.Event()
        try:
            if self.phase is Phase.RUNNING:
                self.phase = step(self.phase, Step.DRAIN)
                await self._finish(drain_s)
                if self.ledger is not None:
                    await commit(self)
                self._say_drained()
            self.close()
            await self.cancel_calls()
        finally:
            self._let_go.set()

    async def _finish(self, drain_s: float) -> None:
        """Until everything that can be done is done, or the deadline: then nothing more begins, and what runs ends."""
        assert self.intake is not None, "it runs"
        self.intake.turns.drain()
        with anyio.move_on_after(drain_s):
            while self.ledger is not None and not self.intake.drained:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        self.intake.lanes.close()
        await self.cancel_calls()

    def close(self) -> None:
        """Let go: whatever still arrives is a correct step or is refused."""
        self.phase = step(self.phase, Step.CLOSE)
        if self.intake is not None:
            self.intake.ledger.ended = True
            self.intake.drop()
        self._scope.cancel()

    async def cancel_calls(self) -> None:
        """What user code still runs of an epoch that is over ends before anybody begins another."""
        if self.intake is not None:
            await self.intake.turns.cancel()

    # ---------------------------------------------------------------- epochs
    async def _begin(self) -> None:
        self._ended = anyio.Event()
        intake = Intake(self._work)
        stored = await self._read_records()
        view = await self._until_answered(self._look_at_log)
        ledger: Ledger
        if self._server is None:
            ledger = PlainLedger(self.number, released=intake.left, on_end=self._on_end, tell=self._tell)
        else:
            partitions = await self._until_answered(self._log.count_partitions)  # after the records were read
            ledger = self._epoch(stored, intake, partitions)
        start = ledger.start_offset(
            view, from_log_start=self._config.from_log_start, accept_lost_state=self._config.accept_lost_state
        )
        intake.begin(ledger)
        async with self._seeking:
            if self.phase is not Phase.RECOVERING:
                return  # let go meanwhile: what ends this task is on its way
            await self._log.seek(self.number, start)
            ledger.begin(start)
            self.intake, self.halted = intake, None
            self.phase = step(self.phase, Step.RECOVERED)
        self.epochs += 1
        self._say_begun(ledger, start, view.end)
        if isinstance(ledger, Epoch) and self._writer is not None:
            for own, each in zip(ledger.slices, stored, strict=True):
                if each.owed:
                    self._writer.inherit(own, each.owed)
        self._work.eased()

    def _epoch(self, stored: list[Stored], intake: Intake, partitions: int) -> Epoch:
        assert self._writer is not None
        return Epoch(
            self.number,
            stored,
            nonce=self._random.getrandbits(64),
            horizon_d=self._config.horizon_d,
            partitions=partitions,
            seen=self._writer.seen,
            queue=self._writer.queue,
            released=intake.released,
            on_end=self._on_end,
        )

    async def _read_records(self) -> list[Stored]:
        if self._server is None:
            return []
        server, group = self._server, self._config.group
        slices = [(bucket, self.number) for bucket in range(self._config.buckets)]
        return await self._until_answered(lambda: read_slices(server, group, slices))

    async def _look_at_log(self) -> LogView:
        return LogView(
            beginning=await self._log.beginning(self.number),
            end=await self._log.end(self.number),
            committed=await self._log.committed(self.number),
        )

    async def _until_answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except Unanswered as error:
                self._say("partition.waiting", f"waits for its beginning: {error}")
                await anyio.sleep(ASK_AGAIN_S)

    def _say_begun(self, ledger: Ledger, start: int, end: int) -> None:
        again = max(0, min(ledger.read_before, end) - start)
        text = f"begins at offset {start}, the log ends at {end}; {again} events are read again"
        self._say("epoch.began", text, position=start, end=end, read_again=again)
        if again > self._config.in_flight_max:
            text = f"{again} events are read again since the one at offset {start} is not done: as often as it moves"
            self._say("epoch.read_again", text, position=start, read_again=again)

    def _say_drained(self) -> None:
        left = self.intake.in_flight.events if self.ledger is not None and self.intake is not None else 0
        done = self.ledger.done_offset() if self.ledger is not None else None
        self._say("partition.drained", f"let go, {left} events are not done", left=left, watermark=done)

    def _say(self, name: str, text: str, **fields: Field) -> None:
        self._tell(notice(name, f"partition {self.number}: {text}", partition=self.number, **fields))

    def _on_end(self, reason: str) -> None:
        """The epoch is over: drop its lanes and queues; `run` goes on with another."""
        self._say("epoch.ended", f"epoch ended, {reason}", reason=reason)
        if self.intake is not None:
            self.intake.drop()
        self.phase = step(self.phase, Step.EPOCH_ENDED)
        self._ended.set()

    def halt_at_next_look(self, reason: str) -> None:
        """The log answered that the position is outside of it."""
        if self.intake is not None and not self.intake.ledger.ended:
            self.intake.ledger.end(reason)

    async def _halt(self, error: StateError) -> None:
        if self.phase is not Phase.RECOVERING:
            return  # let go meanwhile: what ends this task is on its way
        self.halted = str(error)
        self._say("partition.halted", f"halted: {error}", reason=str(error))
        self.phase = step(self.phase, Step.HALT)
        await anyio.sleep(HALT_RETRY_S)
        if self.phase is Phase.HALTED:
            self.phase = step(self.phase, Step.EPOCH_ENDED)

    async def _confirm_ownership(self) -> None:
        """After a refusal only the coordinator can say whether the partition is still ours; if not, it revokes it."""
        while not await self._until_answered(lambda: self._log.confirm_ownership(self.number)):  # noqa: ASYNC110
            await anyio.sleep(ASK_AGAIN_S)
        await anyio.sleep(BACK_OFF_S * self._random.random())
