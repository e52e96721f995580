"""What a hot key does to the others: two samples, plain handlers and aggregates, under a load that keeps its schedule.

The others' load is the same with and without the hot key, whose events come on top. A handler that waits takes less of
one key than the hot key sends, so its backlog grows all the time: what may be in flight is made to hold it, since the
partition would wait for that key otherwise.
"""

import asyncio
from array import array
from collections.abc import Callable, Iterable
from typing import NamedTuple

from engine import Event
from engine.adapters.kafka_topics import TopicSpec, ensure_topics
from perf.harness.assigned import until_assigned
from perf.harness.checks import CheckFailed, check_cells
from perf.harness.figures import latencies
from perf.harness.fresh import SeenTokenUsage
from perf.harness.group import committed_offsets
from perf.harness.isolated import beside
from perf.harness.open_loop import Schedule, drive, intended_us_of, now_us, sleep_until
from perf.harness.plain import Call, PlainHandler, check_handled
from perf.harness.servers import Servers
from perf.harness.usage import UsageLog
from perf.harness.worker import worker

KEYS = 1_000
HOT = b"customer-0"
LATENCY_S = 0.005
CONCURRENCY = 100
IN_FLIGHT_MAX = 60_000
IN_FLIGHT_BYTES_MAX = 256 * 1024 * 1024
LEAD_S = 1.5
WARM_S = 1.5
GRACE_S = 0.5
"""How long after the last event is due the handler goes on as before."""
REST_S = 60.0
"""How long what is left may take then."""
LOOK_S = 0.02


class Load(NamedTuple):
    """`hot` is the hot key's share of all events, as 0.9; `seconds` is what is judged, behind a warm-up."""

    others_per_s: float
    hot: float
    seconds: float

    @property
    def events_per_s(self) -> float:
        return self.others_per_s / (1 - self.hot)

    @property
    def log(self) -> UsageLog:
        return UsageLog(round(self.events_per_s * (WARM_S + self.seconds)), KEYS, hot=self.hot)


class Judged:
    """Latencies from the intended send time, of the hot key and of the others."""

    def __init__(self) -> None:
        self._hot_us, self._others_us = array("q"), array("q")

    def add(self, key: bytes | None, intended_us: int, ended_us: int) -> None:
        (self._hot_us if key == HOT else self._others_us).append(ended_us - intended_us)

    def figures(self) -> dict[str, float]:
        others = latencies([each / 1e6 for each in self._others_us], prefix="others_")
        hot = latencies([each / 1e6 for each in self._hot_us], prefix="hot_") if self._hot_us else {}
        return {"others": float(len(self._others_us))} | others | hot


class TimedHandler(PlainHandler):
    """Notes when each event ended."""

    def __init__(self) -> None:
        super().__init__(Call(LATENCY_S))
        self.ended: list[tuple[bytes | None, int, int]] = []

    async def handle(self, event: Event) -> None:
        await super().handle(event)
        self.ended.append((event.key, intended_us_of(event), now_us()))


async def handlers(*, servers: Servers, name: str, load: Load) -> dict[str, float]:
    """A handler that waits `LATENCY_S`. Raises CheckFailed."""
    await ensure_topics(servers.bootstrap, [TopicSpec(name, 1, 1, {})])
    log, handler = load.log, TimedHandler()
    async with worker(
        servers.bootstrap, name, name, handler=handler.handle, concurrency=CONCURRENCY, in_flight_max=IN_FLIGHT_MAX,
        in_flight_bytes_max=IN_FLIGHT_BYTES_MAX, session_s=servers.session_s,
    ) as engine:  # fmt: skip
        await until_assigned(engine)
        schedule, sent = await _driven(servers, name, log, load)
        backlog = sum(each.in_flight for each in engine.statistics().partitions)
        handler.hurry()
        await _until(lambda: handler.done >= log.events, f"{log.events} events")
    committed = await committed_offsets(servers.bootstrap, name, name)
    if committed != {0: log.events}:
        raise CheckFailed(f"{committed} is committed, {log.events} events were sent")
    check_handled([handler.account()], committed)
    return _figures(handler.ended, schedule) | sent | {"backlog": float(backlog)}


async def aggregates(*, servers: Servers, name: str, load: Load) -> dict[str, float]:
    """Sums in Redis, each event counted once. Raises CheckFailed."""
    await ensure_topics(servers.bootstrap, [TopicSpec(name, 1, 1, {})])
    log = load.log
    processor = SeenTokenUsage(log)
    async with worker(
        servers.bootstrap, name, name, redis_url=servers.redis_url, processor=processor, session_s=servers.session_s
    ) as engine:
        await until_assigned(engine)
        schedule, sent = await _driven(servers, name, log, load)
        await _until(lambda: not processor.written.missing, f"{log.events} events")
        buckets = engine.config.buckets
    await check_cells(servers.redis_url, name, [log], buckets=buckets)
    return _figures(processor.written.found, schedule) | sent


async def _driven(servers: Servers, topic: str, log: UsageLog, load: Load) -> tuple[Schedule, dict[str, float]]:
    """Returns shortly after the last event was due."""
    schedule = Schedule.soon(load.events_per_s, lead_s=LEAD_S, warm_s=WARM_S)
    sent: dict[str, float] = await beside(drive, bootstrap=servers.bootstrap, topic=topic, log=log, schedule=schedule)
    await sleep_until(schedule.intended_us(log.events) + round(GRACE_S * 1e6))
    return schedule, {name: sent[name] for name in ("sent", "late_p99_ms", "late_max_ms")}


async def _until(there: Callable[[], bool], what: str) -> None:
    """Raises CheckFailed: it does not come."""
    try:
        async with asyncio.timeout(REST_S):
            while not there():  # noqa: ASYNC110 - seen from outside
                await asyncio.sleep(LOOK_S)
    except TimeoutError as error:
        raise CheckFailed(f"{what} were sent, and some are not done after {REST_S:g} s") from error


def _figures(ended: Iterable[tuple[bytes | None, int, int]], schedule: Schedule) -> dict[str, float]:
    judged = Judged()
    for key, intended_us, ended_us in ended:
        if intended_us >= schedule.judged_from_us:
            judged.add(key, intended_us, ended_us)
    return judged.figures()
