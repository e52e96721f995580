"""How long an event takes to be seen: two samples, the engine with totals, and the whole billing service."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import anyio

from engine import Counts, Effect, Engine, Event, Totals
from engine.adapters.kafka_topics import TopicSpec, ensure_topics
from perf.harness.billing_log import BillingLog
from perf.harness.checks import check_cells
from perf.harness.cpu import cpu_s
from perf.harness.decisions import watch_decisions
from perf.harness.figures import latencies
from perf.harness.isolated import standing_by
from perf.harness.open_loop import Schedule, drive, intended_us_of, now_us, sleep_until
from perf.harness.servers import Servers
from perf.harness.service import service
from perf.harness.sightings import Sightings
from perf.harness.token_meter import METER
from perf.harness.usage import TokenUsage, UsageLog
from perf.harness.visible import watch_totals
from perf.harness.worker import worker

KEYS = 1_000
WATCHED_KEYS = 20
"""So many totals the reader beside the worker looks at."""
REACHING_PER_S = 20
"""Customers that reach their limit in a second."""
WARM_S = 2.0
LEAD_S = 2.0
"""The load and those who watch get ready meanwhile; their processes are up."""
SESSION_S = 6.0
"""The embedded broker lets a member join after half the session."""
LOOK_S = 0.05


class SeenTokenUsage(TokenUsage):
    """Notes for every event when the call that wrote it was answered: `react` is called with the answer in hand."""

    def __init__(self, log: UsageLog) -> None:
        super().__init__(log)
        self._due_us: dict[bytes, list[int]] = defaultdict(list)
        self.written: Sightings[bytes] = Sightings(self._due_us)

    def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
        self._due_us[key] += map(intended_us_of, events)
        return super().prepare(key, events)

    def react(self, totals: Totals) -> list[Effect]:
        self.written.see(totals.key, sum(reading.count for reading in totals.values.values()), now_us())
        return super().react(totals)


async def total(*, servers: Servers, name: str, events_per_s: int, seconds: float) -> dict[str, float]:
    """One worker under a load: `total_` for every event, by the worker; `seen_` for some keys, by another process.

    Raises:
        CheckFailed: an event was lost or counted twice.
    """
    await ensure_topics(servers.bootstrap, [TopicSpec(name, 1, 1, {})])
    log = UsageLog(round(events_per_s * (WARM_S + seconds)), KEYS)
    processor = SeenTokenUsage(log)
    async with worker(
        servers.bootstrap, name, name, redis_url=servers.redis_url, processor=processor, session_s=SESSION_S
    ) as engine:
        buckets = engine.config.buckets
        keys = [b"customer-%d" % number for number in range(WATCHED_KEYS)]
        await _until_running(engine)
        async with standing_by(drive, watch_totals) as (send, look), asyncio.TaskGroup() as tasks:
            schedule = Schedule.soon(events_per_s, lead_s=LEAD_S, warm_s=WARM_S)
            watched = look(
                redis_url=servers.redis_url, group=name, buckets=buckets, keys=keys, log=log, schedule=schedule
            )
            spent = {"worker": time.process_time} | _clocks(servers.pids)
            load = tasks.create_task(send(bootstrap=servers.bootstrap, topic=name, log=log, schedule=schedule))
            seen = tasks.create_task(watched)
            used = tasks.create_task(_used(spent, lambda: _calls(engine), log.events, schedule))
    processor.written.check()
    await check_cells(servers.redis_url, name, [log], buckets=buckets)
    written = latencies(processor.written.latencies_s(from_us=schedule.judged_from_us), prefix="total_")
    figures: dict[str, float] = written | seen.result() | used.result() | load.result()
    return figures


async def decisions(*, servers: Servers, name: str, events_per_s: int, seconds: float) -> dict[str, float]:
    """The billing service under a load in which customers reach their limits: `access_` and `alert_`.

    Raises:
        CheckFailed: an event or an alert is missing or doubled, or a customer was let in or refused wrongly.
    """
    events = round(events_per_s * (WARM_S + seconds))
    log = BillingLog(events, KEYS, every=events_per_s // REACHING_PER_S, time_s=int(time.time()))
    async with service(servers, name, log.catalog(), session_s=SESSION_S) as running:
        async with standing_by(drive, watch_decisions) as (send, ask), asyncio.TaskGroup() as tasks:
            schedule = Schedule.soon(events_per_s, lead_s=LEAD_S, warm_s=WARM_S)
            asked = ask(
                url=running.url, bootstrap=servers.bootstrap, alerts_topic=running.alerts_topic, log=log,
                schedule=schedule,
            )  # fmt: skip
            load = tasks.create_task(send(bootstrap=servers.bootstrap, topic=name, log=log, schedule=schedule))
            watched = tasks.create_task(asked)
            used = tasks.create_task(_used(_clocks(running.pids | servers.pids), lambda: 0, events, schedule))
        await running.check(log.tokens(), events, METER)
    figures: dict[str, float] = watched.result() | used.result() | load.result()
    return figures


async def _until_running(engine: Engine) -> None:
    """Returns when the engine reads its partition."""
    while [each.state for each in engine.statistics().partitions] != ["running"]:  # noqa: ASYNC110 - it rings no bell
        await anyio.sleep(LOOK_S)


async def _used(
    spent_s: Mapping[str, Callable[[], float]], calls: Callable[[], int], events: int, schedule: Schedule
) -> dict[str, float]:
    """Processor time an event of what is judged, by process, and how many events went in a call."""
    await sleep_until(schedule.judged_from_us)
    before, calls_before = {name: clock() for name, clock in spent_s.items()}, calls()
    await sleep_until(schedule.intended_us(events))
    judged = events - schedule.due(schedule.judged_from_us)
    figures = {f"{name}_us": (clock() - before[name]) / judged * 1e6 for name, clock in spent_s.items()}
    if made := calls() - calls_before:
        figures["events_per_call"] = judged / made
    return figures


def _clocks(pids: Mapping[str, int]) -> dict[str, Callable[[], float]]:
    return {name: lambda pid=pid: cpu_s(pid) for name, pid in pids.items()}  # type: ignore[misc]


def _calls(engine: Engine) -> int:
    return engine.counters().calls
