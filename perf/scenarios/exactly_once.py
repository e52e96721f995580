"""Exactly-once aggregation on one partition: what a call of many events is worth, and what the call itself costs.

The work: decode a JSON event, drop exact duplicates (1 % of the events, from anywhere in the log), sum by hour and
model, keep a watched monthly total a customer.
"""

from functools import partial
from typing import Any

from perf.harness.checks import CheckFailed, check_cells
from perf.harness.no_state import NoState
from perf.harness.outcome import Bar, Figures, Findings, Line, Plot, Ratio, Sample, median_of, ratio_of
from perf.harness.produce import produce
from perf.harness.servers import append_only
from perf.harness.stage import Stage
from perf.harness.steady import Span, steady
from perf.harness.usage import TokenUsage, UsageLog
from perf.harness.worker import done_of, worker

TITLE = "Exactly-once aggregation: many events a call, one event a call, no call"
KEYS = 1_000
DUPLICATES = 0.01
MANY, ONE, NONE = "many events a call", "one event a call", "no call to Redis"
APPENDED = "many, append-only file"
FILE = (
    "Redis keeps what it has in memory alone, which is all that ENGINE_DURABILITY=memory asks for: what it loses is "
    f"counted again from the log. `{APPENDED}` is the same with appendonly yes and appendfsync everysec."
)


def measure(stage: Stage) -> Findings:
    events = 150_000 if stage.quick else 500_000
    log = UsageLog(events, KEYS, duplicates=DUPLICATES)
    short = UsageLog(8_000 if stage.quick else 30_000, KEYS, duplicates=DUPLICATES)
    topic, topic_short = stage.new_name("log"), stage.new_name("short")
    produce(stage.servers.bootstrap, topic, log)
    produce(stage.servers.bootstrap, topic_short, short)
    variants = {
        MANY: partial(_sample, stage, topic, log),
        ONE: partial(_sample, stage, topic_short, short, call_events_max=1, calls_in_flight_max=1),
        NONE: partial(_sample, stage, topic, log, counts=False),
    }
    if stage.servers.redis_pid is not None:  # else how it keeps what it has is its owner's matter
        variants[APPENDED] = partial(_appended, stage, topic, log)
    samples = stage.interleaved(variants)
    to_one, to_none = ratio_of(samples, "to one event a call", MANY, ONE), ratio_of(samples, "to no call", MANY, NONE)
    worker_us, redis_us = (median_of(samples, MANY, f"{name}_us") for name in ("worker", "redis"))
    rate = median_of(samples, MANY, "events_per_s")
    return Findings(
        configuration={"events": events, "keys": KEYS, "duplicates": DUPLICATES, "partitions": 1},
        samples=samples,
        ratios=[to_one, to_none, *_to_memory(samples)],
        bars=[
            Bar("times one event a call", to_one.spread.median, 30, 50),
            Bar("times the engine without the call", to_none.spread.median, 0.6, 0.85),
            Bar("worker", worker_us, 9, better="lower", unit="µs an event"),
            Bar("Redis", redis_us, 6, better="lower", unit="µs an event"),
            Bar("rate", rate, 0, 100_000, unit="events/s"),
        ],
        plots=[_plot(samples)],
        notes=["A ratio compares samples of the same round; every cell and total was compared with the log.", FILE],
    )


def _to_memory(samples: list[Sample]) -> list[Ratio]:
    appended = any(each.variant == APPENDED for each in samples)
    return [ratio_of(samples, "append-only file to memory alone", APPENDED, MANY)] if appended else []


def _plot(samples: list[Sample]) -> Plot:
    names = list(dict.fromkeys(each.variant for each in samples))
    rates = [median_of(samples, name, "events_per_s") for name in names]
    line = Line("events/s", [float(place) for place in range(len(names))], rates)
    return Plot("rates", TITLE, "", "events/s", [line], categories=names)


def _appended(stage: Stage, topic: str, log: UsageLog) -> Figures:
    with append_only(stage.servers.redis_url):
        return _sample(stage, topic, log)


def _sample(stage: Stage, topic: str, log: UsageLog, *, counts: bool = True, **settings: Any) -> Figures:
    figures: dict[str, float] = stage.isolated(
        aggregate, servers=stage.servers, topic=topic, group=stage.new_name("group"), log=log, quick=stage.quick,
        counts=counts, settings=settings,
    )  # fmt: skip
    return figures


async def aggregate(
    servers: Any, topic: str, group: str, log: UsageLog, *, quick: bool, counts: bool, settings: dict[str, Any]
) -> dict[str, float]:
    """The log through one worker, from its beginning to its end. Raises CheckFailed."""
    warm = log.events // 10
    least_s, least_events = (1.0, 1_000) if quick else (10.0, 200_000)
    span = Span(warm, log.events, window_s=60.0, least_s=least_s, least_events=least_events)
    state = None if counts else NoState()
    async with worker(
        servers.bootstrap, topic, group, redis_url=servers.redis_url, state=state, processor=TokenUsage(log), **settings
    ) as engine:
        figures = await steady(lambda: done_of(engine), span, pids=servers.pids)
        while done_of(engine) < log.events:
            raise CheckFailed(f"{done_of(engine)} of {log.events} events are done after {span.window_s:g} s")
        counters, buckets = engine.counters(), engine.config.buckets
        figures["events_per_call"] = log.events / max(1, counters.calls)
        figures["rejected"] = float(counters.rejected)
    if counts:
        await check_cells(servers.redis_url, group, [log], buckets=buckets)
    return figures
