"""Taking prefetched records out of an aiokafka consumer so that none can vanish.

aiokafka moves a partition's position when it hands out records. Were its own waiting call cancelled, or did it meet an
error after it had taken records of another partition, those records would be gone. So here records are taken without
awaiting anything, one partition a call, and all waiting is done apart from that.

A partition that nobody names keeps what was prefetched and costs the others at most one prefetch backoff (0.1 s) for
each such chunk, so nothing is ever paused for that: a pause would throw the chunk away.
"""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
)
from aiokafka.protocol.fetch import FetchRequest

from engine.adapters import kafka_inside as inside
from engine.adapters.kafka_client import answered, describe
from engine.adapters.kafka_inflate import InflatesTooMuch
from engine.adapters.kafka_records import Record
from engine.errors import Unanswered
from engine.ports import OffsetOutOfRange

BEYOND_END_S = 5.0
"""A position may be past the high watermark for a moment, after a leader changed; for longer it is outside the log."""

READ_UNCOMMITTED = 0
READ_COMMITTED = 1
LOOK_S = 2.0
"""How long a fetch may be held up by the question whether it hangs."""
UNREADABLE_AGAIN_S = 10.0
"""How long a partition is left alone whose next batch inflates to more than may be held: the others go on."""
END_WAIT_MS = 10
"""A fetch that may not wait at all is answered with nothing by some brokers."""


@dataclass(slots=True)
class BeyondEnd:
    """From when until when answers said that a position is past the end; none comes while a broker is away."""

    since_s: float
    until_s: float
    answered_ms: int
    """When the newest of them came, by the client's clock: another value is another answer."""


