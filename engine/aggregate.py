"""Cells, periods and the aggregates they hold.

A cell is (key, start of an hour, series): the finest figure that is kept. A series is what the processor says it is,
for example a meter's version and a group. Coarser windows are rolled up from cells when somebody reads. Beside the
cells stand running totals, one for each (key, period), where a processor asks for them.

`Cell` and `Period` are `bytes` with a canonical form: hashed once, compared as bytes, and sent as they are. Make them
once and keep them.
"""

import struct
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, Self, TypeAlias

QUARTER_S = 900
"""Starts are multiples of a quarter of an hour: the finest step between the time zones in use."""

DAY_QUARTERS = 96
SERIES_MAX = 65_536
"""So many series are remembered decoded, the newest."""


class Aggregate(IntEnum):
    """How values of a series come together. The numbers are stored: never change one."""

    COUNT = 1
    """Number of events. Value: None."""
    SUM = 2
    """Number and exact sum. Value: int, |value| < 10**27 (a quantity times 10**12)."""
    MIN = 3
    """Smallest value, an int as for SUM."""
    MAX = 4
    """Greatest value, an int as for SUM."""
    LATEST = 5
    """Value of the greatest (time, arrival, partition, offset). Value: (time_us, int as for SUM)."""
    UNIQUE = 6
    """Set of distinct values. Value: a 16-byte digest of the value (`digest_of`)."""


Value: TypeAlias = int | bytes | tuple[int, int] | None

_CELL = struct.Struct(">IB")
_PERIOD = struct.Struct(">IIB")


class Series(NamedTuple):
    """What a total is kept by: the aggregate and the processor's own name of the series (at most 1,024 bytes)."""

    aggregate: Aggregate
    name: bytes


@lru_cache(maxsize=SERIES_MAX)
def unpack_series(packed: bytes) -> Series:
    """Aggregate (1 byte) and name: what a cell holds after its start. The same few are asked for over and over.

    Raises ValueError, IndexError: it is none.
    """
    return Series(Aggregate(packed[0]), packed[1:])


class Cell(bytes):
    """Start (quarters of an hour since 1970, 4 bytes), aggregate (1 byte), series name: all big-endian."""

    @classmethod
    def of(cls, aggregate: Aggregate, start_s: int, name: bytes) -> Self:
        """`start_s`: seconds since 1970, a multiple of QUARTER_S, not negative; `name`: at most 1,024 bytes."""
        quarters, rest = divmod(start_s, QUARTER_S)
        if rest or quarters < 0 or len(name) > 1024:
            raise ValueError(
                f"start {start_s} must be a multiple of {QUARTER_S}, name of {len(name)} at most 1,024 bytes"
            )
        return cls(_CELL.pack(quarters, aggregate) + name)

    @property
    def start_s(self) -> int:
        return int.from_bytes(self[:4], "big") * QUARTER_S

    @property
    def series(self) -> Series:
        """Raises ValueError: the aggregate is none."""
        return unpack_series(self[4:])


class Period(bytes):
    """Half-open [start, end) of a running total in quarters of an hour, and flags: 1 keep it, 2 it is watched.

    A total that exists is always raised, kept or not: an older view of the facts must not let it fall behind. One
    that is kept and does not exist is first summed from its cells. A watched one owes a reaction.
    """

    @classmethod
    def of(cls, start_s: int, end_s: int, *, keep: bool, watched: bool) -> Self:
        return cls(
            _PERIOD.pack(
                start_s // QUARTER_S, end_s // QUARTER_S, (1 if keep or watched else 0) | (2 if watched else 0)
            )
        )

    @property
    def start_s(self) -> int:
        return int.from_bytes(self[:4], "big") * QUARTER_S

    @property
    def end_s(self) -> int:
        return int.from_bytes(self[4:8], "big") * QUARTER_S

    @property
    def watched(self) -> bool:
        return bool(self[8] & 2)


class Reading(NamedTuple):
    """What a cell or total holds. Which fields mean something depends on the aggregate.

    count: events (COUNT, SUM) or distinct values (UNIQUE). number: the sum, minimum, maximum or latest value, an int.
    rank: for LATEST (time_us, arrival_ms, partition, offset). members: for UNIQUE the digests, where they were read.
    """

    count: int = 0  # type: ignore[assignment]  # a field here; nobody counts a reading's members
    number: int = 0
    rank: tuple[int, int, int, int] = (0, 0, 0, 0)
    members: frozenset[bytes] = frozenset()


def merge(aggregate: Aggregate, left: Reading, right: Reading) -> Reading:
    """The reading of both together: how hours become days, days months, and groups one line."""
    match aggregate:
        case Aggregate.COUNT | Aggregate.SUM:
            return Reading(left.count + right.count, left.number + right.number)
        case Aggregate.MIN:
            return min(left, right, key=lambda reading: reading.number)
        case Aggregate.MAX:
            return max(left, right, key=lambda reading: reading.number)
        case Aggregate.LATEST:
            return max(left, right, key=lambda reading: reading.rank)
        case Aggregate.UNIQUE:
            members = left.members | right.members
            return Reading(len(members), members=members)
