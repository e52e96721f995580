"""Sums what the events of a batch add, per key, period and cell, before it travels.

On the hot path: one look-up and two additions an event where its cell was met before in the batch.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from engine.aggregate import Aggregate, Cell, Period, Value
from engine.event import Counts, Event

_COUNT: Final = int(Aggregate.COUNT)
_SUM: Final = int(Aggregate.SUM)
_MIN: Final = int(Aggregate.MIN)
_MAX: Final = int(Aggregate.MAX)
_LATEST: Final = int(Aggregate.LATEST)

Rank: TypeAlias = tuple[int, int, int, int]
NO_RANK: Final[Rank] = (0, 0, 0, 0)


class Addition:
    """What some events add to one cell. Which fields mean something depends on the aggregate, as for `Reading`."""

    __slots__ = ("arrival_ms", "count", "members", "number", "rank")

    def __init__(self, count: int, number: int, arrival_ms: int, rank: Rank, members: set[bytes] | None) -> None:
        self.count = count
        self.number = number
        self.arrival_ms = arrival_ms
        """The greatest arrival of the events."""
        self.rank = rank
        self.members = members


Moved: TypeAlias = dict[tuple[Period | None, Cell], Addition]
"""What is added to a key, by the period whose total rises too (or None), and cell."""
Updates: TypeAlias = dict[bytes, Moved]
"""By lane key."""


def sum_up(batch: Iterable[tuple[Event, Counts]]) -> Updates:
    """What the given events add; all of them count."""
    updates: Updates = {}
    of, moved = b"", updates.setdefault(b"", {})
    for event, counts in batch:
        key = event.key or b""
        if key != of:  # events of a key come together mostly
            of, moved = key, updates.setdefault(key, {})
        period, arrival_ms = counts.period, event.timestamp
        for cell, value in counts.adds:
            place = (period, cell)
            have = moved.get(place)
            if have is None:
                moved[place] = _first(event, cell[4], value)
                continue
            if arrival_ms > have.arrival_ms:  # noqa: PLR1730 - a call of max() costs as much as the rest
                have.arrival_ms = arrival_ms
            have.count += 1
            aggregate = cell[4]
            if aggregate == _SUM:
                have.number += value  # type: ignore[operator]  # an int, as Aggregate.SUM says
            elif aggregate != _COUNT:
                _add(have, event, aggregate, value)
    return {key: moved for key, moved in updates.items() if moved}


def _first(event: Event, aggregate: int, value: Value) -> Addition:
    if isinstance(value, int):
        return Addition(1, value, event.timestamp, NO_RANK, None)
    if isinstance(value, tuple):
        time_us, number = value
        return Addition(1, number, event.timestamp, _rank(time_us, event), None)
    if value is None:
        return Addition(1, 0, event.timestamp, NO_RANK, None)
    return Addition(1, 0, event.timestamp, NO_RANK, {value})


def _add(have: Addition, event: Event, aggregate: int, value: Value) -> None:
    if isinstance(value, int):
        if aggregate == _MIN:
            have.number = min(have.number, value)
        else:
            assert aggregate == _MAX
            have.number = max(have.number, value)
    elif isinstance(value, tuple):
        time_us, number = value
        rank = _rank(time_us, event)
        if rank > have.rank:
            have.rank, have.number = rank, number
    else:
        assert isinstance(value, bytes)
        assert have.members is not None
        have.members.add(value)


def _rank(time_us: int, event: Event) -> Rank:
    return (time_us, event.timestamp, event.partition, event.offset)


def combine(aggregate: int, left: Addition, right: Addition) -> Addition:
    """What both add together, as a new object."""
    arrival_ms = max(left.arrival_ms, right.arrival_ms)
    if aggregate == _LATEST:
        later = max(left, right, key=lambda addition: addition.rank)
        return Addition(left.count + right.count, later.number, arrival_ms, later.rank, None)
    if aggregate in {_MIN, _MAX}:
        choose = min if aggregate == _MIN else max
        return Addition(left.count + right.count, choose(left.number, right.number), arrival_ms, NO_RANK, None)
    members = left.members | right.members if left.members is not None and right.members is not None else None
    return Addition(left.count + right.count, left.number + right.number, arrival_ms, NO_RANK, members)
