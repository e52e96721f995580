"""Records as they leave the client: what an event has, and nothing else, in one pass over what was fetched.

The client's own way makes three objects of each record and takes twice as long. This is the other place that reads of
its inside (`kafka_inside.py`): the batches, and what is known of aborted transactions. The rules are the client's.
"""

# ruff: noqa: SLF001

from collections.abc import Iterator
from itertools import chain
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException

from engine.event import EVENT_BYTES, Headers


class Record(msgspec.Struct, frozen=True, gc=False):
    """An `Event`. It is part of no cycle, so the garbage collector need not look at it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class FetchedRecords:
    """Of one partition, from one fetch: takes the place of the client's `PartitionRecords` in its `FetchResult`."""

    def __init__(self, partition: TopicPartition, fetched: PartitionRecords) -> None:
        self.next_fetch_offset: int = fetched.next_fetch_offset
        """Past what was taken; the client moves the position here."""
        self._topic, self._partition = partition
        self._fetched = fetched
        self._decoded = chain.from_iterable(self._batches())

    def take(self, taken: list[Record], records_max: int, bytes_max: int) -> tuple[bool, int]:
        """Appends to `taken`, up to the record that reaches one of the limits. Batches are decoded record by record.

        Returns whether a limit was reached, else there are no more; and what is left of `bytes_max`. Raises KafkaError
        where decoding fails, once everything before that is taken.
        """
        topic, partition, first = self._topic, self._partition, self.next_fetch_offset
        try:
            for record in self._decoded:
                offset, key, value, headers = record.offset, record.key, record.value, record.headers
                if offset < first:
                    continue  # a batch is fetched as a whole
                taken.append(
                    Record(topic, partition, offset, record.timestamp, key, value, tuple(headers) if headers else ())
                )
                bytes_max -= EVENT_BYTES + len(key or b"") + len(value or b"")
                if headers:
                    bytes_max -= sum([len(name) + len(content or b"") for name, content in headers])
                if bytes_max <= 0 or len(taken) >= records_max:
                    return True, bytes_max
        finally:
            if taken:
                self.next_fetch_offset = max(self.next_fetch_offset, taken[-1].offset + 1)
        return False, bytes_max

    def _batches(self) -> Iterator[Any]:
        """Those that hold records to hand out. Behind each, and behind those left out, the position is its end."""
        fetched = self._fetched
        while fetched._records.has_next():
            batch = fetched._records.next_batch()
            if not batch.validate_crc():
                raise CorruptRecordException(f"{self._topic}/{self._partition}: a checksum is wrong")
            if not self._left_out(batch):
                yield batch
            self.next_fetch_offset = max(self.next_fetch_offset, batch.next_offset)

    def _left_out(self, batch: Any) -> bool:
        """Markers of transactions, and what belongs to one that was aborted."""
        fetched = self._fetched
        if batch.producer_id is not None and fetched._isolation_level == READ_COMMITTED:
            fetched._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and fetched._contains_abort_marker(batch):
                fetched._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in fetched._aborted_producers:
                return True
        return bool(batch.is_control_batch)
