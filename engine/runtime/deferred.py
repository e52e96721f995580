"""Lanes that wait for a time: retries, batches that may grow, events that arrived later than the processor knows.

They hold no place among the lanes that run.
"""

import heapq
import itertools
from collections.abc import Callable

import anyio

from engine.core.lanes import Lane

VOID_MAX = 1_024
"""Entries of lanes that wait no more, beside as many as wait."""


class Deferred:
    """A heap of lanes by due time. `run` in a task group."""

    def __init__(self, requeue: Callable[[Lane], None]) -> None:
        self._heap: list[tuple[float, int, Lane]] = []
        self._tickets = itertools.count()
        self._waiting: dict[Lane, tuple[int, float]] = {}
        """Ticket and due time of each lane; an entry of the heap with another ticket is void."""
        self._requeue = requeue
        self._sooner = anyio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, lane: Lane, delay_s: float, reason: str) -> None:
        lane.reason = reason
        lane.running = False
        ticket, due_s = next(self._tickets), anyio.current_time() + delay_s
        self._waiting[lane] = ticket, due_s
        if not self._heap or due_s < self._heap[0][0]:
            self._sooner.set()
        heapq.heappush(self._heap, (due_s, ticket, lane))

    def wait_s(self, lane: Lane) -> float | None:
        """How long the lane waits from now on; None if it does not wait here."""
        waiting = self._waiting.get(lane)
        return None if waiting is None else max(0.0, waiting[1] - anyio.current_time())

    def hasten(self, lane: Lane) -> None:
        """Its time has come sooner."""
        if self._waiting.pop(lane, None) is not None:
            self._requeue(lane)
        if len(self._heap) > 2 * len(self._waiting) + VOID_MAX:
            self._forget_void()

    def forget_dropped(self) -> None:
        """An epoch has ended: its lanes wait no more."""
        self._waiting = {lane: due for lane, due in self._waiting.items() if not lane.dropped}
        self._forget_void()

    def _forget_void(self) -> None:
        self._heap = [entry for entry in self._heap if self._waiting.get(entry[2]) == (entry[1], entry[0])]
        heapq.heapify(self._heap)

    async def run(self) -> None:
        while True:
            self._sooner = anyio.Event()
            wait_s = self._heap[0][0] - anyio.current_time() if self._heap else 3600.0
            with anyio.move_on_after(max(0.0, wait_s)):
                await self._sooner.wait()
            while self._heap and self._heap[0][0] <= anyio.current_time():
                due_s, ticket, lane = heapq.heappop(self._heap)
                if self._waiting.get(lane) == (ticket, due_s):
                    self.hasten(lane)
