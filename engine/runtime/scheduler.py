"""A bounded number of long-lived tasks that run ready lanes: none is made per event or per batch."""

import asyncio
from collections.abc import Callable, Coroutine

import anyio
from anyio.abc import TaskGroup

from engine.core.concurrency import GradientLimit
from engine.core.lanes import Lane, Ready
from engine.runtime.attempts import UNBROKEN_MAX
from engine.runtime.settings import Settings

AUTO_FIRST = 20


class Scheduler:
    """Runs at most `limit` lanes at once.

    `run_lane` never raises for a failure of user code. It returns a turn, which says how many events it has handed
    over, or None where nothing is to be awaited.
    """

    def __init__(self, settings: Settings, run_lane: Callable[[Lane], Coroutine[None, None, int] | None]) -> None:
        self.ready = Ready()
        self._settings = settings
        self._run_lane = run_lane
        self._fixed = 0
        self._gradient: GradientLimit | None = None
        self._idle: list[asyncio.Future[None]] = []
        self._workers = 0
        self._tasks: TaskGroup | None = None
        self._choose()
        settings.on_change(self._choose)

    @property
    def limit(self) -> int:
        """How many lanes may run now."""
        return self._fixed if self._gradient is None else self._gradient.limit

    @property
    def running(self) -> int:
        return self._workers - len(self._idle)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            self.wake()
            await anyio.sleep_forever()

    def observe(self, took_s: float) -> None:
        """User code took so long while this many lanes ran."""
        if self._gradient is not None:
            before = self._gradient.limit
            self._gradient.observe(took_s, self.running)
            if self._gradient.limit > before:
                self.wake()

    def wake(self) -> None:
        """Let as many tasks run as there are ready lanes and places. Call it after lanes became ready."""
        wanted = min(len(self.ready), self.limit - self.running)
        while wanted > 0 and self._idle:
            waiting = self._idle.pop()
            if not waiting.done():
                waiting.set_result(None)
                wanted -= 1
        if self._tasks is None:
            return
        for _ in range(wanted):
            self._workers += 1
            self._tasks.start_soon(self._work)

    def _choose(self) -> None:
        config = self._settings.config
        if isinstance(config.concurrency, int):
            self._fixed, self._gradient = config.concurrency, None
        elif self._gradient is None or self._gradient.maximum != config.concurrency_max:
            first = min(self.limit or AUTO_FIRST, config.concurrency_max)
            self._gradient = GradientLimit(minimum=1, maximum=config.concurrency_max, initial=first)
        self.wake()

    async def _work(self) -> None:
        loop, unbroken = asyncio.get_running_loop(), 0
        try:
            while True:
                lane = self.ready.take() if self.running <= self.limit else None
                if lane is not None:
                    turn = self._run_lane(lane)
                    if turn is not None:
                        unbroken += await turn
                    if unbroken >= UNBROKEN_MAX:
                        unbroken = 0
                        await asyncio.sleep(0)
                    continue
                waiting = loop.create_future()
                self._idle.append(waiting)
                try:
                    await waiting
                finally:
                    if waiting in self._idle:  # cancelled
                        self._idle.remove(waiting)
        finally:
            self._workers -= 1
