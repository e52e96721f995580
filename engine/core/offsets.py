"""Which offsets of one partition are done, and the next offset that is safe to commit.

An offset is *open* from `open()` until `complete()`. `committable` is exclusive, as in Kafka: the offset to deliver
next after a restart, so everything below it is done. Gaps in the log are crossed: they never arrive.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from operator import lt
from typing import Generic, TypeVar

Item = TypeVar("Item")


class OffsetTracker(Generic[Item]):
    """Call it from one task only. Its size follows what is open.

    Opening and completing are O(1); looking for the lowest open offset passes over places of what was completed.
    """

    def __init__(self, start: int) -> None:
        assert start >= 0
        self._position = start
        self._open: dict[int, Item | None] = {}
        """What lies at each open offset, ascending: a dictionary keeps the order, and makes room when it grows."""

    @property
    def committable(self) -> int:
        """The lowest open offset, or the position when nothing is open."""
        return next(iter(self._open), self._position)

    @property
    def oldest(self) -> Item | None:
        """What lies at the lowest open offset."""
        return next(iter(self._open.values()), None)

    @property
    def position(self) -> int:
        """Everything below it was delivered or is a gap."""
        return self._position

    @property
    def open_count(self) -> int:
        return len(self._open)

    def open_offsets(self) -> Iterator[int]:
        """The open offsets, ascending. Everything else in [`committable`, `position`) is done or a gap."""
        return iter(self._open)

    def open(self, items: dict[int, Item | None]) -> None:
        """Start tracking offsets, ascending, which lie at or past the position."""
        if items:
            first, last = next(iter(items)), next(reversed(items))
            assert first >= self._position, f"offset {first} arrived, {self._position} or higher was expected"
            assert all(map(lt, items, islice(items, 1, None))), f"offsets {first} to {last} do not ascend"
            self._open.update(items)
            self._position = last + 1

    def read_to(self, position: int) -> None:
        """Everything below `position` was delivered or is a gap."""
        self._position = max(self._position, position)

    def complete(self, offsets: Iterable[int]) -> None:
        """Mark open offsets as done."""
        still_open = self._open
        for offset in offsets:
            assert offset in still_open, f"offset {offset} was completed before, or never opened"
            del still_open[offset]

    def forget_items(self) -> None:
        """Let go of what lies at the open offsets, which stay open."""
        self._open = dict.fromkeys(self._open)
