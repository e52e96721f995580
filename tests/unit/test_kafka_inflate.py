"""What the client may inflate: gzip streams as producers write them, none larger than the limit."""

import gzip
import random

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from engine.adapters.kafka_inflate import INFLATED_BYTES_MAX, PIECE_BYTES, InflatesTooMuch, inflate

GZIP = 1


def batch(value: bytes) -> bytes:
    """A batch of one record, as it lies in the log."""
    builder = DefaultRecordBatchBuilder(2, GZIP, 0, -1, -1, 0, 2 * INFLATED_BYTES_MAX)
    builder.append(0, 1, b"key", value, [])
    return bytes(builder.build())


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_what_was_packed_comes_back(size: int) -> None:
    content = random.Random(size).randbytes(size // 2) + bytes(size - size // 2)
    assert inflate(gzip.compress(content)) == content
    assert inflate(memoryview(gzip.compress(content))) == content


def test_several_members_and_padding_are_one_stream() -> None:
    assert inflate(gzip.compress(b"one ") + gzip.compress(b"two") + bytes(8)) == b"one two"


@pytest.mark.parametrize("packed", [b"no gzip", gzip.compress(b"cut off")[:-9]], ids=["no gzip", "cut off"])
def test_what_is_no_stream_is_corrupt(packed: bytes) -> None:
    with pytest.raises(CorruptRecordException):
        inflate(packed)


def test_the_limit_is_the_last_size_that_passes() -> None:
    assert len(inflate(gzip.compress(bytes(INFLATED_BYTES_MAX), 1))) == INFLATED_BYTES_MAX
    with pytest.raises(InflatesTooMuch, match="inflates to over"):
        inflate(gzip.compress(bytes(INFLATED_BYTES_MAX + 1), 1))


def test_the_client_decodes_by_it() -> None:
    """Guards `install`."""
    (record,) = DefaultRecordBatch(batch(b"value"))
    assert record.value == b"value"
    with pytest.raises(InflatesTooMuch):
        list(DefaultRecordBatch(batch(bytes(INFLATED_BYTES_MAX))))
