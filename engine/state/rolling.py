"""Cells rolled up: what each series holds in each window, from packed pages.

A month of a customer has thousands of cells. Whoever wants sums needs none of them by itself, so none is made: the
values of a series that fall in one window are gathered as they are stored, and are decoded together.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from struct import Struct
from typing import Generic, TypeAlias, TypeVar

from engine.aggregate import QUARTER_S, Aggregate, Reading, Series
from engine.state.fetching import CELL_BYTES_MIN, unpack_arrival
from engine.state.values import series_of, unpack_together

Window = TypeVar("Window", bound=Hashable)
_Values: TypeAlias = defaultdict[bytes, list[bytes]]
"""Stored values by series, as it stands in a cell: aggregate and name."""

_U32 = Struct(">I")
_FIELD = Struct(">II")
"""The length of a field, and the quarter of an hour with which it begins if it is a cell."""


def roll_up(
    pages: Iterable[bytes], start_s: int, end_s: int, window_of: Callable[[int], Window], *, members: bool
) -> dict[Series, dict[Window, Reading]]:
    """The cells that start in [start_s, end_s). `window_of`: the window of a cell, from its start in seconds.

    `members`: whether the pages came with those of sets. Without them sets are left out: their counts don't add up.
    Raises StateDamaged.
    """
    gathered = _Gathered(start_s, end_s, window_of)
    for page in pages:
        _gather(page, gathered)
    rolled: dict[Series, dict[Window, Reading]] = {}
    for window, values_of in gathered.windows.items():
        for packed, values in values_of.items():
            series = series_of(packed)
            reading = unpack_together(series.aggregate, values)
            if members or series.aggregate is not Aggregate.UNIQUE:
                rolled.setdefault(series, {})[window] = reading
    return rolled


class _Gathered(dict[int, _Values], Generic[Window]):
    """By the quarter of an hour in which a cell starts: the values of its window, which its own value joins."""

    def __init__(self, start_s: int, end_s: int, window_of: Callable[[int], Window]) -> None:
        super().__init__()
        self.windows: dict[Window, _Values] = {}
        self._span_s = range(start_s, end_s)
        self._window_of = window_of

    def __missing__(self, quarter: int) -> _Values:
        start_s = quarter * QUARTER_S
        values: _Values = defaultdict(list)
        if start_s in self._span_s:
            values = self.windows.setdefault(self._window_of(start_s), values)
        self[quarter] = values
        return values


def _gather(page: bytes, gathered: _Gathered[Window]) -> None:
    """As `unpack_hash` walks, but field and value are never made: each step counts."""
    at, end, head, length = 0, len(page), _FIELD.unpack_from, _U32.unpack_from
    while at < end:
        field_bytes, quarter = head(page, at)
        stop = at + 4 + field_bytes
        value = stop + 4
        after = value + length(page, stop)[0]
        if field_bytes >= CELL_BYTES_MIN:
            gathered[quarter][page[at + 8 : stop]].append(page[value:after])
        else:
            unpack_arrival(page[at + 4 : stop], page[value:after])
        at = after
