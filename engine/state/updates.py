"""What a batch adds, as bytes: by key, the pages with their cells, and the totals with their series.

The layout is told in `packing`. Sums of several cells of one series are made here, so that Lua adds each field once.
"""

from struct import Struct
from typing import Final

from engine.aggregate import DAY_QUARTERS, Cell, Period
from engine.state.summing import Addition, Updates, combine
from engine.state.values import pack_addition

_U16: Final = Struct(">H")
_U32: Final = Struct(">I")
_KEY_TAIL: Final = Struct(">HH")
_PAGE: Final = Struct(">IdH")
_ONE_PAGE: Final = Struct(">HHIdHH")
_ONE_SERIES: Final = Struct(">HH")


def pack_updates(parts: list[bytes], updates: Updates) -> None:
    """Appends the number of keys, and each key with its pages and totals. Raises ValueError: a number has no room."""
    by_key: dict[bytes, list[tuple[Period | None, Cell, Addition]]] = {}
    for (key, period, cell), addition in updates.items():
        of_key = by_key.get(key)
        if of_key is None:
            by_key[key] = [(period, cell, addition)]
        else:
            of_key.append((period, cell, addition))
    parts.append(_U32.pack(len(by_key)))
    for key, additions in by_key.items():
        parts += (_U16.pack(len(key)), key)
        if len(additions) == 1:
            _pack_one(parts, *additions[0])
        else:
            _pack_several(parts, additions)


def _pack_one(parts: list[bytes], period: Period | None, cell: Cell, addition: Addition) -> None:
    """A key with a single cell, as most are in a batch: the same layout in fewer steps."""
    value = pack_addition(cell[4], addition)
    day = _U32.unpack_from(cell)[0] // DAY_QUARTERS
    totals = 0 if period is None else 1
    parts += (_ONE_PAGE.pack(1, totals, day, addition.arrival_ms, 1, len(cell)), cell, value)
    if period is not None:
        parts += (period, _ONE_SERIES.pack(1, len(cell) - 4), cell[4:], value)


def _pack_several(parts: list[bytes], additions: list[tuple[Period | None, Cell, Addition]]) -> None:
    pages: dict[int, dict[Cell, Addition]] = {}
    totals: dict[bytes, dict[bytes, Addition]] = {}
    flags: dict[bytes, int] = {}
    for period, cell, addition in additions:
        page = pages.setdefault(_U32.unpack_from(cell)[0] // DAY_QUARTERS, {})
        page[cell] = combine(cell[4], page[cell], addition) if cell in page else addition
        if period is not None:
            bounds, series = period[:8], cell[4:]
            total = totals.setdefault(bounds, {})
            total[series] = combine(cell[4], total[series], addition) if series in total else addition
            flags[bounds] = flags.get(bounds, 0) | period[8]
    parts.append(_KEY_TAIL.pack(len(pages), len(totals)))
    for day, page in pages.items():
        parts.append(_PAGE.pack(day, max(addition.arrival_ms for addition in page.values()), len(page)))
        for cell, addition in page.items():
            parts += (_U16.pack(len(cell)), cell, pack_addition(cell[4], addition))
    for bounds, total in totals.items():
        parts += (bounds, bytes((flags[bounds],)), _U16.pack(len(total)))
        for series, addition in total.items():
            parts += (_U16.pack(len(series)), series, pack_addition(series[0], addition))
