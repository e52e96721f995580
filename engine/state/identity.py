"""Identities, digests, buckets and days: what an event is to the state."""

from hashlib import blake2b
from struct import Struct

import xxhash

from engine.core.record import BEGINNING, DAY_MAX

DIGEST_BYTES = 16
DAY_MS = 86_400_000

_LENGTHS = Struct(">III")


def identity_of(tenant: bytes, key: bytes, source: bytes, event_id: bytes) -> bytes:
    """16 bytes, collision-resistant, of the parts with their lengths: no two different events share it."""
    lengths = _LENGTHS.pack(len(tenant), len(key), len(source))
    return blake2b(lengths + tenant + key + source + event_id, digest_size=DIGEST_BYTES).digest()


def digest_of(value: bytes) -> bytes:
    """16 bytes, collision-resistant: a value of a UNIQUE series."""
    return blake2b(value, digest_size=DIGEST_BYTES).digest()


def bucket_of(key: bytes, buckets: int) -> int:
    """The bucket of a lane key. Another hash than any partitioner's, or a partition would feed few buckets."""
    return xxhash.xxh3_64_intdigest(key) % buckets


def arrival_day(timestamp_ms: int) -> int:
    """Days since 1970 in UTC, kept within what a record can hold."""
    day = timestamp_ms // DAY_MS
    if BEGINNING < day <= DAY_MAX:
        return day
    return min(max(day, BEGINNING + 1), DAY_MAX)
