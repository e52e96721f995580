"""The port `Log` on aiokafka: a member of a group that is replaced by a new one when it hangs.

Whether it does is looked at before every fetch, also one of no partitions: its inside has ended, a partition stands
still though its log holds more, or the group takes longer to agree than it may.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from engine.adapters.kafka_client import Waiting, answered, patiently, say_waiting
from engine.adapters.kafka_member import Member
from engine.adapters.kafka_security import KafkaSecurity, Servers
from engine.adapters.kafka_watch import STALL_S, StallWatch
from engine.errors import Unanswered
from engine.event import Event
from engine.ports import Committed, RebalanceListener

log = logging.getLogger(__name__)

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
        stall_s: float = STALL_S,
        joining_max_s: float | None = None,
        security: KafkaSecurity | None = None,
        waiting: Waiting = say_waiting,
    ) -> None:
        """`bootstrap`: host:port,...; `waiting` is told what a start waits for, once an attempt.

        `stall_s`: after this a consumer that stands still is replaced, see `StallWatch`. `joining_max_s`: the same for
        one that gets no assignment; None for longer than anybody may hold a rebalance up.
        """
        self._servers = Servers(bootstrap, security)
        self._topic = topic
        self._group = group
        self._session_s = session_s
        self._rebalance_s = rebalance_s
        self._instance_id = instance_id
        self._client_id = client_id
        self._fetch_wait_ms = fetch_wait_ms
        self._partition_fetch_bytes = partition_fetch_bytes
        self._stall_s = stall_s
        self._joining_max_s = rebalance_s + session_s if joining_max_s is None else joining_max_s
        self._waiting = waiting
        self._listener: RebalanceListener | None = None
        self._member: Member | None = None
        self._watch: StallWatch | None = None
        self._rejoins = False
        """Left in order to join again, and has not yet."""

    async def start(self, listener: RebalanceListener) -> None:
        """Returns when the topic is known: waits for servers and topic as long as it takes. May be cancelled."""
        self._listener = listener
        self._member = await patiently(self._join, self._waiting, self._servers)

    async def stop(self) -> None:
        self._rejoins = False
        member, self._member = self._member, None
        if member is not None:
            await member.leave()

    async def rebuild(self) -> None:
        """Gives all partitions up and joins again with a new consumer: for one that hangs.

        The listener is told `revoked` now, while it may still commit, and `assigned` later, as in any rebalance.

        Raises:
            Unanswered: the servers do not answer; each fetch tries again.
        """
        member = self._member
        if member is None or self._listener is None:
            return
        member.detach()
        if member.partitions:
            await self._listener.revoked(member.partitions)
        self._member = None
        self._rejoins = True
        await member.leave()
        await self._rejoin()

    async def fetch(
        self, partitions: Sequence[int], *, events_max: int, wait_s: float, bytes_max: int | None = None
    ) -> Mapping[int, Sequence[Event]]:
        member = self._member
        if member is None and self._rejoins:
            await self._rejoin()
        elif member is None:
            await asyncio.sleep(wait_s)
        elif (reason := await self._hangs(member, partitions)) is not None:
            log.warning("a new consumer takes over in group %s: %s", self._group, reason)
            await self.rebuild()
        else:
            return await member.records.fetch(partitions, events_max=events_max, wait_s=wait_s, bytes_max=bytes_max)
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

    async def count_partitions(self) -> int:
        return await self._answering().count_partitions()

    async def _rejoin(self) -> None:
        """One attempt, so that a fetch ends also where the servers are away for long. Raises Unanswered."""
        async with answered(f"joining group {self._group} again"):
            self._member = await self._join()
        self._rejoins = False

    async def _hangs(self, member: Member, partitions: Sequence[int]) -> str | None:
        """Why the member will deliver nothing more, or None."""
        if member.records.broken:
            return "a task of the old one has ended"
        if member.joining_s > self._joining_max_s:
            return f"it got no assignment within {self._joining_max_s:g} s"
        assert self._watch is not None
        positions = {each: member.records.position(each) for each in partitions if member.records.readable(each)}
        try:
            hanging = await self._watch.look(positions, asyncio.get_running_loop().time())
        except Unanswered:
            return None  # the servers are away, which is no fault of the consumer's
        return f"partitions {', '.join(map(str, hanging))} stand still though their logs hold more" if hanging else None

    async def _join(self) -> Member:
        assert self._listener is not None
        member = Member(
            self._servers,
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
        self._watch = StallWatch(member.records.stable_ends, stall_s=self._stall_s)
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
