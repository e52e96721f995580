"""Which offsets of one partition are done, and the next offset that is safe to commit.

An offset is *open* from `open()` until `complete()`. `committable` is exclusive, as in Kafka: the offset to deliver
next after a restart, so everything below it is done. Gaps in the log are crossed: they never arrive.
"""

from collections import deque


class OffsetTracker:
    """Call it from one task only. All operations are amortised O(1)."""

    def __init__(self, start: int) -> None:
        assert start >= 0
        self._position = start
        self._window: deque[int] = deque()
        self._done: set[int] = set()

    @property
    def committable(self) -> int:
        """The lowest open offset, or the position when nothing is open."""
        return self._window[0] if self._window else self._position

    @property
    def open_count(self) -> int:
        return len(self._window) - len(self._done)

    def open(self, offset: int) -> None:
        """Start tracking `offset`, which lies at or past the position."""
        assert offset >= self._position, f"offset {offset} arrived, {self._position} or higher was expected"
        self._window.append(offset)
        self._position = offset + 1

    def read_to(self, position: int) -> None:
        """Everything below `position` was delivered or is a gap."""
        self._position = max(self._position, position)

    def complete(self, offset: int) -> None:
        """Mark an open offset as done."""
        assert self._window, "nothing is open"
        assert self._window[0] <= offset < self._position, f"offset {offset} is not open"
        assert offset not in self._done, f"offset {offset} was completed before"
        self._done.add(offset)
        while self._window and self._window[0] in self._done:
            self._done.remove(self._window.popleft())
