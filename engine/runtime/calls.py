"""Calls of user code under watch: each has a deadline, and all of an epoch can be ended.

All calls of an epoch share one timer. It is set for the earliest deadline, and looks at all of them when it is due:
nearly every call ends long before. A turn is watched once for all its calls, which follow each other in one task.

A deadline, and the end of the epoch, cancel that task, as `asyncio.timeout` does; a cancellation that somebody else
asked for is told apart from that.
"""

import asyncio
from math import inf
from typing import Any

import anyio


class Watch:
    """The calls of one turn, in the task that made it."""

    __slots__ = ("_asked", "_calls", "_task", "began_s", "cancelled", "deadline_s")

    def __init__(self, calls: "Calls", task: "asyncio.Task[Any]") -> None:
        self._calls = calls
        self._task = task
        self._asked = 0
        """So often somebody had asked the task to end before the call."""
        self.began_s = 0.0
        self.deadline_s = inf
        self.cancelled = False

    def begin(self, now_s: float, timeout_s: float) -> None:
        """A call begins."""
        self._asked = self._task.cancelling()
        self.began_s = now_s
        self.deadline_s = deadline_s = now_s + timeout_s
        if deadline_s < self._calls.due_s:
            self._calls.look_at(deadline_s)

    def cancel(self) -> None:
        """End what runs, if the turn was not told to before."""
        if not self.cancelled:
            self.cancelled = True
            self._task.cancel()

    def ended(self) -> bool:
        """The call is over. Whether it was cancelled from here, and the task by nobody else."""
        self.deadline_s = inf
        if not self.cancelled:
            return False
        self.cancelled = False
        return self._task.uncancel() <= self._asked

    @property
    def task_ends(self) -> bool:
        """Whether somebody else asks the task to end."""
        return self._task.cancelling() > 0


class Calls:
    """Those of one epoch."""

    def __init__(self) -> None:
        self._watched: dict[Watch, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.due_s = inf
        """When the deadlines are looked at."""
        self._idle = anyio.Event()

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self) -> Watch:
        """For a turn in the current task. `release` it when the turn ends."""
        task = asyncio.current_task()
        assert task is not None
        watch = Watch(self, task)
        self._watched[watch] = None
        return watch

    def release(self, watch: Watch) -> None:
        """The turn has ended."""
        del self._watched[watch]
        if not self._watched:
            self._idle.set()

    def cancel_all(self) -> None:
        """End what runs of all turns."""
        for watch in list(self._watched):
            watch.cancel()

    async def all_ended(self) -> None:
        """Returns when no turn is watched any more."""
        if self._watched:
            self._idle = anyio.Event()
            await self._idle.wait()

    def look_at(self, due_s: float) -> None:
        """Look at the deadlines then, and not before."""
        if self._timer is not None:
            self._timer.cancel()
        self.due_s = due_s
        self._timer = asyncio.get_running_loop().call_at(due_s, self._look)

    def _look(self) -> None:
        """Cancels what is late."""
        now_s = asyncio.get_running_loop().time()
        for watch in list(self._watched):
            if watch.deadline_s <= now_s:
                watch.cancel()
        self._timer, self.due_s = None, inf
        due_s = min((watch.deadline_s for watch in self._watched if not watch.cancelled), default=inf)
        if due_s < inf:
            self.look_at(due_s)
