"""Pages of a list whose rows move: each walk through it sees one moment, or an order that nothing changes.

By spend or by share, rows change places while somebody pages. A cursor therefore names the moment at which its walk
began, and the moment is kept for a while: every row that was there then comes exactly once, and all pages say the same
`as_of`. Where the moment is gone (it was kept too long ago, or by another process) the walk goes on behind the same
place as rows stand now, and another `as_of` says so: a row may then come twice or not at all.

By customer rows never change places, so such a walk needs no moment: pages are always of now, and no customer that
was there all the time is missed or repeated, whichever process answers.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from billing.api.ranks import CursorInvalid, decode_cursor, encode_cursor
from billing.rows import Place, Row, Snapshot, by_name, by_share, by_spend

ORDERS: Mapping[str, Callable[[Row], Place]] = {"-spend": by_spend, "-limit_share": by_share, "customer": by_name}
MOVING = frozenset({"-spend", "-limit_share"})
BEGUN_MAX = 8
WALKED_MAX = 8
KEPT_MS = 300_000


@dataclass(frozen=True, slots=True)
class Page:
    rows: Sequence[Row]
    next: str | None
    as_of_ms: int


class Moments:
    """Snapshots that cursors were told of. Those in which somebody went on are kept apart, so that many who look at
    the first page only do not take them away.
    """

    def __init__(self) -> None:
        self._begun: OrderedDict[int, Snapshot] = OrderedDict()
        self._walked: OrderedDict[int, Snapshot] = OrderedDict()

    def keep(self, snapshot: Snapshot) -> None:
        """A cursor is told of it."""
        if snapshot.as_of_ms not in self._walked:
            _put(self._begun, snapshot, BEGUN_MAX)

    def go_on(self, as_of_ms: int, now_ms: int) -> Snapshot | None:
        """The snapshot of a cursor; None if it is not kept, or is too old."""
        snapshot = self._begun.pop(as_of_ms, None) or self._walked.pop(as_of_ms, None)
        if snapshot is None or now_ms - as_of_ms > KEPT_MS:
            return None
        _put(self._walked, snapshot, WALKED_MAX)
        return snapshot


def _put(kept: OrderedDict[int, Snapshot], snapshot: Snapshot, most: int) -> None:
    kept[snapshot.as_of_ms] = snapshot
    kept.move_to_end(snapshot.as_of_ms)
    if len(kept) > most:
        kept.popitem(last=False)


def read_page(
    newest: Snapshot, moments: Moments, order: str, after: str | None, count: int, wanted: Callable[[Row], bool]
) -> Page:
    """The rows behind a cursor, or the first ones.

    Raises:
        CursorInvalid: the cursor was not told for this order.
    """
    snapshot, behind = newest, None
    if after is not None:
        as_of_ms, behind = _read_cursor(after, order)
        if order in MOVING:
            snapshot = moments.go_on(as_of_ms, newest.as_of_ms) or newest
    key = ORDERS[order]
    rows = list(filter(wanted, snapshot.in_order(key)))
    try:
        first = 0 if behind is None else bisect_right(rows, behind, key=key)
    except TypeError as error:
        raise CursorInvalid(after) from error
    page = rows[first : first + count]
    if first + count >= len(rows):
        return Page(page, None, snapshot.as_of_ms)
    if order in MOVING:
        moments.keep(snapshot)
    return Page(page, _cursor(order, snapshot.as_of_ms, key(page[-1])), snapshot.as_of_ms)


def _cursor(order: str, as_of_ms: int, place: Place) -> str:
    parts = [[str(part.numerator), str(part.denominator)] if isinstance(part, Fraction) else part for part in place]
    return encode_cursor([order, as_of_ms, *parts])


def _read_cursor(text: str, order: str) -> tuple[int, Place]:
    """What `_cursor` wrote for this order."""
    try:
        named, as_of_ms, *parts = decode_cursor(text)
        place = tuple(Fraction(int(part[0]), int(part[1])) if isinstance(part, list) else part for part in parts)
    except (ValueError, TypeError, LookupError, ZeroDivisionError) as error:
        raise CursorInvalid(text) from error
    if named != order or not isinstance(as_of_ms, int):
        raise CursorInvalid(text)
    return as_of_ms, place
