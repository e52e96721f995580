"""An order of records that is the same in every process and only grows: for lists that are read from a topic.

A record's rank is (the highest timestamp seen so far in its partition, partition, offset): ascending within a partition
whatever timestamps do. A record that comes later never changes the rank of another, so a place that was told once
stays between the same two records.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson


class Rank(NamedTuple):
    """Where a record stands in the order."""

    time_ms: int
    partition: int
    offset: int


class CursorInvalid(ValueError):
    """The cursor was not made here."""


class Ranks:
    """Gives the records of a topic their ranks, in the order of each partition."""

    def __init__(self) -> None:
        self._times_ms: dict[int, int] = {}

    def of(self, partition: int, offset: int, timestamp_ms: int) -> Rank:
        time_ms = self._times_ms[partition] = max(timestamp_ms, self._times_ms.get(partition, 0))
        return Rank(time_ms, partition, offset)


def rank_text(rank: Rank) -> str:
    """The cursor for a rank."""
    return encode_cursor({"r": list(rank)})


def read_rank(cursor: str) -> Rank:
    """What `rank_text` wrote. Raises CursorInvalid."""
    try:
        return Rank(*map(int, decode_cursor(cursor)["r"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CursorInvalid(cursor) from error


def encode_cursor(position: Mapping[str, Any] | Sequence[Any]) -> str:
    """A place as opaque text."""
    return base64.urlsafe_b64encode(orjson.dumps(position)).decode().rstrip("=")


def decode_cursor(cursor: str) -> Any:
    """Raises CursorInvalid."""
    try:
        return orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, orjson.JSONDecodeError, ValueError) as error:
        raise CursorInvalid(cursor) from error
