"""The port `Log` on aiokafka: a member of a group that can be replaced by a new one when it hangs."""

import asyncio
from collections.abc import Mapping, Sequence

from engine.adapters.kafka_client import Waiting, patiently, say_waiting
from engine.adapters.kafka_member import Member
from engine.errors import Unanswered
from engine.event import Event
from engine.ports import Committed, RebalanceListener

FETCH_WAIT_MS = 50
"""How long a broker may hold a fetch back where there is nothing. While it does, a partition that was not in that fetch
waits for it: keep it short."""
PARTITION_FETCH_BYTES = 2 * 1024 * 1024


class KafkaLog:
    """One member of a consumer group on one topic. See the port for the meaning of every method."""

    def __init__(
        self,
        bootstrap: str,
        *,
        topic: str,
        group: str,
        session_s: float = 45.0,
        rebalance_s: float = 60.0,
        instance_id: str | None = None,
        client_id: str = "keylane",
        fetch_wait_ms: int = FETCH_WAIT_MS,
        partition_fetch_bytes: int = PARTITION_FETCH_BYTES,
        waiting: Waiting = say_waiting,
    ) -> None:
        """`bootstrap`: host:port,...; `waiting` is told what a start waits for, once an attempt."""
        self._bootstrap = bootstrap
        self._topic = topic
        self._group = group
        self._session_s = session_s
        self._rebalance_s = rebalance_s
        self._instance_id = instance_id
        self._client_id = client_id
        self._fetch_wait_ms = fetch_wait_ms
        self._partition_fetch_bytes = partition_fetch_bytes
        self._waiting = waiting
        self._listener: RebalanceListener | None = None
        self._member: Member | None = None

    async def start(self, listener: RebalanceListener) -> None:
        """Returns when the topic is known: waits for servers and topic as long as it takes. May be cancelled."""
        self._listener = listener
        self._member = await patiently(self._join, self._waiting)

    async def stop(self) -> None:
        member, self._member = self._member, None
        if member is not None:
            await member.leave()

    async def rebuild(self) -> None:
        """Gives all partitions up and joins again with a new consumer: for one that hangs.

        The listener is told `revoked` now and `assigned` later, as in any rebalance.
        """
        member, self._member = self._member, None
        if member is None or self._listener is None:
            return
        partitions = member.partitions
        await member.leave()
        if partitions:
            await self._listener.revoked(partitions)
        self._member = await patiently(self._join, self._waiting)

    async def fetch(
        self, partitions: Sequence[int], *, events_max: int, wait_s: float
    ) -> Mapping[int, Sequence[Event]]:
        member = self._member
        if member is None:
            await asyncio.sleep(wait_s)
        elif member.records.broken:
            await self.rebuild()
        else:
            return await member.records.fetch(partitions, events_max=events_max, wait_s=wait_s)
        return {}

    def position(self, partition: int) -> int:
        """Raises LookupError where the partition is not ours, or was not sought yet."""
        return self._running().records.position(partition)

    def high_watermark(self, partition: int) -> int | None:
        return None if self._member is None else self._member.records.high_watermark(partition)

    async def seek(self, partition: int, offset: int) -> None:
        """Raises Unanswered where the partition is not ours any more."""
        self._answering().records.seek(partition, offset)

    async def beginning(self, partition: int) -> int:
        return await self._answering().records.beginning(partition)

    async def end(self, partition: int) -> int:
        return await self._answering().records.end(partition)

    async def committed(self, partition: int) -> Committed | None:
        return await self._answering().committed(partition)

    async def commit(self, offsets: Mapping[int, Committed]) -> bool:
        return self._member is not None and await self._member.commit(offsets)

    async def confirm_ownership(self, partition: int) -> bool:
        return self._member is not None and await self._member.confirm_ownership(partition)

    def partition_count(self) -> int:
        return self._running().partition_count()

    async def _join(self) -> Member:
        assert self._listener is not None
        member = Member(
            self._bootstrap,
            self._listener,
            topic=self._topic,
            group=self._group,
            session_s=self._session_s,
            rebalance_s=self._rebalance_s,
            instance_id=self._instance_id,
            client_id=self._client_id,
            fetch_wait_ms=self._fetch_wait_ms,
            partition_fetch_bytes=self._partition_fetch_bytes,
        )
        self._member = member  # before the first partitions come: the listener asks us about them
        try:
            await member.join()
        except BaseException:
            self._member = None
            raise
        return member

    def _running(self) -> Member:
        if self._member is None:
            raise LookupError(f"not a member of group {self._group} on {self._topic}")
        return self._member

    def _answering(self) -> Member:
        if self._member is None:
            raise Unanswered(f"not a member of group {self._group} on {self._topic}")
        return self._member
