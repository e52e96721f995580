"""A group whose state is there already: filled first, then measured on what comes after, segment by segment."""

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

from engine import StateReader
from engine.adapters.redis import RedisServer
from perf.harness.checks import check_counters, check_key
from perf.harness.expectation import Expectation
from perf.harness.produce import produce
from perf.harness.servers import Servers
from perf.harness.stage import Stage
from perf.harness.steady import Span, steady
from perf.harness.usage import TokenUsage, UsageLog
from perf.harness.worker import done_of, worker

BUCKETS = 64
FILLED_WITHIN_S = 900.0


@dataclass(slots=True)
class Resident:
    """`keys` customers in the state of `group`, which has counted everything in `topic` so far."""

    servers: Servers
    topic: str
    group: str
    keys: int
    expected: Expectation = field(init=False)
    _seeds: Any = field(init=False, repr=False, default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.expected = Expectation(self.keys)

    @classmethod
    def filled(cls, stage: Stage, keys: int) -> "Resident":
        """One with an event of each customer. Raises CheckFailed."""
        resident = cls(stage.servers, stage.new_name("log"), stage.new_name("group"), keys)
        log = UsageLog(keys, keys, seed=resident.next_seed(), each_once=True)
        resident.append(log)
        span = Span(log.events, log.events, window_s=FILLED_WITHIN_S, least_s=0.0)
        stage.isolated(count, servers=stage.servers, topic=resident.topic, group=resident.group, log=log, span=span)
        resident.check()
        return resident

    def next_seed(self) -> int:
        """So that no two segments have an identity in common."""
        return int(next(self._seeds))

    def append(self, log: UsageLog) -> None:
        """Produces a segment; it waits in the log until a worker counts it."""
        produce(self.servers.bootstrap, self.topic, log)
        self.expected.add(log)

    def check(self) -> None:
        """All that was appended is counted once. Raises CheckFailed."""
        asyncio.run(check_expected(self.servers.redis_url, self.group, self.expected))


async def count(servers: Servers, topic: str, group: str, log: UsageLog, span: Span) -> dict[str, float]:
    """What the group has not counted yet, `log`, through one worker: figures of the steady state, for `isolated`."""
    async with worker(
        servers.bootstrap, topic, group, redis_url=servers.redis_url, processor=TokenUsage(log), buckets=BUCKETS,
        session_s=servers.session_s,
    ) as engine:  # fmt: skip
        figures = await steady(lambda: done_of(engine), span, pids=servers.pids)
        counters = engine.counters()
        figures["events_per_call"] = (counters.counted + counters.duplicates_dropped) / max(1, counters.calls)
    return figures


async def check_expected(redis_url: str, group: str, expected: Expectation, *, buckets: int = BUCKETS) -> None:
    """The state of `group` is as expected, counted once. Raises CheckFailed."""
    server = RedisServer(redis_url, writers=1)
    reader = StateReader(server, group=group, buckets=buckets)
    try:
        await check_counters(reader, expected.events)
        for key, cells in expected.cells.items():
            await check_key(reader, key, cells, expected.start_s)
    finally:
        await server.close()
