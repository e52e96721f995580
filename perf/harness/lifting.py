"""One cell of the grid of `lift`: a system, how many events it may handle at once, a latency, and how keys are spread.

Where one key has a share s of the events, no system that keeps its order can do more than 1 / (s × latency). There, and
only there, fewer events are in flight: about `HOT_BACKLOG_S` at that rate, so that a steady state comes soon.
"""

import asyncio
from typing import Any, Literal, NamedTuple, TypeAlias

from perf.harness.group import committed_offsets
from perf.harness.loops import Loop, gathered, one_by_one, whole_batches
from perf.harness.plain import Call, PlainHandler, check_handled
from perf.harness.servers import Servers
from perf.harness.steady import Span, steady
from perf.harness.worker import IN_FLIGHT_MAX, worker

System: TypeAlias = Literal["engine", "sequential", "gather", "getmany"]
KEYS = 1_000
SLOW_EVERY = 100
SLOW_S = 1.0
SLOW_KEYS = frozenset(b"customer-%d" % number for number in range(0, KEYS, SLOW_EVERY))
ZIPF = 1.1
HOT_SHARE: float = 1 / sum(rank**-ZIPF for rank in range(1, KEYS + 1))
HOT_BACKLOG_S = 1.0
HOT_WARM = 5
"""Backlogs that are gone before it counts: by then what is in flight is mostly the hot keys'."""
WARM_S = 0.5
RATE_MAX = 40_000
"""Events a second that a warm-up reckons with where nothing waits."""
POLL_S = 0.02
NAMES = {"engine": "engine", "sequential": "one after another", "gather": "gather loop", "getmany": "getmany loop"}


class Cell(NamedTuple):
    """`slow`: None, or how long an event of a slow key takes, in seconds."""

    system: System
    latency_ms: float
    concurrency: int = 1
    zipf: bool = False
    slow_s: float | None = None

    @property
    def name(self) -> str:
        many = f" C={self.concurrency:,}" if self.concurrency > 1 else ""
        slow = f", {self.slow_s:g} s for 1 key in {SLOW_EVERY}" if self.slow_s else ""
        return f"{NAMES[self.system]}{many}, {self.latency_ms:g} ms{slow}{', Zipf' if self.zipf else ''}"

    @property
    def latency_s(self) -> float:
        return self.latency_ms / 1000

    @property
    def call(self) -> Call:
        slow_s = self.latency_s if self.slow_s is None else self.slow_s
        return Call(self.latency_s, slow_s, SLOW_KEYS)

    @property
    def in_flight_max(self) -> int:
        """Events that are read and not done; of the gather loop: of a batch."""
        normal = IN_FLIGHT_MAX
        if self.system == "gather":
            normal = self.concurrency if self.concurrency < KEYS else 10 * self.concurrency
        if not self.zipf or not self.latency_ms or self.system == "sequential":
            return normal
        return min(normal, max(16, round(HOT_BACKLOG_S / (HOT_SHARE * self.latency_s))))

    @property
    def warm_events(self) -> int:
        if self.slow_s is not None and self.system == "gather":
            return 0  # its batches take far longer than any warm-up
        if self.zipf and self.latency_ms and self.system != "sequential":
            return HOT_WARM * self.in_flight_max
        rate = min(self.concurrency / self.latency_s, RATE_MAX) if self.latency_ms else RATE_MAX
        return max(3, round(WARM_S * rate))


class Window(NamedTuple):
    """How long a cell is measured at most, and at least; `events_max` is where the log begins to run out."""

    events_max: int
    window_s: float
    least_s: float
    least_events: int


async def lift(servers: Servers, topic: str, group: str, *, cell: Cell, window: Window) -> dict[str, float]:
    """Figures of a cell in this process. Raises CheckFailed, NotSteady."""
    handler = PlainHandler(cell.call)
    if cell.system in {"engine", "sequential"}:
        figures = await _by_engine(servers, topic, group, handler, cell, window)
    else:
        figures = await _by_loop(servers, topic, group, handler, cell, window)
    check_handled([handler.account()], await committed_offsets(servers.bootstrap, topic, group))
    return figures


async def _by_engine(
    servers: Servers, topic: str, group: str, handler: PlainHandler, cell: Cell, window: Window
) -> dict[str, float]:
    settings: dict[str, Any] = {
        "concurrency": cell.concurrency, "in_flight_max": cell.in_flight_max, "session_s": servers.session_s,
    }  # fmt: skip
    if cell.system == "sequential":
        settings["ordering"] = "partition"
    async with worker(servers.bootstrap, topic, group, handler=handler.handle, **settings) as engine:
        figures = await _measured(servers, handler, cell, window)
        figures["in_flight"] = float(sum(each.in_flight for each in engine.statistics().partitions))
        handler.hurry()
    return figures


async def _by_loop(
    servers: Servers, topic: str, group: str, handler: PlainHandler, cell: Cell, window: Window
) -> dict[str, float]:
    by_batch = cell.system == "gather"
    loop = Loop(
        gathered if by_batch else one_by_one, handler.handle, records_max=cell.in_flight_max if by_batch else None
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(loop.run(servers, topic, group))
        measured = _batches(loop, handler, cell, window) if by_batch else _measured(servers, handler, cell, window)
        figures = await measured
        handler.hurry()
        loop.stop()
    return figures


async def _measured(servers: Servers, handler: PlainHandler, cell: Cell, window: Window) -> dict[str, float]:
    span = Span(cell.warm_events, **window._asdict())
    async with asyncio.TaskGroup() as tasks:
        fast = tasks.create_task(steady(lambda: handler.done_fast, span))
        all_of_them = tasks.create_task(steady(lambda: handler.done, span, pids=servers.pids))
    figures = all_of_them.result()
    return figures | {"fast_per_s": fast.result()["events_per_s"], "handler_ms": handler.handler_ms}


async def _batches(loop: Loop, handler: PlainHandler, cell: Cell, window: Window) -> dict[str, float]:
    """Until whole batches fill the window."""
    while True:
        warm = [mark for mark in loop.marks if mark.events >= cell.warm_events]
        if warm and (warm[-1].at_s - warm[0].at_s >= window.window_s or warm[-1].events >= window.events_max):
            break
        await asyncio.sleep(POLL_S)
    figures = whole_batches(
        loop.marks, warm_events=cell.warm_events, least_s=window.least_s, least_events=window.least_events
    )
    return figures | {"handler_ms": handler.handler_ms}
