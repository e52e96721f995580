"""A virtual-time event loop: sleeping costs nothing, and a deadlock is an error, not a hang."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH_MS = 1_767_225_600_000
"""Wall time at virtual second 0: 2026-01-01T00:00:00Z."""


class Deadlock(AssertionError):
    """Every task waits and no timer is set."""


class _NoWaiting(selectors.SelectSelector):
    """Polls the loop's own wake-up pipe; moves the clock instead of sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise Deadlock(f"all tasks are blocked at t={self.now_s:.3f} s")
        if not ready and timeout:
            self.now_s += timeout
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _NoWaiting()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s


class SimulatedClock:
    """Wall time that moves with the loop's; `skew_ms` makes a worker's clock wrong."""

    def __init__(self, skew_ms: int = 0) -> None:
        self._skew_ms = skew_ms

    def now_ms(self) -> int:
        return EPOCH_MS + int(asyncio.get_running_loop().time() * 1000) + self._skew_ms


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main` to its end in virtual time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(main())
