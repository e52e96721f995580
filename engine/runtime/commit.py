"""Kafka's committed offset: for people and tools, and for plain handlers the place to go on from.

An offset is committed only when everything below it is done; where asked for, once that is on disk or on a replica.
"""

from collections.abc import Sequence

import anyio

from engine import telemetry as catalogue
from engine.config import EngineConfig
from engine.errors import Unanswered
from engine.notice import Tell, notice
from engine.ports import Committed, Log, StateServer
from engine.runtime.partition import Partition
from engine.telemetry import Telemetry

LAST_COMMIT_S = 5.0
REPEAT_S = 30.0
"""What is committed already is committed once more this often: an older commit that arrived late may have undone it."""


class Committer:
    """Refused or unanswered, a commit is tried again with the next interval, and never counted as taken."""

    def __init__(
        self,
        config: EngineConfig,
        log: Log,
        state: StateServer | None,
        telemetry: Telemetry,
        tell: Tell,
    ) -> None:
        self._durability = config.durability
        self._log = log
        self._state = state
        self._telemetry = telemetry
        self._tell = tell
        self._traced = {catalogue.TOPIC: config.topic, catalogue.GROUP: config.group}
        self._timed = self._traced | {catalogue.SYSTEM: "kafka", catalogue.OPERATION: "commit"}

    async def commit(self, partitions: Sequence[Partition]) -> None:
        offsets: dict[int, Committed] = {}
        now_s = anyio.current_time()
        for partition in partitions:
            done = partition.ledger.snapshot() if partition.ledger is not None else None
            if done is not None and (done != partition.committed or now_s - partition.committed_s >= REPEAT_S):
                offsets[partition.number] = done
        if not offsets:
            return
        try:
            taken = await self._commit(offsets)
        except Unanswered as error:
            text = f"commit of {len(offsets)} partitions is not answered: {error}"
            self._tell(notice("commit.unanswered", text, partitions=len(offsets)))
            return
        if taken:
            for partition in partitions:
                if partition.number in offsets:
                    partition.committed, partition.committed_s = offsets[partition.number], now_s

    async def commit_last(self, partition: Partition) -> None:
        """Before a partition is let go; bounded, since the group waits."""
        with anyio.move_on_after(LAST_COMMIT_S):
            await self.commit([partition])

    async def _commit(self, offsets: dict[int, Committed]) -> bool:
        if self._state is not None and self._durability != "memory":
            await self._state.make_durable(self._durability)
        began_s = anyio.current_time()
        with self._telemetry.span(catalogue.COMMIT_SPAN, self._traced):
            taken = await self._log.commit(offsets)
        self._telemetry.record(catalogue.CLIENT_DURATION, anyio.current_time() - began_s, self._timed)
        return taken
