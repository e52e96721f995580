"""A bounded number of long-lived tasks that run ready lanes: none is made per event or per batch."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from engine.core.lanes import Lane, take


class Scheduler:
    """Runs at most `concurrency` lanes at once, each by `run_lane`, which never raises for a failure of user code."""

    def __init__(self, concurrency: int, run_lane: Callable[[Lane], Awaitable[None]]) -> None:
        self.ready: deque[Lane] = deque()
        self.concurrency = concurrency
        self._run_lane = run_lane
        self._idle: list[asyncio.Future[None]] = []
        self._workers = 0
        self._tasks: TaskGroup | None = None

    @property
    def running(self) -> int:
        return self._workers - len(self._idle)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            self.wake()
            await anyio.sleep_forever()

    def wake(self) -> None:
        """Let as many tasks run as there are ready lanes. Call it after lanes became ready."""
        wanted = len(self.ready)
        while wanted and self._idle:
            waiting = self._idle.pop()
            if not waiting.done():
                waiting.set_result(None)
                wanted -= 1
        if self._tasks is None:
            return
        for _ in range(min(wanted, self.concurrency - self._workers)):
            self._workers += 1
            self._tasks.start_soon(self._work)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                lane = take(self.ready)
                if lane is not None:
                    await self._run_lane(lane)
                    continue
                waiting = loop.create_future()
                self._idle.append(waiting)
                await waiting
        finally:
            self._workers -= 1
