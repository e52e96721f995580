"""What a process beside the worker sees of the state: it reads it over and over, and notes when it has moved."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import TypeVar

from engine import StateReader
from engine.adapters.redis import RedisServer
from perf.harness.figures import latencies
from perf.harness.open_loop import Records, Schedule, now_us, sleep_until
from perf.harness.sightings import Sightings
from perf.harness.usage import TokenUsage, UsageLog

LOOK_S = 0.002
"""How often it is read: so much later than they are there events may be seen."""
LATE_S = 20.0
"""So long after the last record was due it may still come."""

Name = TypeVar("Name", bound=Hashable)


async def watch_totals(
    *, redis_url: str, group: str, buckets: int, log: UsageLog, schedule: Schedule, keys: Sequence[bytes]
) -> dict[str, float]:
    """How long after its intended time an event of `keys` is in a total that another process reads.

    Raises:
        CheckFailed: an event is lost or counted twice.
    """
    sightings = Sightings(due_of(log, schedule, lambda key: key if key in keys else None))
    period, end_us = TokenUsage(log).period, schedule.intended_us(log.events)
    server = RedisServer(redis_url, writers=1)
    reader = StateReader(server, group=group, buckets=buckets)

    async def count() -> Mapping[bytes, int]:
        found = await reader.totals(keys, period.start_s, period.end_s)
        return {total.key: sum(reading.count for reading in total.values.values()) for total in found}

    try:
        await sleep_until(schedule.start_us)
        looks = await watch(sightings, count, lambda: now_us() >= end_us)
    finally:
        await server.close()
    figures = latencies(sightings.latencies_s(from_us=schedule.judged_from_us), prefix="seen_")
    return figures | {"look_ms": (now_us() - schedule.start_us) / 1e3 / looks}


async def watch(
    sightings: Sightings[Name], count: Callable[[], Awaitable[Mapping[Name, int]]], all_sent: Callable[[], bool]
) -> int:
    """Looks until everything was seen; returns how often it did.

    Raises:
        CheckFailed: something is not seen `LATE_S` after all was sent, or is counted wrongly.
    """
    looks, end_us = 0, None
    while sightings.missing or not all_sent():
        counts = await count()
        at_us, looks = now_us(), looks + 1
        for name, number in counts.items():
            sightings.see(name, number, at_us)
        if end_us is None and all_sent():
            end_us = at_us + round(LATE_S * 1e6)
        if end_us is not None and at_us > end_us:
            sightings.check()
        await asyncio.sleep(LOOK_S)
    return max(1, looks)


def due_of(log: Records, schedule: Schedule, name_of: Callable[[bytes], Name | None]) -> dict[Name, list[int]]:
    """Intended times by the name that `name_of` gives a record's key; None: it is of no interest."""
    due_us: dict[Name, list[int]] = defaultdict(list)
    for number, (key, _) in enumerate(log.records()):
        name = name_of(key)
        if name is not None:
            due_us[name].append(schedule.intended_us(number))
    return due_us
