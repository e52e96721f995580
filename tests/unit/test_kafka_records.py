"""What is read of a fetched chunk, against the client's own way of reading it."""

from collections.abc import Sequence
from random import Random

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from engine.adapters.kafka_records import FetchedRecords, Record
from engine.event import memory_bytes

PARTITION = TopicPartition("usage", 3)
GZIP = 1
HEADERS: tuple[list[tuple[str, bytes]], ...] = ([], [], [("traceparent", b"00-1"), ("empty", b"")])


def batch(random: Random, first: int, count: int, *, gaps: bool = True) -> bytes:
    builder = DefaultRecordBatchBuilder(2, random.choice((0, GZIP)), False, -1, 0, 0, 1 << 20)
    for number in range(count):
        if gaps and random.random() < 0.2:
            continue
        key, value = (None if random.random() < 0.1 else random.randbytes(random.randrange(20)) for _ in range(2))
        builder.append(number, 1_000 + number, key, value, random.choice(HEADERS))
    builder.append(count, 1_000 + count, b"last", b"", [])
    packed = bytearray(builder.build())
    packed[0:8] = first.to_bytes(8, "big")
    return bytes(packed)


def chunk(seed: int) -> bytes:
    """Batches with gaps between and in them, some in gzip. The first ends at offset 110."""
    random, first, packed = Random(seed), 100, b""
    for number in range(random.randrange(1, 6)):
        count = random.randrange(1, 30) if number else 10
        packed += batch(random, first, count)
        first += count + random.randrange(1, 4)
    return packed


def records(packed: bytes, position: int, level: int = READ_COMMITTED) -> PartitionRecords:
    aborted: list[tuple[int, int]] = []
    return PartitionRecords(PARTITION, MemoryRecords(packed), aborted, position, None, None, True, level)


def fields(each: Sequence[object]) -> list[tuple[object, ...]]:
    names = ("topic", "partition", "offset", "timestamp", "key", "value", "headers")
    return [tuple(getattr(record, name) for name in names) for record in each]


@pytest.mark.parametrize("seed", range(60))
def test_records_and_positions_are_those_of_the_client(seed: int) -> None:
    random = Random(seed)
    packed, position = chunk(seed), random.randrange(95, 112)
    level = random.choice((READ_COMMITTED, READ_UNCOMMITTED))
    theirs, ours = records(packed, position, level), FetchedRecords(PARTITION, records(packed, position, level))
    more = True
    while more:
        taken: list[Record] = []
        more, _ = ours.take(taken, random.randrange(1, 12), 1 << 30)
        wanted = [next(theirs) for _ in taken]
        assert fields(taken) == fields(wanted)
        if more:
            assert ours.next_fetch_offset == theirs.next_fetch_offset
    assert list(theirs) == []
    assert ours.next_fetch_offset == theirs.next_fetch_offset


@pytest.mark.parametrize("seed", range(10))
def test_it_ends_with_the_record_that_reaches_the_bytes(seed: int) -> None:
    whole: list[Record] = []
    FetchedRecords(PARTITION, records(chunk(seed), 0)).take(whole, 1_000, 1 << 30)
    sizes = [memory_bytes(record) for record in whole]
    for count in range(1, len(whole) + 1):
        for missing, expected in ((0, count), (1, count), (-1, min(count + 1, len(whole)))):
            taken: list[Record] = []
            limit = sum(sizes[:count]) - missing
            _, left = FetchedRecords(PARTITION, records(chunk(seed), 0)).take(taken, 1_000, limit)
            assert taken == whole[:expected]
            assert left == limit - sum(sizes[:expected])


def test_a_wrong_checksum_is_met_behind_everything_before_it() -> None:
    random = Random(1)
    good, bad = batch(random, 0, 9, gaps=False), bytearray(batch(random, 10, 9))
    bad[-1] ^= 1
    ours, taken = FetchedRecords(PARTITION, records(good + bytes(bad), 4)), list[Record]()
    with pytest.raises(CorruptRecordException, match="usage/3"):
        ours.take(taken, 1_000, 1 << 30)
    assert [record.offset for record in taken] == [4, 5, 6, 7, 8, 9]
    assert ours.next_fetch_offset == 10


def test_a_record_is_a_value() -> None:
    one, other = (Record("usage", 3, 7, 1_000, b"k", b"v", ()) for _ in range(2))
    assert len({one, other}) == 1
    with pytest.raises(AttributeError):
        one.offset = 8  # type: ignore[misc]
