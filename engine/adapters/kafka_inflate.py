"""Batches that inflate to more than a worker may hold are not read: a megabyte of the log may be a gigabyte of zeros.

A batch is inflated as a whole by the client, which knows no limit. Here gzip, the one codec that it has without further
packages, stops at INFLATED_BYTES_MAX.
"""

import sys
import zlib

from aiokafka.errors import CorruptRecordException, KafkaError
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

INFLATED_BYTES_MAX = 64 * 1024 * 1024
"""Of one batch. Producers fill a batch by what it holds before it is compressed: by default 16 KiB, or one event."""
PIECE_BYTES = 1024 * 1024
GZIP = 31
"""zlib's name for a gzip stream with the largest window."""


class InflatesTooMuch(KafkaError):  # type: ignore[misc]
    """A batch holds more than INFLATED_BYTES_MAX."""


def inflate(packed: bytes | memoryview) -> bytes:
    """The content of a gzip stream of one or more members.

    Raises:
        InflatesTooMuch: it is longer than INFLATED_BYTES_MAX; so much of it was held, and let go.
        CorruptRecordException: it is no gzip stream, or is cut off.
    """
    left = bytes(packed)
    pieces: list[bytes] = []
    size = 0
    while left:
        member = zlib.decompressobj(GZIP)
        while not member.eof:
            try:
                piece = member.decompress(left, PIECE_BYTES)
            except zlib.error as error:
                raise CorruptRecordException(f"a batch is no gzip stream: {error}") from error
            left = member.unconsumed_tail
            if not piece and not member.eof:
                raise CorruptRecordException("a batch ends within its gzip stream")
            pieces.append(piece)
            size += len(piece)
            if size > INFLATED_BYTES_MAX:
                raise InflatesTooMuch(
                    f"a batch of {memoryview(packed).nbytes} bytes inflates to over {INFLATED_BYTES_MAX}"
                )
        left = member.unused_data.lstrip(b"\0")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def install() -> None:
    """The client looks its decoder up in the modules of its two record formats."""
    for batch in (DefaultRecordBatch, LegacyRecordBatch):
        module = sys.modules[batch.__module__]
        assert hasattr(module, "gzip_decode"), f"{module.__name__} has no gzip_decode: aiokafka has changed"
        module.gzip_decode = inflate  # type: ignore[attr-defined]


install()
