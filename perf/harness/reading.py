"""Reads of one customer's month at a rate, while a load runs: how long each took, from when it was due.

Each read is checked: what it says lies between what was sent before the load and what is sent with it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import httpx

from engine import StateReader
from engine.adapters.redis import RedisServer
from perf.harness.checks import CheckFailed
from perf.harness.cpu import cpu_s
from perf.harness.figures import latencies
from perf.harness.isolated import beside
from perf.harness.month_log import MonthLog
from perf.harness.month_reads import KINDS, READ, Answer, Place, Reads, Told
from perf.harness.open_loop import Schedule, drive, now_us, sleep_until

BUCKETS = 64
TIMEOUT_S = 30.0


class Plan(NamedTuple):
    """A load (None: there is none), reads beside it, and what the customer has used before and after the load."""

    load: MonthLog | None
    load_at: Schedule
    reads: int
    reads_at: Schedule
    used_before: int
    used_after: int


async def read_at_rate(*, place: Place, kind: str, plan: Plan) -> dict[str, float]:
    """Latencies of the reads of one of `KINDS`, from when each was due; for `isolated`.

    cpu_ms: processor time a read, of the API, or of this process where it reads the state itself.

    Raises:
        CheckFailed: an answer cannot be true.
    """
    async with (
        httpx.AsyncClient(base_url=place.url, timeout=TIMEOUT_S) as client,
        RedisServer(place.servers.redis_url, writers=1) as state,
    ):
        reads = Reads(place.month, client, StateReader(state, group=place.group, buckets=BUCKETS))
        async with asyncio.TaskGroup() as tasks:
            if plan.load is not None:
                tasks.create_task(_load(place, plan.load, plan.load_at))
            found, spent_s = await _read_all(place, kind, reads, plan)
    for _, answer in found:
        check(kind, KINDS[kind].told(answer), KINDS[kind].rows(place), plan)
    return latencies([took_s for took_s, _ in found]) | {"cpu_ms": spent_s / plan.reads * 1e3}


def check(kind: str, told: Told, rows: int, plan: Plan) -> None:
    """Raises CheckFailed: that was never true."""
    if told.rows != rows or not plan.used_before <= told.used <= plan.used_after:
        raise CheckFailed(
            f"{kind}: {READ} used {told.used} in {told.rows} rows; {rows} rows and between {plan.used_before} and "
            f"{plan.used_after} were expected"
        )


async def _load(place: Place, log: MonthLog, schedule: Schedule) -> None:
    await beside(drive, bootstrap=place.servers.bootstrap, topic=place.group, log=log, schedule=schedule)


async def _read_all(place: Place, kind: str, reads: Reads, plan: Plan) -> tuple[list[tuple[float, Answer]], float]:
    """Seconds from when each was due and its answer; none waits for another. And the processor time of all."""
    clock = partial(cpu_s, place.api_pid) if KINDS[kind].by_api else time.process_time
    await sleep_until(plan.reads_at.start_us)
    began_s = clock()
    async with asyncio.TaskGroup() as tasks:
        started = [
            tasks.create_task(_read_once(partial(KINDS[kind].read, reads), plan.reads_at.intended_us(number)))
            for number in range(plan.reads)
        ]
    return [task.result() for task in started], clock() - began_s


async def _read_once(read: Callable[[], Awaitable[Answer]], due_us: int) -> tuple[float, Answer]:
    await sleep_until(due_us)
    answer = await read()
    return (now_us() - due_us) / 1e6, answer