class RecordFetcher:
    """Fetches from one started consumer, of partitions of one topic."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._turn = 0
        self._beyond_end: dict[int, BeyondEnd] = {}
        self._unreadable_until_s: dict[int, float] = {}

    async def fetch(
        self, partitions: Sequence[int], *, events_max: int, wait_s: float, bytes_max: int | None = None
    ) -> dict[int, Sequence[Record]]:
        """As `Log.fetch`. Cancelling it loses nothing."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            taken = self._take(partitions, events_max, sys.maxsize if bytes_max is None else bytes_max)
            left_s = deadline - loop.time()
            if taken or left_s <= 0:
                return taken
            await self._wait_for_records(left_s)

    def position(self, partition: int) -> int:
        """Raises LookupError where the partition is not assigned or was not sought yet."""
        if not self.sought(partition):
            raise LookupError(f"partition {partition} has no position")
        position: int = self._state(partition).position
        return position

    def sought(self, partition: int) -> bool:
        """Whether the partition is assigned and has a position."""
        state = self._state(partition)
        return state is not None and bool(state.has_valid_position)

    def readable(self, partition: int) -> bool:
        """Sought, and not stopped by a batch that may not be held."""
        until_s = self._unreadable_until_s.get(partition)
        return self.sought(partition) and (until_s is None or asyncio.get_running_loop().time() >= until_s)

    def high_watermark(self, partition: int) -> int | None:
        state = self._state(partition)
        mark: int | None = None if state is None else state.highwater
        return mark

    def seek(self, partition: int, offset: int) -> None:
        """Raises Unanswered where the partition is not assigned now."""
        topic_partition = TopicPartition(self._topic, partition)
        try:
            self._consumer.seek(topic_partition, offset)
            self._consumer.resume(topic_partition)
        except IllegalStateError as error:
            raise Unanswered(f"partition {partition} is not assigned") from error
        self._beyond_end.pop(partition, None)
        self._unreadable_until_s.pop(partition, None)
        self._state(partition).highwater = None  # what it says belongs to the position of before

    async def beginning(self, partition: int) -> int:
        """The first offset that the log holds. Raises Unanswered."""
        topic_partition = TopicPartition(self._topic, partition)
        async with answered(f"beginning of {self._topic}/{partition}"):
            return int((await self._consumer.beginning_offsets([topic_partition]))[topic_partition])

    async def end(self, partition: int) -> int:
        """The offset after the last record, asked now: the high watermark of a fetch made for it. Raises Unanswered.

        Not every broker answers the question for the end offset rightly; its fetch responses are right everywhere.
        """
        topic_partition = TopicPartition(self._topic, partition)
        async with answered(f"end of {self._topic}/{partition}"):
            near = int((await self._consumer.end_offsets([topic_partition]))[topic_partition])
            topics = [(self._topic, [(partition, near, 1)])]
            request = FetchRequest(END_WAIT_MS, 1, 1, READ_UNCOMMITTED, topics, rack_id="")
            response = await inside.ask_leader(self._consumer, topic_partition, request)
        for _, answers in response.topics:
            for _, code, mark, *_ in answers:
                if not code:
                    return int(mark)
        raise Unanswered(f"end of {self._topic}/{partition}: {response}")

    async def stable_ends(self, positions: Mapping[int, int]) -> dict[int, int]:
        """The ends of what can be read now, of those partitions whose leader is known and does not refuse the position.

        An open transaction and what is behind it cannot be read. Raises Unanswered.
        """
        by_leader: dict[int | None, list[int]] = defaultdict(list)
        for partition in positions:
            by_leader[inside.leader(self._consumer, TopicPartition(self._topic, partition))].append(partition)
        ends: dict[int, int] = {}
        for node, partitions in by_leader.items():
            if node is None or node < 0:
                continue
            topics = [(self._topic, [(partition, positions[partition], 1) for partition in partitions])]
            request = FetchRequest(END_WAIT_MS, 1, 1, READ_COMMITTED, topics, rack_id="")
            async with answered(f"ends of {self._topic} on node {node}", LOOK_S):
                first = TopicPartition(self._topic, partitions[0])
                response = await inside.ask_leader(self._consumer, first, request)
            for _, answers in response.topics:
                for partition, code, mark, *rest in answers:
                    stable = rest[0] if len(rest) > 1 else -1  # older answers hold only the records
                    if not code:
                        ends[partition] = int(stable if stable >= 0 else mark)
        return ends

    def _take(self, partitions: Sequence[int], events_max: int, bytes_max: int) -> dict[int, Sequence[Record]]:
        """What is there now. Awaits nothing, so it happens as a whole or not at all."""
        taken: dict[int, Sequence[Record]] = {}
        self._check_alive()
        if inside.reassigning(self._consumer):
            return taken
        self._turn += 1
        left, left_bytes = events_max, bytes_max
        for index in range(len(partitions)):
            partition = partitions[(self._turn + index) % len(partitions)]
            topic_partition = TopicPartition(self._topic, partition)
            try:
                self._check_inside(partition)
                if not inside.has_records(self._consumer, topic_partition) or not self.readable(partition):
                    continue
                records, left_bytes = inside.take(self._consumer, topic_partition, left, left_bytes)
            except NoOffsetForPartitionError:
                continue  # assigned, and not sought yet
            except (KafkaError, OffsetOutOfRange) as error:
                self._refetch(topic_partition)
                if taken:
                    return taken  # the error comes again
                raise self._translated(error, partition) from error
            if records:
                taken[partition] = records
                left -= len(records)
                if left <= 0 or left_bytes <= 0:
                    break
        return taken

    def _check_alive(self) -> None:
        try:
            inside.check_group(self._consumer)
        except KafkaError as error:
            raise Unanswered(f"group or metadata of {self._topic}: {describe(error)}") from error

    @property
    def broken(self) -> bool:
        """Whether the consumer will never deliver again."""
        return inside.is_broken(self._consumer)

    def _check_inside(self, partition: int) -> None:
        """Brokers may answer a fetch beyond the end with silence instead of an error."""
        state = self._state(partition)
        if state is None or not state.has_valid_position or state.highwater is None:
            return
        if state.position <= state.highwater:
            self._beyond_end.pop(partition, None)
            return
        now_s = asyncio.get_running_loop().time()
        told = self._beyond_end.setdefault(partition, BeyondEnd(now_s, now_s, state.timestamp))
        if state.timestamp != told.answered_ms:
            told.until_s, told.answered_ms = now_s, state.timestamp
        if told.until_s - told.since_s > BEYOND_END_S:
            raise OffsetOutOfRange(partition, state.position)

    def _refetch(self, topic_partition: TopicPartition) -> None:
        """Forgets the prefetched records of a partition: some may have been decoded before the error came."""
        if self.sought(topic_partition.partition):
            self._consumer.seek(topic_partition, self.position(topic_partition.partition))

    def _translated(self, error: Exception, partition: int) -> Exception:
        if isinstance(error, OffsetOutOfRangeError):
            return OffsetOutOfRange(partition, self.position(partition))
        if isinstance(error, InflatesTooMuch):
            self._unreadable_until_s[partition] = asyncio.get_running_loop().time() + UNREADABLE_AGAIN_S
            where = f"{self._topic}/{partition} at offset {self.position(partition)}"
            return Unanswered(f"{where} is not read: {describe(error)}; tried again in {UNREADABLE_AGAIN_S:g} s")
        if isinstance(error, OffsetOutOfRange | RecordTooLargeError):
            return error  # the second has moved the position past a record: nobody may go on from there
        return Unanswered(f"fetch from {self._topic}/{partition}: {describe(error)}")

    async def _wait_for_records(self, wait_s: float) -> None:
        """Returns when anything was fetched, the consumer closes, or the time is over."""
        waiter = inside.next_records(self._consumer)
        try:
            await asyncio.wait([waiter], timeout=wait_s)
            if waiter.done():
                waiter.result()
        except KafkaError as error:
            raise Unanswered(f"fetch from {self._topic}: {describe(error)}") from error
        finally:
            waiter.cancel()

    def _state(self, partition: int) -> Any:
        return inside.partition_state(self._consumer, TopicPartition(self._topic, partition))
