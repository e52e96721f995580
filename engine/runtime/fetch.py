"""The fetch loop: one fetch at a time for all partitions that run, have room and are not paused."""

from collections.abc import Callable, Collection
from typing import Protocol

import anyio
import anyio.lowlevel

from engine import telemetry as catalogue
from engine.config import EngineConfig
from engine.errors import Unanswered
from engine.notice import Tell, notice
from engine.ports import Log, OffsetOutOfRange
from engine.runtime.partition import Partition
from engine.telemetry import Telemetry

FETCH_AGAIN_S = 0.2


class Assigned(Protocol):
    """The partitions of this member, by number."""

    def get(self, number: int, /) -> Partition | None: ...
    def values(self) -> Collection[Partition]: ...


class Fetcher:
    """`run` it in a task; `ring` when a partition may want events again."""

    def __init__(
        self,
        config: EngineConfig,
        log: Log,
        partitions: Assigned,
        telemetry: Telemetry,
        *,
        seeking: anyio.Lock,
        accepted: Callable[[], None],
        tell: Tell,
    ) -> None:
        self._config = config
        self._log = log
        self._partitions = partitions
        self._telemetry = telemetry
        self._seeking = seeking
        self._accepted = accepted
        self._tell = tell
        self._polling = {
            catalogue.TOPIC: config.topic, catalogue.GROUP: config.group, catalogue.SYSTEM: "kafka",
            catalogue.OPERATION: "poll",
        }  # fmt: skip
        self._bell = anyio.Event()
        self._stopped = False
        self.consumed = 0
        """Events since the start."""

    def ring(self) -> None:
        self._bell.set()

    def stop(self) -> None:
        """No fetch begins after this."""
        self._stopped = True
        self.ring()

    async def run(self) -> None:
        while not self._stopped:
            if not self._wanted():
                await self._rung()
            try:
                async with self._seeking:
                    await self._fetch(self._wanted())
            except OffsetOutOfRange as error:
                if (partition := self._partitions.get(error.partition)) is not None:
                    partition.halt_at_next_look(str(error))
            except Unanswered as error:
                self._tell(notice("log.unanswered", f"the log does not answer: {error}"))
                await anyio.sleep(FETCH_AGAIN_S)
            await anyio.lowlevel.checkpoint()

    def _wanted(self) -> list[Partition]:
        return [] if self._stopped else [each for each in self._partitions.values() if each.wants_events]

    async def _fetch(self, wanted: list[Partition]) -> None:
        if not wanted:
            if not self._stopped:
                await self._log.fetch((), events_max=1, wait_s=0)  # so that a log that hangs notices it
            return
        limits = [each.intake.in_flight for each in wanted if each.intake is not None]
        room = min(limit.room() for limit in limits)
        began_s = anyio.current_time()
        fetched = await self._log.fetch(
            [each.number for each in wanted],
            events_max=max(1, min(room, self._config.fetch_max)),
            wait_s=self._config.fetch_wait_s,
            bytes_max=min(limit.room_bytes() for limit in limits),
        )
        self._telemetry.record(catalogue.CLIENT_DURATION, anyio.current_time() - began_s, self._polling)
        for partition in wanted:
            intake = partition.intake
            if intake is None or not partition.reads or intake.ledger.ended:
                continue
            events = fetched.get(partition.number, ())
            try:
                position = self._log.position(partition.number)
            except LookupError:
                continue  # revoked meanwhile: nothing of it was delivered
            self.consumed += len(events)
            intake.accept(events, position)
        self._accepted()

    async def _rung(self) -> None:
        if self._bell.is_set():
            self._bell = anyio.Event()
        with anyio.move_on_after(self._config.fetch_wait_s):
            await self._bell.wait()
