"""Reads a topic without a group: from anywhere, following it or up to its end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from engine.adapters.kafka_client import (
    ANSWER_S,
    REQUEST_TIMEOUT_MS,
    Waiting,
    answered,
    connecting,
    patiently,
    say_waiting,
)
from engine.adapters.kafka_fetch import RecordFetcher
from engine.adapters.kafka_inside import partitions_known, partitions_of, stop_consumer
from engine.adapters.kafka_log import FETCH_WAIT_MS, PARTITION_FETCH_BYTES
from engine.adapters.kafka_security import KafkaSecurity, Servers
from engine.adapters.kafka_watch import STALL_S, StallWatch
from engine.errors import Unanswered
from engine.event import Event

log = logging.getLogger(__name__)

METADATA_MAX_AGE_MS = 10_000


class LogReader:
    """A reader of some partitions of one topic. `start` first; every partition must be sought before it is fetched."""

    def __init__(
        self,
        bootstrap: str,
        *,
        topic: str,
        partitions: Sequence[int] | None = None,
        client_id: str = "keylane",
        fetch_wait_ms: int = FETCH_WAIT_MS,
        stall_s: float = STALL_S,
        security: KafkaSecurity | None = None,
        waiting: Waiting = say_waiting,
    ) -> None:
        """`partitions`: None for all that the topic has at `start` or `follow_growth`; `stall_s`: see `StallWatch`."""
        self._servers = Servers(bootstrap, security)
        self._topic = topic
        self._wanted = partitions
        self._client_id = client_id
        self._fetch_wait_ms = fetch_wait_ms
        self._stall_s = stall_s
        self._waiting = waiting
        self._consumer: AIOKafkaConsumer | None = None
        self._records: RecordFetcher | None = None
        self._watch: StallWatch | None = None
        self.partitions: tuple[int, ...] = ()

    async def start(self) -> None:
        """Returns when the topic is known: waits for servers and topic as long as it takes. May be cancelled."""
        consumer = await patiently(self._connect, self._waiting, self._servers)
        self.partitions = tuple(sorted(assigned.partition for assigned in consumer.assignment()))
        self._consumer, self._records = consumer, RecordFetcher(consumer, self._topic)
        self._watch = StallWatch(self._records.stable_ends, stall_s=self._stall_s)

    async def stop(self) -> None:
        consumer, self._consumer, self._records = self._consumer, None, None
        if consumer is not None:
            await stop_consumer(consumer, ANSWER_S)

    async def fetch(
        self, partitions: Sequence[int] | None = None, *, events_max: int = 10_000, wait_s: float = 1.0
    ) -> Mapping[int, Sequence[Event]]:
        """Events of the named partitions (None: all), ascending from their positions, which move past them.

        Cancelling it loses nothing.

        Raises:
            OffsetOutOfRange: a named partition's position is outside the log.
            Unanswered: nothing moved; try again.
        """
        named = self.partitions if partitions is None else partitions
        if await self._hangs(named):
            log.warning("a new consumer takes over reading %s: the old one delivers nothing", self._topic)
            await self.rebuild()
        return await self._started().fetch(named, events_max=events_max, wait_s=wait_s)

    async def rebuild(self) -> None:
        """Goes on at the same positions with a new consumer: for one that hangs. Cancelled, the old one stays."""
        records, old = self._started(), self._consumer
        positions = {
            partition: records.position(partition) for partition in self.partitions if records.sought(partition)
        }
        await self.start()
        for partition, offset in positions.items():
            self.seek(partition, offset)
        if old is not None:
            await stop_consumer(old, ANSWER_S)

    async def follow_growth(self) -> None:
        """Partitions that the topic got meanwhile belong to `partitions` from now on, without a position.

        They are known METADATA_MAX_AGE_MS after they came. Call it where no fetch is under way.
        """
        assert self._consumer is not None, "not started"
        if self._wanted is None and len(partitions_known(self._consumer, self._topic)) > len(self.partitions):
            await self.rebuild()

    async def read(
        self, partition: int, first: int, end: int, *, events_max: int = 10_000
    ) -> AsyncIterator[Sequence[Event]]:
        """Batches of the events of [first, end), for an `end` that the log has reached. Raises as `fetch`."""
        self.seek(partition, first)
        while self.position(partition) < end:
            batch = (await self.fetch([partition], events_max=events_max)).get(partition, ())
            if batch and batch[-1].offset >= end:
                batch = [event for event in batch if event.offset < end]
            if batch:
                yield batch

    def seek(self, partition: int, offset: int) -> None:
        self._started().seek(partition, offset)

    def position(self, partition: int) -> int:
        """The offset that the next fetch starts from. Raises LookupError before the first seek."""
        return self._started().position(partition)

    def high_watermark(self, partition: int) -> int | None:
        """The end of the log as the last answer said, None before the first."""
        return self._started().high_watermark(partition)

    async def beginning(self, partition: int) -> int:
        """The first offset that the log holds. Raises Unanswered."""
        return await self._started().beginning(partition)

    async def end(self, partition: int) -> int:
        """The offset after the last record, asked of the server now. Raises Unanswered."""
        return await self._started().end(partition)

    async def at_end(self, partition: int) -> bool:
        """Whether everything that was in the log when this was called has been fetched. Raises Unanswered."""
        return await self.end(partition) <= self.position(partition)

    async def offset_at(self, partition: int, time_ms: int) -> int | None:
        """The first offset whose record arrived at this time or later, None if there is none. Raises Unanswered."""
        topic_partition = TopicPartition(self._topic, partition)
        async with answered(f"offset by time of {self._topic}/{partition}"):
            assert self._consumer is not None
            found = (await self._consumer.offsets_for_times({topic_partition: time_ms}))[topic_partition]
        # Some brokers answer with offset 0 and no time where they mean none.
        return None if found is None or found.timestamp < 0 else int(found.offset)

    async def newest(self, partition: int) -> Event | None:
        """The last record that can be read, None if there is none. Moves the position to the end. Raises Unanswered."""
        first, end = await self.beginning(partition), await self.end(partition)
        step = 1
        while True:  # the last offsets may be gaps: look further back each time
            start = max(first, end - step)
            last: Event | None = None
            async for batch in self.read(partition, start, end):
                last = batch[-1]
            if last is not None or start == first:
                return last
            step *= 8

    async def _hangs(self, partitions: Sequence[int]) -> bool:
        records = self._started()
        if records.broken:
            return True
        assert self._watch is not None
        positions = {each: records.position(each) for each in partitions if records.readable(each)}
        try:
            return bool(await self._watch.look(positions, asyncio.get_running_loop().time()))
        except Unanswered:
            return False  # the servers are away, which is no fault of the consumer's

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **connecting(self._servers),
            client_id=self._client_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=self._fetch_wait_ms,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )
        try:
            await consumer.start()
            known = await partitions_of(consumer, self._topic)
            wanted = known if self._wanted is None else self._wanted
            consumer.assign([TopicPartition(self._topic, partition) for partition in wanted])
        except BaseException:
            await stop_consumer(consumer, ANSWER_S)
            raise
        return consumer

    def _started(self) -> RecordFetcher:
        assert self._records is not None, "not started"
        return self._records
