"""One assigned partition: from recovering its state, through its epochs, to letting it go."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import anyio

from engine.config import EngineConfig
from engine.core.phases import Phase, Step, step
from engine.errors import StateError, Unanswered
from engine.event import Event
from engine.ports import Log, StateServer
from engine.runtime.intake import Intake, Work
from engine.runtime.ledger import Ledger, PlainLedger
from engine.state.epoch import Epoch, LogView
from engine.state.keys import slice_key, tag
from engine.state.packing import Stored, pack_read, unpack_read
from engine.state.writer import Writer

T = TypeVar("T")

HALT_RETRY_S = 10.0
ASK_AGAIN_S = 0.5
BACK_OFF_S = 0.2
READ_SLICES_MAX = 256


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
        warn: Callable[[str], None],
    ) -> None:
        self.number = number
        self.phase = Phase.RECOVERING
        self.halted: str | None = None
        self.committed: int | None = None
        self.epochs = 0
        self._config = config
        self._log = log
        self._work = work
        self._server = server
        self._writer = writer
        self._random = random
        self._seeking = seeking
        self._warn = warn
        self._partitions = number + 1
        self._ended = anyio.Event()
        self._scope = anyio.CancelScope()
        self.intake: Intake | None = None

    # ---------------------------------------------------------------- what the fetch loop sees
    @property
    def wants_events(self) -> bool:
        return self.phase is Phase.RUNNING and self.intake is not None and not self.intake.in_flight.full

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
                    self._warn(f"partition {self.number} does not begin: {error}")
                    await anyio.sleep(ASK_AGAIN_S)
                    continue
                await self._ended.wait()
                if self.phase is Phase.RECOVERING:
                    await self._confirm_ownership()

    async def drain(self, drain_s: float, commit: Callable[["Partition"], Awaitable[None]]) -> None:
        """Finish what is open within the deadline, commit, let go. Past the deadline just let go."""
        if self.phase is Phase.RUNNING:
            self.phase = step(self.phase, Step.DRAIN)
            with anyio.move_on_after(drain_s):
                while (ledger := self.ledger) and not ledger.drained and not ledger.ended:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            if self.ledger is not None:
                await commit(self)
        self.close()

    def close(self) -> None:
        """Let go: whatever still arrives is a correct step or is refused."""
        self.phase = step(self.phase, Step.CLOSE)
        if self.intake is not None:
            self.intake.ledger.ended = True
            self.intake.drop()
        self._scope.cancel()

    # ---------------------------------------------------------------- epochs
    async def _begin(self) -> None:
        self._ended = anyio.Event()
        intake = Intake(self._work)
        stored = await self._read_records()
        view = await self._until_answered(self._look_at_log)
        ledger: Ledger
        if self._server is None:
            ledger, start = PlainLedger(released=intake.released, on_end=self._on_end), self._start_of_plain(view)
        else:
            ledger = self._epoch(stored, intake)
            start = ledger.start_offset(
                view, from_log_start=self._config.from_log_start, accept_lost_state=self._config.accept_lost_state
            )
        intake.begin(ledger)
        async with self._seeking:
            await self._log.seek(self.number, start)
            ledger.begin(start)
            self.intake, self.halted = intake, None
            self.phase = step(self.phase, Step.RECOVERED)
        self.epochs += 1
        if isinstance(ledger, Epoch) and self._writer is not None:
            for own, each in zip(ledger.slices, stored, strict=True):
                if each.owed:
                    self._writer.inherit(own, each.owed)
        self._work.eased()

    def _epoch(self, stored: list[Stored], intake: Intake) -> Epoch:
        assert self._writer is not None
        return Epoch(
            self.number,
            stored,
            nonce=self._random.getrandbits(64),
            horizon_d=self._config.horizon_d,
            partition_count=self._partition_count,
            queue=self._writer.queue,
            released=intake.released,
            on_end=self._on_end,
        )

    def _partition_count(self) -> int:
        """Where it is not known now, one more than it was: the slice that does not exist holds back every deletion."""
        try:
            self._partitions = self._log.partition_count()
        except LookupError:
            return self._partitions + 1
        return self._partitions

    def _start_of_plain(self, view: LogView) -> int:
        if view.committed is not None:
            return max(view.committed, view.beginning)
        return view.beginning

    async def _read_records(self) -> list[Stored]:
        if self._server is None:
            return []
        server, group = self._server, self._config.group
        stored: list[Stored] = []
        for first in range(0, self._config.buckets, READ_SLICES_MAX):
            some = [
                (bucket, self.number) for bucket in range(first, min(first + READ_SLICES_MAX, self._config.buckets))
            ]
            payload = pack_read(group, some)

            async def read(payload: bytes = payload, first: int = first) -> list[bytes]:
                return await server.call("read", payload, key=slice_key(tag(group, first), self.number), writes=False)

            stored += unpack_read(await self._until_answered(read))
        return stored

    async def _look_at_log(self) -> LogView:
        committed = await self._log.committed(self.number)
        return LogView(
            beginning=await self._log.beginning(self.number),
            end=await self._log.end(self.number),
            committed=committed.offset if committed else None,
        )

    async def _until_answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except Unanswered as error:
                self._warn(f"partition {self.number} waits for its beginning: {error}")
                await anyio.sleep(ASK_AGAIN_S)

    def _on_end(self, reason: str) -> None:
        """The epoch is over: drop its lanes and queues; `run` goes on with another."""
        self._warn(f"partition {self.number}: epoch ended, {reason}")
        if self.intake is not None:
            self.intake.drop()
        self.phase = step(self.phase, Step.EPOCH_ENDED)
        self._ended.set()

    def halt_at_next_look(self, reason: str) -> None:
        """The log answered that the position is outside of it."""
        if self.intake is not None and not self.intake.ledger.ended:
            self.intake.ledger.end(reason)

    async def _halt(self, error: StateError) -> None:
        self.halted = str(error)
        self._warn(f"partition {self.number} is halted: {error}")
        self.phase = step(self.phase, Step.HALT)
        await anyio.sleep(HALT_RETRY_S)
        self.phase = step(self.phase, Step.EPOCH_ENDED)

    async def _confirm_ownership(self) -> None:
        """After a refusal only the coordinator can say whether the partition is still ours; if not, it revokes it."""
        while not await self._until_answered(lambda: self._log.confirm_ownership(self.number)):  # noqa: ASYNC110
            await anyio.sleep(ASK_AGAIN_S)
        await anyio.sleep(BACK_OFF_S * self._random.random())

    def oldest(self) -> Event | None:
        ledger = self.ledger
        return ledger.oldest() if ledger is not None else None
