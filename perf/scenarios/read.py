"""A customer with a large month is read while the service counts: the state, spend, and usage over HTTP.

The billing service runs as its users run it: a worker and an API as processes. Reads are an open loop, as the load is.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from perf.harness.audited import check_audit
from perf.harness.isolated import isolated
from perf.harness.month_log import HOURS, Month, MonthLog, month_catalog
from perf.harness.month_reads import KINDS, Place
from perf.harness.open_loop import Schedule
from perf.harness.outcome import Bar, Figures, Findings, Line, Plot, Sample, median_of, ratio_of, values_of
from perf.harness.produce import produce
from perf.harness.reading import BUCKETS, Plan, read_at_rate
from perf.harness.service import Service, service
from perf.harness.stage import Stage

TITLE = "Reading a customer with a month of hours in ten groups, while events are counted"
GROUPS = 10
CUSTOMERS = 1_000
LOAD_PER_S = 2_000
"""Two processors carry it together with broker, Redis, worker, API, load and reader."""
READS_PER_S = {"account": 20, "spend": 20, "usage": 10, "usage by hour": 3}
"""By kind, so that none asks for more than a process has."""
SECONDS, SECONDS_QUICK = 8.0, 3.0
LEAD_S = 3.0
"""The processes start meanwhile."""
WARM_S = 1.0
"""The load runs so long before the first read."""
WARMING_S = 5.0
"""A sample before all others, of which no figure is kept."""
HORIZON_D, RETENTION_D = 100, 120
"""The month that is read is over, so its events are late ones."""
IDLE = "account, no load"


@dataclass(slots=True)
class Reading:
    """The service, and what has been sent to it."""

    place: Place
    running: Service
    portal: BlockingPortal
    sent: int
    used: int
    """By the customer that is read."""
    segments: int = 1


def measure(stage: Stage) -> Findings:
    seconds = SECONDS_QUICK if stage.quick else SECONDS
    kinds = [kind for kind in KINDS if not (stage.quick and kind == "usage by hour")]
    with reading(stage) as state:
        sample(state, "usage", WARMING_S)  # a broker and a service that have just started are slower
        variants = {kind: partial(sample, state, kind, seconds) for kind in kinds}
        variants[IDLE] = partial(sample, state, "account", seconds, load_per_s=0)
        samples = stage.interleaved(variants)
        state.portal.call(check_audit, state.running.settings_path, state.sent)
    return Findings(
        configuration={
            "cells": state.place.cells,
            "groups": GROUPS,
            "load": f"{LOAD_PER_S:,} events/s",
            "reads": ", ".join(f"{kind} {READS_PER_S[kind]}/s" for kind in kinds),
            "seconds": seconds,
            "customers": CUSTOMERS,
            "partitions": 1,
        },
        samples=samples,
        ratios=[ratio_of(samples, "account: p99 under load to no load", "account", IDLE, "p99_ms")],
        bars=[
            Bar(f"{kind}, p99", median_of(samples, kind, "p99_ms"), 20, 5, better="lower", unit="ms")
            for kind in ("account", "spend", "usage")
        ],
        plots=[_plot(samples, list(variants))],
        notes=[
            "account: `StateReader.account`, all cells and the total at one moment.",
            "spend, usage: GET of the API for the month; usage by group, so that all cells are rolled up.",
            "Latencies count from when a read was due. Decoding the JSON of an answer is not in them.",
            "cpu_ms: processor time a read, of the API, or for account of the process that reads.",
            "Every answer was checked against what was sent; at the end `billing audit` found log and state equal.",
        ],
    )


@contextmanager
def reading(stage: Stage, *, hours: int = HOURS) -> Iterator[Reading]:
    """The service with the customer's month counted. Raises CheckFailed."""
    month = Month.newest_before(int(time.time()))
    log = MonthLog.filling(month, GROUPS, hours=hours)
    name = stage.new_name("service")
    engine: dict[str, Any] = {"buckets": BUCKETS, "session_s": stage.servers.session_s}
    settings = {"horizon_d": HORIZON_D, "retention_d": RETENTION_D}
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            service(stage.servers, name, month_catalog(CUSTOMERS), settings=settings, **engine)
        ) as running,
    ):
        produce(stage.servers.bootstrap, name, log)
        portal.call(running.until_counted, log.events)
        place = Place(stage.servers, name, running.url, running.pids["api"], month, hours, GROUPS)
        yield Reading(place, running, portal, log.events, log.tokens_of_first())


def sample(state: Reading, kind: str, seconds: float, *, load_per_s: int = LOAD_PER_S) -> Figures:
    """Reads of one kind. Raises CheckFailed: an answer cannot be true, or an event is lost or counted twice."""
    log, used = None, state.used
    load_at = Schedule.soon(load_per_s or 1, lead_s=LEAD_S)
    if load_per_s:
        state.segments += 1
        events = round(load_per_s * (WARM_S + seconds))
        log = MonthLog(state.place.month, GROUPS, events, CUSTOMERS, state.place.hours, seed=state.segments)
        used, state.sent = used + log.tokens_of_first(), state.sent + events
    reads_at = Schedule(load_at.start_us + round(WARM_S * 1e6), READS_PER_S[kind])
    plan = Plan(log, load_at, round(seconds * READS_PER_S[kind]), reads_at, state.used, used)
    figures: Figures = isolated(read_at_rate, place=state.place, kind=kind, plan=plan)
    state.used = used
    state.portal.call(state.running.until_counted, state.sent)
    return figures


def _plot(samples: list[Sample], variants: list[str]) -> Plot:
    lines = []
    for name in ("p50", "p99"):
        rounds = [values_of(samples, variant, f"{name}_ms") for variant in variants]
        medians = [median_of(samples, variant, f"{name}_ms") for variant in variants]
        x = list(map(float, range(len(variants))))
        lines.append(Line(name, x, medians, list(map(min, rounds)), list(map(max, rounds))))
    return Plot("latency", TITLE, "", "ms", lines, categories=variants)
