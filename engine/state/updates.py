"""What a batch adds, as bytes: by key, the pages with their cells, and the totals with their series.

The layout is told in `packing`. Sums of several cells of one series are made here, so that Lua adds each field once.
"""

from struct import Struct
from typing import Final

from engine.aggregate import DAY_QUARTERS, Cell, Period
from engine.state.summing import Addition, Moved, Updates, combine
from engine.state.values import pack_addition

_U16: Final = Struct(">H")
_U32: Final = Struct(">I")
_KEY_TAIL: Final = Struct(">HH")
_PAGE: Final = Struct(">IdH")
_ONE_PAGE: Final = Struct(">HHIdHH")
_ONE_SERIES: Final = Struct(">HH")
_KEY_PAGE: Final = Struct(">HHIdH")


def pack_updates(parts: list[bytes], updates: Updates) -> None:
    """Appends the number of keys, and each key with its pages and totals. Raises ValueError: a number has no room."""
    parts.append(_U32.pack(len(updates)))
    for key, moved in updates.items():
        parts += (_U16.pack(len(key)), key)
        if len(moved) == 1:
            (((period, cell), addition),) = moved.items()
            _pack_one(parts, period, cell, addition)
        elif not _pack_page(parts, moved):
            _pack_several(parts, moved)


def _pack_one(parts: list[bytes], period: Period | None, cell: Cell, addition: Addition) -> None:
    """A key with a single cell, as most are in a batch: the same layout in fewer steps."""
    value = pack_addition(cell[4], addition)
    day = _U32.unpack_from(cell)[0] // DAY_QUARTERS
    totals = 0 if period is None else 1
    parts += (_ONE_PAGE.pack(1, totals, day, addition.arrival_ms, 1, len(cell)), cell, value)
    if period is not None:
        parts += (period, _ONE_SERIES.pack(1, len(cell) - 4), cell[4:], value)


def _pack_page(parts: list[bytes], moved: Moved) -> bool:
    """A key with cells of one start and one period, as nearly all others are: no two are of a series.

    Returns False, and has appended nothing, where they are not.
    """
    ((period, first), addition) = next(iter(moved.items()))
    start, arrival_ms = first[:4], addition.arrival_ms
    cells: list[bytes] = []
    series: list[bytes] = []
    for (other, cell), addition in moved.items():
        if other != period or cell[:4] != start:
            return False
        if addition.arrival_ms > arrival_ms:  # noqa: PLR1730
            arrival_ms = addition.arrival_ms
        value = pack_addition(cell[4], addition)
        length = len(cell)
        cells += (_U16.pack(length), cell, value)
        series += (_U16.pack(length - 4), cell[4:], value)
    count = len(moved)
    parts.append(
        _KEY_PAGE.pack(1, 0 if period is None else 1, _U32.unpack(start)[0] // DAY_QUARTERS, arrival_ms, count)
    )
    parts += cells
    if period is not None:
        parts += (period, _U16.pack(count))
        parts += series
    return True


def _pack_several(parts: list[bytes], moved: Moved) -> None:
    pages: dict[int, dict[Cell, Addition]] = {}
    totals: dict[bytes, dict[bytes, Addition]] = {}
    flags: dict[bytes, int] = {}
    for (period, cell), addition in moved.items():
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
