"""What a `fetch` call asks for and answers: index entries, pages and totals, with the members of sets.

`lua/reading.lua` reads and writes the same layout.
"""

from collections import defaultdict
from collections.abc import Iterator
from struct import Struct
from struct import error as struct_error
from typing import NamedTuple, Self

from engine.aggregate import Cell, Period, Reading, Series
from engine.errors import StateDamaged
from engine.event import Totals
from engine.state import keys
from engine.state.values import series_of, unpack_value, unpack_values

_U32 = Struct(">I")
_ARRIVAL = Struct(">d")

EXISTS = b"k"
ARRIVAL = b"a"
CELL_BYTES_MIN = 5
"""Shorter fields of a page are its book-keeping."""


class Item(NamedTuple):
    """One thing to fetch. `aggregate_at` counts from 1 within a field; 0: one field of a hash instead of all."""

    aggregate_at: int
    name: bytes
    detail: bytes
    """The field, or what the sets of UNIQUE fields are named before the field (b"": leave the members out)."""

    @classmethod
    def index_entry(cls, tag: bytes, key: bytes) -> Self:
        """The index entry of a key, b"" if there is none."""
        return cls(0, keys.index_key(tag), key)

    @classmethod
    def all_keys(cls, tag: bytes) -> Self:
        """All index entries of a bucket."""
        return cls(1, keys.index_key(tag), b"")


def page_item(tag: bytes, key: bytes, day: int, *, members: bool = False) -> Item:
    return Item(5, keys.page_key(tag, day, key), keys.cell_members_key(tag, key) if members else b"")


def total_item(tag: bytes, key: bytes, first: int, last: int, *, members: bool = False) -> Item:
    sets = keys.total_members_key(tag, first, last, key) if members else b""
    return Item(1, keys.total_key(tag, first, last, key), sets)


def unpack_hash(packed: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Fields and values, each with its length (u32) before it."""
    at, end, length = 0, len(packed), _U32.unpack_from  # a large page has thousands of them: each step counts
    while at < end:
        field = at + 4
        stop = field + length(packed, at)[0]
        value = stop + 4
        at = value + length(packed, stop)[0]
        yield packed[field:stop], packed[value:at]


def unpack_page(packed: bytes) -> tuple[dict[Cell, Reading], int]:
    """The cells of a page, and the greatest arrival that was counted there. Raises StateDamaged."""
    arrival_ms = 0
    by_aggregate: defaultdict[int, dict[Cell, bytes]] = defaultdict(dict)
    for field, value in unpack_hash(packed):
        if len(field) >= CELL_BYTES_MIN:
            by_aggregate[field[4]][Cell(field)] = value
        else:
            arrival_ms = unpack_arrival(field, value)
    cells: dict[Cell, Reading] = {}
    for aggregate, stored in by_aggregate.items():
        cells.update(zip(stored, unpack_values(aggregate, list(stored.values())), strict=True))
    return cells, arrival_ms


def unpack_arrival(field: bytes, value: bytes) -> int:
    """The greatest arrival, which is all that a page holds beside its cells. Raises StateDamaged."""
    try:
        if field == ARRIVAL:
            return int(_ARRIVAL.unpack(value)[0])
    except (struct_error, ValueError, OverflowError) as error:
        raise StateDamaged(f"field {field!r} of a page, {len(value)} bytes: {error}") from error
    raise StateDamaged(f"field {field!r} of a page")


def unpack_total(key: bytes, period: Period, packed: bytes) -> Totals | None:
    """None if no such total is kept. Raises StateDamaged."""
    values: dict[Series, Reading] = {}
    standing: set[bytes] = set()
    exists = False
    for field, value in unpack_hash(packed):
        if field[:1] == b"e":
            standing.add(field[1:])
        elif field == EXISTS:
            exists = True
        else:
            values[series_of(field)] = unpack_value(field[0], value)
    return Totals(key, period, values, frozenset(standing)) if exists else None
