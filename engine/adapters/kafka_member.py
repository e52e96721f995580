"""One life of a group member: an aiokafka consumer, and what its coordinator says, without aiokafka's endless retries.

aiokafka stamps a commit with the generation of the moment and repeats it until it is taken, perhaps in a generation in
which the partition is another member's. A commit that falls between two generations is even stamped as nobody's, and a
broker takes that when the group is empty. Here every commit and heartbeat is made once, and only in the generation in
which the partitions were handed out.
"""

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    OffsetMetadataTooLargeError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from engine.adapters import kafka_inside as inside
from engine.adapters.kafka_client import ANSWER_S, REQUEST_TIMEOUT_MS, answered, connecting, log
from engine.adapters.kafka_fetch import RecordFetcher
from engine.adapters.kafka_security import Servers
from engine.errors import Unanswered
from engine.ports import Committed, RebalanceListener

REFUSALS = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)
METADATA_MAX_AGE_MS = 10_000
"""How soon added partitions are seen."""
HEARTBEAT_MS_MAX = 1_000
"""A member learns from the answer to a heartbeat that others come or go. Until then nobody serves what a leaver had."""
IDLE_FOREVER_MS = 2**31 - 1
"""aiokafka leaves the group where nobody fetches for a while; ours may wait for Redis as long as it takes."""
CONFIRM_RETRY_S = 0.5


class Member(ConsumerRebalanceListener):  # type: ignore[misc]
    """Made by `join`; after `leave` it is of no use."""

    def __init__(
        self,
        servers: Servers,
        listener: RebalanceListener,
        *,
        topic: str,
        group: str,
        session_s: float,
        rebalance_s: float,
        instance_id: str | None,
        client_id: str,
        fetch_wait_ms: int,
        partition_fetch_bytes: int,
    ) -> None:
        self._topic = topic
        self._group = group
        self._listener: RebalanceListener | None = listener
        self._generation: int | None = None
        self._partitions: frozenset[int] = frozenset()
        self._joining_since_s: float | None = None
        self._consumer = AIOKafkaConsumer(
            **connecting(servers),
            client_id=client_id,
            group_id=group,
            group_instance_id=instance_id,
            session_timeout_ms=round(session_s * 1000),
            heartbeat_interval_ms=min(HEARTBEAT_MS_MAX, round(session_s * 100)),
            rebalance_timeout_ms=round(rebalance_s * 1000),
            max_poll_interval_ms=IDLE_FOREVER_MS,
            partition_assignment_strategy=(RangePartitionAssignor,),
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=fetch_wait_ms,
            max_partition_fetch_bytes=partition_fetch_bytes,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )
        self.records = RecordFetcher(self._consumer, topic)

    async def join(self) -> None:
        """Returns when the topic is known; partitions come later, through the listener. Raises KafkaError, OSError."""
        try:
            await self._consumer.start()
            await inside.partitions_of(self._consumer, self._topic)
            self._joining_since_s = asyncio.get_running_loop().time()
            self._consumer.subscribe([self._topic], listener=self)
        except BaseException:
            await self.leave()
            raise

    def detach(self) -> None:
        """The listener hears nothing more; commits still count until `leave`."""
        self._listener = None

    async def leave(self) -> None:
        """Leaves the group; the listener hears nothing more."""
        self.detach()
        self._generation = None
        await inside.stop_consumer(self._consumer, ANSWER_S)

    @property
    def partitions(self) -> frozenset[int]:
        """What the listener was last told."""
        return self._partitions

    @property
    def joining_s(self) -> float:
        """For how long the group has been agreeing on who gets what; 0 while we are assigned partitions, or none."""
        since_s = self._joining_since_s
        return 0.0 if since_s is None else asyncio.get_running_loop().time() - since_s

    async def count_partitions(self) -> int:
        async with answered(f"partitions of {self._topic}"):
            return len(await inside.partitions_asked_now(self._consumer, self._topic))

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        if self._partitions and self._listener is not None:
            await self._listener.revoked(self._partitions)  # it may still commit
        self._partitions = frozenset()
        self._generation = None
        self._joining_since_s = asyncio.get_running_loop().time()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._consumer.pause(*assigned)  # nothing is fetched before it was sought
        self._joining_since_s = None
        inside.start_heartbeats(self._consumer)
        if self._listener is None:
            return  # about to leave: whatever is still to be committed belongs to the generation before
        self._generation = inside.generation(self._consumer)
        self._partitions = frozenset(partition.partition for partition in assigned)
        await self._listener.assigned(self._partitions)

    async def committed(self, partition: int) -> Committed | None:
        topic_partition = TopicPartition(self._topic, partition)
        async with answered(f"committed offset of {self._topic}/{partition}"):
            found = await inside.committed_with_metadata(self._consumer, topic_partition)
        return None if found is None else Committed(found.offset, found.metadata or "")

    async def commit(self, offsets: Mapping[int, Committed]) -> bool:
        wanted = {
            TopicPartition(self._topic, partition): OffsetAndMetadata(committed.offset, committed.metadata)
            for partition, committed in offsets.items()
        }
        generation = self._generation
        if generation is None or not offsets.keys() <= self._partitions:
            return False
        try:
            async with answered(f"commit of {self._topic}"):
                await inside.coordinator_known(self._consumer)
                if not self._in(generation):
                    return False
                await inside.commit_once(self._consumer, wanted)
        except Unanswered as unanswered:
            if isinstance(unanswered.__cause__, REFUSALS):
                return False
            if isinstance(unanswered.__cause__, OffsetMetadataTooLargeError) and any(
                committed.metadata for committed in offsets.values()
            ):
                log.warning("the broker takes no metadata of this length: what is done beyond the offset may run again")
                return await self.commit({partition: Committed(each.offset, "") for partition, each in offsets.items()})
            raise
        return True

    async def confirm_ownership(self, partition: int) -> bool:
        """Sends heartbeats until one is answered, or the generation is over."""
        generation = self._generation
        while generation is not None and self._in(generation) and partition in self._partitions:
            try:
                async with asyncio.timeout(ANSWER_S):
                    await inside.coordinator_known(self._consumer)
                    if not self._in(generation):
                        return False
                    taken = await inside.heartbeat_once(self._consumer)
            except (TimeoutError, KafkaError):
                taken = False  # not answered, or answered with what only the operator can change
            if taken:  # also where a rebalance is under way, which it reports by asking for a new join
                return self._in(generation) and not inside.wants_rejoin(self._consumer)
            await asyncio.sleep(CONFIRM_RETRY_S)
        return False

    def _in(self, generation: int) -> bool:
        """Whether this is still the generation that the coordinator would be told, and one that it gave us."""
        return generation >= 0 and self._generation == generation == inside.generation(self._consumer)
