"""Lanes that wait for a time: retries, and events that arrived later than the processor knows. They hold no slot."""

import heapq
import itertools
from collections.abc import Callable

import anyio

from engine.core.lanes import Lane


class Deferred:
    """A heap of lanes by due time. `run` in a task group."""

    def __init__(self, requeue: Callable[[Lane], None]) -> None:
        self._heap: list[tuple[float, int, Lane]] = []
        self._order = itertools.count()
        self._requeue = requeue
        self._sooner = anyio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, lane: Lane, delay_s: float, reason: str) -> None:
        lane.reason = reason
        lane.running = False
        heapq.heappush(self._heap, (anyio.current_time() + delay_s, next(self._order), lane))
        self._sooner.set()

    async def run(self) -> None:
        while True:
            self._sooner = anyio.Event()
            wait_s = self._heap[0][0] - anyio.current_time() if self._heap else 3600.0
            with anyio.move_on_after(max(0.0, wait_s)):
                await self._sooner.wait()
            while self._heap and self._heap[0][0] <= anyio.current_time():
                self._requeue(heapq.heappop(self._heap)[2])
