"""What a thing costs in memory: as much more as a process has for so many more of them.

Everything that is there once (libraries, buffers, tables) is in both and falls out. Points of one line come from one
process: the engine is paused by command, so that the number of things is exact while it is measured.
"""

import os
from array import array
from collections.abc import Callable, Sequence
from statistics import linear_regression

import anyio
from redis.asyncio import Redis

from engine import Engine, Event
from perf.harness.checks import CheckFailed
from perf.harness.cpu import rss_bytes
from perf.harness.group import committed_offsets
from perf.harness.servers import Servers
from perf.harness.usage import TokenUsage, UsageLog
from perf.harness.worker import done_of, worker

LOOK_S = 0.01
SETTLED_S = 0.3
"""Buffers of the last call and of the file that is appended to are gone by then."""
WITHIN_S = 300.0
OPEN_BYTES_MAX = 2**31
FEW_IN_FLIGHT = 2_000

Line = dict[str, list[float]]
"""Figures point by point."""


def slope(numbers: Sequence[float], sizes_bytes: Sequence[float]) -> float:
    """Bytes for one more: least squares over the points. Raises StatisticsError: fewer than two different numbers."""
    return linear_regression(numbers, sizes_bytes).slope


async def used_bytes(redis_url: str) -> float:
    """What Redis has allocated for its data: all memory in use, less what its clients and its file wait with."""
    client = Redis.from_url(redis_url)
    try:
        memory = await client.info("memory")
    finally:
        await client.aclose()
    return float(memory["used_memory"] - memory["mem_aof_buffer"] - memory["mem_clients_normal"])


class Gate:
    """A handler whose events all stay open until it opens."""

    def __init__(self, events: int) -> None:
        self._open = anyio.Event()
        self._seen = array("B", bytes(events))
        self.handled = 0

    async def handle(self, event: Event) -> None:
        await self._open.wait()
        self._seen[event.offset] += 1
        self.handled += 1

    def open(self) -> None:
        self._open.set()

    def check(self, committed: int) -> None:
        """Every event was handled once, and all are committed. Raises CheckFailed."""
        wrong = len(self._seen) - self._seen.count(1)
        if wrong or committed != len(self._seen):
            raise CheckFailed(f"{wrong} of {len(self._seen)} events were not handled once; {committed} are committed")


async def open_events(servers: Servers, topic: str, group: str, log: UsageLog, points: Sequence[int]) -> Line:
    """The worker's memory with so many open events, for `isolated`. `log` is longer than the last point.

    Raises:
        CheckFailed: an event was lost or doubled.
    """
    gate = Gate(log.events)
    line: Line = {"number": [], "worker_bytes": []}
    async with worker(
        servers.bootstrap, topic, group, handler=gate.handle, in_flight_max=log.events,
        in_flight_bytes_max=OPEN_BYTES_MAX, handler_timeout_s=WITHIN_S, session_s=servers.session_s,
    ) as engine:  # fmt: skip
        for point in points:
            await _paused_at(engine, lambda: _in_flight(engine), point)
            line["number"].append(float(_in_flight(engine)))
            line["worker_bytes"].append(float(rss_bytes(os.getpid())))
            engine.resume()
        gate.open()
        await _until(lambda: gate.handled >= log.events)
    gate.check((await committed_offsets(servers.bootstrap, topic, group))[0])
    return line


async def counted_events(servers: Servers, topic: str, group: str, log: UsageLog, points: Sequence[int]) -> Line:
    """The worker's memory and that of Redis when so many events are counted and few are open, for `isolated`."""
    line: Line = {"number": [], "worker_bytes": [], "redis_bytes": []}
    before_bytes = await used_bytes(servers.redis_url)
    async with worker(
        servers.bootstrap, topic, group, redis_url=servers.redis_url, processor=TokenUsage(log),
        in_flight_max=FEW_IN_FLIGHT, session_s=servers.session_s,
    ) as engine:  # fmt: skip
        for point in points:
            await _paused_at(engine, lambda: done_of(engine), point)
            line["number"].append(float(done_of(engine)))
            line["worker_bytes"].append(float(rss_bytes(os.getpid())))
            line["redis_bytes"].append(await used_bytes(servers.redis_url) - before_bytes)
            engine.resume()
        await _until(lambda: done_of(engine) >= log.events)
    return line


async def _paused_at(engine: Engine, number: Callable[[], int], point: int) -> None:
    await _until(lambda: number() >= point)
    engine.pause()
    await anyio.sleep(SETTLED_S)


def _in_flight(engine: Engine) -> int:
    return sum(each.in_flight for each in engine.statistics().partitions)


async def _until(enough: Callable[[], bool]) -> None:
    """Raises TimeoutError."""
    with anyio.fail_after(WITHIN_S):
        while not enough():  # noqa: ASYNC110
            await anyio.sleep(LOOK_S)
