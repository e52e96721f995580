"""Which offsets of one partition are done, and the next offset that is safe to commit.

An offset is *open* from `open()` until `complete()`. `committable` is exclusive, as in Kafka: the offset to deliver
next after a restart, so everything below it is done. Gaps in the log are crossed: they never arrive.
"""

from collections import deque
from collections.abc import Iterator

SLACK = 1_024
"""Offsets that are done and still remembered, beside as many as are open."""


class OffsetTracker:
    """Call it from one task only. All operations are amortised O(1); its size follows what is open."""

    def __init__(self, start: int) -> None:
        assert start >= 0
        self._position = start
        self._window: deque[int] = deque()
        """Ascending; of those that are done, the first is none."""
        self._open: set[int] = set()

    @property
    def committable(self) -> int:
        """The lowest open offset, or the position when nothing is open."""
        return self._window[0] if self._window else self._position

    @property
    def position(self) -> int:
        """Everything below it was delivered or is a gap."""
        return self._position

    @property
    def open_count(self) -> int:
        return len(self._open)

    def open_offsets(self) -> Iterator[int]:
        """The open offsets, ascending. Everything else in [`committable`, `position`) is done or a gap."""
        return (offset for offset in self._window if offset in self._open)

    def open(self, offset: int) -> None:
        """Start tracking `offset`, which lies at or past the position."""
        assert offset >= self._position, f"offset {offset} arrived, {self._position} or higher was expected"
        self._window.append(offset)
        self._open.add(offset)
        self._position = offset + 1

    def read_to(self, position: int) -> None:
        """Everything below `position` was delivered or is a gap."""
        self._position = max(self._position, position)

    def complete(self, offset: int) -> None:
        """Mark an open offset as done."""
        assert self._window, "nothing is open"
        assert self._window[0] <= offset < self._position, f"offset {offset} is not open"
        assert offset in self._open, f"offset {offset} was completed before"
        self._open.remove(offset)
        while self._window and self._window[0] not in self._open:
            self._window.popleft()
        if len(self._window) > 2 * len(self._open) + SLACK:  # one that stays open must not keep all that follow
            self._window = deque(self.open_offsets())
