"""keylane: the aggregation, exactly once in Redis, with the processor that all scenarios use."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import uvloop

from engine import Engine
from engine.adapters.redis import RedisServer
from engine.state.reader import KeyState, StateReader
from perf.harness.usage import SCALE, TokenUsage, UsageLog
from perf.harness.worker import done_of, worker
from perf.peers.program import Stopwatch, Work, rss_peak_bytes, say, told
from perf.peers.totals import HOUR_LETTERS, MONTH_LETTERS, digest_of, line_of

POLL_S = 0.02


async def run(work: Work) -> dict[str, float | str]:
    watch = Stopwatch(work)
    processor = TokenUsage(UsageLog(work.events, 1))
    async with worker(work.bootstrap, work.topic, work.group, redis_url=work.redis_url, processor=processor) as engine:
        await _reaches(engine, work.warm_events, work)
        first = done_of(engine)
        watch.start()
        if await _reaches(engine, work.events, work):
            watch.stop()
        done, buckets = done_of(engine), engine.config.buckets
        memory_bytes = rss_peak_bytes()
    found = digest_of([line async for line in _lines(work, buckets)])
    return {
        "events": work.events,
        "span_events": done - first,
        **watch.figures(),
        "lost": max(0, work.events - done),
        "doubled": max(0, done - work.events),
        "order_violations": 0,  # what would come of them shows in the cells
        "rss_bytes": memory_bytes,
        "cells": found.cells,
        "digest": found.digest,
    }


async def _reaches(engine: Engine, count: int, work: Work) -> bool:
    """Whether so many events are done before nothing has moved for too long."""
    newest, still_s = -1, 0.0
    while (done := done_of(engine)) < count and still_s < work.patience_s(done):
        still_s = still_s + POLL_S if done == newest else 0.0
        newest = done
        await asyncio.sleep(POLL_S)
    return done >= count


async def _lines(work: Work, buckets: int) -> AsyncIterator[str]:
    """Every cell and total that is in Redis."""
    server = RedisServer(work.redis_url, writers=1)
    reader = StateReader(server, group=work.group, buckets=buckets)
    for bucket in range(buckets):
        async for part in reader.snapshot(bucket, 1):
            for key, state in part.states.items():
                for line in _lines_of(key.decode(), state):
                    yield line
    await server.close()


def _lines_of(customer: str, state: KeyState) -> list[str]:
    lines = []
    for cell, reading in state.cells.items():
        when = _text(cell.start_s)[:HOUR_LETTERS]
        lines.append(line_of(customer, when, cell.series.name.decode(), reading.count, reading.number // SCALE))
    for (start_s, _), total in state.totals.items():
        month = _text(start_s)[:MONTH_LETTERS]
        for series, reading in total.items():
            lines.append(line_of(customer, month, series.name.decode(), reading.count, reading.number // SCALE))
    return lines


def _text(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat()


if __name__ == "__main__":
    say(uvloop.run(run(told())))
