"""A backlog burned down by workers that are processes: all of them begin when each holds its share of the partitions.

Until then a worker is paused, so none takes what another will be assigned. Each notes how far it is by one clock of the
machine, and the rate is that of the time in which all of them had work: from the last one's beginning to the first
one's end, which is where `ENOUGH` of its events are done and its lanes begin to run dry.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from engine import Engine, EngineConfig
from perf.harness.assigned import until_assigned
from perf.harness.checks import CheckFailed, check_cells
from perf.harness.cpu import cpu_s
from perf.harness.group import committed_offsets
from perf.harness.isolated import beside
from perf.harness.plain import Call, Handling, PlainHandler, check_handled
from perf.harness.servers import Servers
from perf.harness.steady import NotSteady
from perf.harness.usage import TokenUsage, UsageLog
from perf.harness.worker import done_of, worker

PARTITIONS = 8
LATENCY_S = 0.005
CONCURRENCY = 100
IN_FLIGHT_MAX = 2_000
"""Of each partition."""
ENOUGH = 0.95
LOOK_S = 0.05
STALLED_S = 60.0


class Backlog(NamedTuple):
    """What is burned: the whole log, or with `window_s` only so long. `counts`: aggregates instead of a handler.

    `least_s` and `least_events`: what is shorter is no steady state.
    """

    log: UsageLog
    workers: int
    counts: bool = False
    window_s: float | None = None
    least_s: float = 10.0
    least_events: int = 200_000


class Mark(NamedTuple):
    """How many events a worker had done at a time of the machine's monotonic clock, and the processor time it took."""

    at_s: float
    done: int
    cpu_s: float


class Burned(NamedTuple):
    """`marks`: from the moment on at which it could begin; `ended_s`: when its last event was done."""

    marks: Sequence[Mark]
    ended_s: float
    handling: Handling | None


async def burn(*, servers: Servers, topic: str, group: str, backlog: Backlog) -> Burned:
    """One of the workers. Raises CheckFailed, TimeoutError."""
    share = PARTITIONS // backlog.workers
    handler = PlainHandler(Call(LATENCY_S))
    work: dict[str, Any] = {"handler": handler.handle, "concurrency": CONCURRENCY, "in_flight_max": IN_FLIGHT_MAX}
    if backlog.counts:
        work = {"processor": TokenUsage(backlog.log), "redis_url": servers.redis_url}
    async with worker(servers.bootstrap, topic, group, session_s=servers.session_s, **work) as engine:
        engine.pause()
        await until_assigned(engine, share)
        engine.resume()
        done = (lambda: done_of(engine)) if backlog.counts else (lambda: handler.done)
        marks = await _noted(engine, done, backlog.window_s)
        if backlog.window_s is None:
            await _until_empty(engine, done)
        ended_s = time.monotonic()
        handler.hurry()
    return Burned(marks, ended_s, None if backlog.counts else handler.account())


async def _noted(engine: Engine, done: Callable[[], int], window_s: float | None) -> list[Mark]:
    marks = [Mark(time.monotonic(), done(), time.process_time())]
    moved_s = marks[0].at_s
    while True:
        await asyncio.sleep(LOOK_S)
        mark = Mark(time.monotonic(), done(), time.process_time())
        if mark.done != marks[-1].done:
            moved_s = mark.at_s
        elif mark.at_s - moved_s > STALLED_S:
            raise TimeoutError(f"{mark.done} events are done, and nothing moved for {STALLED_S:g} s")
        marks.append(mark)
        if (window_s is not None and mark.at_s - marks[0].at_s >= window_s) or _enough(engine, mark.done):
            return marks


def _enough(engine: Engine, done: int) -> bool:
    ends = [each.end for each in engine.statistics().partitions]
    known = [end for end in ends if end is not None]
    return bool(ends) and len(known) == len(ends) and done >= ENOUGH * sum(known)


async def _until_empty(engine: Engine, done: Callable[[], int]) -> None:
    """Raises TimeoutError: nothing moves."""
    newest, moved_s = done(), time.monotonic()
    while not _empty(engine):
        await asyncio.sleep(LOOK_S)
        if done() != newest:
            newest, moved_s = done(), time.monotonic()
        elif time.monotonic() - moved_s > STALLED_S:
            raise TimeoutError(f"{newest} events are done, and nothing moved for {STALLED_S:g} s")


def _empty(engine: Engine) -> bool:
    """It holds none while another one leaves the group."""
    found = engine.statistics().partitions
    return bool(found) and all(each.end is not None and each.watermark == each.end for each in found)


def burned_together(burned: Sequence[Burned], *, least_s: float, least_events: int) -> dict[str, float]:
    """Figures of the time in which all workers had work.

    Raises:
        NotSteady: it was too short.
    """
    start_s = max(each.marks[0].at_s for each in burned)
    end_s = min(each.marks[-1].at_s for each in burned)
    within = [[mark for mark in each.marks if start_s <= mark.at_s <= end_s] for each in burned]
    events = sum(marks[-1].done - marks[0].done for marks in within if marks)
    elapsed_s = end_s - start_s
    if not all(within) or elapsed_s <= 0 or (elapsed_s < least_s and events < least_events):
        raise NotSteady(
            f"all {len(burned)} workers had work for {elapsed_s:.2f} s and {events} events; {least_s:g} s or "
            f"{least_events} events were expected, so no rate was taken"
        )
    rates = [(marks[-1].done - marks[0].done) / (marks[-1].at_s - marks[0].at_s) for marks in within]
    cpu_s = sum(marks[-1].cpu_s - marks[0].cpu_s for marks in within)
    return {
        "events": float(events),
        "seconds": elapsed_s,
        "events_per_s": sum(rates),
        "worker_us": cpu_s / max(1, events) * 1e6,
        "least_share": min(rates) / max(rates),
    }


async def burn_together(*, servers: Servers, topic: str, group: str, backlog: Backlog) -> dict[str, float]:
    """All workers, each in a process of its own, and the check of what they did.

    The servers' processor time is that of the whole sample. Raises CheckFailed, NotSteady.
    """
    spent_s = {name: cpu_s(pid) for name, pid in servers.pids.items()}
    one = partial(beside, burn, servers=servers, topic=topic, group=group, backlog=backlog)
    burned: list[Burned] = await asyncio.gather(*[one() for _ in range(backlog.workers)])
    spent_s = {name: cpu_s(pid) - spent_s[name] for name, pid in servers.pids.items()}
    committed = await committed_offsets(servers.bootstrap, topic, group, PARTITIONS)
    whole = backlog.window_s is None
    if whole and sum(committed.values()) != backlog.log.events:
        raise CheckFailed(f"{sum(committed.values())} of {backlog.log.events} events are committed")
    if backlog.counts:
        buckets = EngineConfig().buckets
        await check_cells(servers.redis_url, group, [backlog.log], buckets=buckets, partitions=PARTITIONS)
    else:
        check_handled([each.handling for each in burned if each.handling is not None], committed)
    figures = burned_together(burned, least_s=backlog.least_s, least_events=backlog.least_events)
    figures |= {f"{name}_us": each_s / max(1, sum(committed.values())) * 1e6 for name, each_s in spent_s.items()}
    if whole:
        figures["whole_s"] = max(each.ended_s for each in burned) - max(each.marks[0].at_s for each in burned)
    return figures
