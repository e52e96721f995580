"""A virtual-time event loop: sleeping costs nothing, a deadlock is an error, and processes can stand still or die.

A process is all that was started in one context. Held, it behaves as after SIGSTOP: nothing of it runs, its timers fall
due, what is sent to it waits, and all of that happens at once when it goes on. Killed, it never goes on, and runs no
`finally`. Everything else is the world, which never stands still.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, TypeVar

T = TypeVar("T")

EPOCH_MS: Final = 1_767_225_600_000
"""Wall time at virtual second 0: 2026-01-01T00:00:00Z."""


ROUNDS_MAX: Final = 100_000
"""So often the loop may go round without the clock moving."""


class Deadlock(AssertionError):
    """Every task waits and no timer is set; or tasks wake each other for ever, and no time passes."""


class Process:
    """`start` what runs in it with `run`; everything started from there belongs to it."""

    __slots__ = ("held", "killed", "parked")

    def __init__(self) -> None:
        self.held = False
        self.killed = False
        self.parked: list[_Step] = []

    def hold(self) -> None:
        self.held = True
        if self not in (held := simulated_loop().held):
            held.append(self)

    def kill(self) -> None:
        self.hold()
        self.killed = True

    def go_on(self) -> None:
        """What fell due meanwhile happens now, in its order."""
        if self.held and not self.killed:
            self.held = False
            simulated_loop().take_back(self)

    def context(self) -> Context:
        context = copy_context()
        context.run(_PROCESS.set, self)
        return context


_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
WORLD: Final = Context()
"""For callbacks that no process owns: servers, networks, faults."""


class _Step:
    """What asyncio calls a handle."""

    __slots__ = ("args", "callback", "context", "due_s", "is_cancelled", "process")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None, due_s: float):
        self.callback = callback
        self.args = args
        self.context = copy_context() if context is None else context
        self.process = self.context.get(_PROCESS)
        self.due_s = due_s
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self.due_s


class _Task(asyncio.Task[T]):
    """Sets of tasks are walked in the same order in every run."""

    def __init__(self, *arguments: Any, serial: int, **named: Any) -> None:
        self._serial = serial
        super().__init__(*arguments, **named)

    def __hash__(self) -> int:
        return self._serial


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs what is ready; when nothing is, moves the clock to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._queue: deque[_Step] = deque()
        self._timers: list[tuple[float, int, _Step]] = []
        self._serials = itertools.count()
        self._rounds = 0
        self.held: list[Process] = []
        self.failures: list[BaseException] = []
        self.set_task_factory(self._new_task)  # type: ignore[arg-type]
        self.set_exception_handler(self._note_failure)

    def time(self) -> float:
        return self._now_s

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        step = _Step(callback, args, context, self._now_s)
        self._queue.append(step)
        return step

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        return self.call_at(self._now_s + max(0.0, delay), callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        step = _Step(callback, args, context, when)
        heapq.heappush(self._timers, (when, next(self._serials), step))
        return step

    def revive(self) -> None:
        """Everything goes on, the dead too: so that all tasks can be ended."""
        for process in self.held:
            process.killed = process.held = False
            self.take_back(process)

    def take_back(self, process: Process) -> None:
        self._queue.extend(process.parked)
        process.parked.clear()

    def _run_once(self) -> None:
        queue = self._queue
        if not queue:
            self._move_clock()
        self._rounds += 1
        if self._rounds > ROUNDS_MAX:
            self._rounds = 0
            raise Deadlock(f"no time passes at t={self._now_s:.3f} s")
        for _ in range(len(queue)):
            step = queue.popleft()
            process = step.process
            if step.is_cancelled:
                continue
            if process is not None and process.held:
                process.parked.append(step)
                continue
            try:
                step.context.run(step.callback, *step.args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - a callback's, to be reported by the run
                self.failures.append(error)

    def _move_clock(self) -> None:
        timers, queue = self._timers, self._queue
        while timers and timers[0][2].is_cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Deadlock(f"all tasks are blocked at t={self._now_s:.3f} s")
        if timers[0][0] > self._now_s:
            self._now_s, self._rounds = timers[0][0], 0
        while timers and timers[0][0] <= self._now_s:
            queue.append(heapq.heappop(timers)[2])

    def _new_task(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], **named: Any) -> _Task[T]:
        return _Task(coroutine, loop=loop, serial=next(self._serials), **named)

    def _note_failure(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.failures.append(error if error is not None else AssertionError(context.get("message", "")))


def simulated_loop() -> SimulatedLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    return loop


class SimulatedClock:
    """Wall time that moves with the loop's, `scale` times as fast; `skew_ms` makes a worker's clock wrong."""

    def __init__(self, skew_ms: int = 0, *, scale: float = 1.0) -> None:
        self._skew_ms = skew_ms
        self._scale_ms = 1000 * scale

    def now_ms(self) -> int:
        return EPOCH_MS + int(asyncio.get_running_loop().time() * self._scale_ms) + self._skew_ms


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main` to its end in virtual time, then end whatever still runs."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        try:
            return runner.run(main())
        finally:
            loop = runner.get_loop()
            assert isinstance(loop, SimulatedLoop)
            loop.revive()
