"""What things cost in memory: an event in flight, a key that is idle, a customer, a cell, a remembered identity."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from perf.harness.expectation import Expectation
from perf.harness.footprint import Line, counted_events, open_events, slope
from perf.harness.outcome import Bar, Figures, Findings, Plot, Sample, median_of, values_of
from perf.harness.outcome import Line as PlotLine
from perf.harness.produce import produce
from perf.harness.resident import check_expected
from perf.harness.stage import Stage
from perf.harness.usage import UsageLog

TITLE = "Memory: events in flight, idle keys, customers, cells, identities"
OPEN_POINTS, OPEN_POINTS_QUICK = (10_000, 25_000, 40_000), (5_000, 12_000)
CUSTOMER_POINTS, CUSTOMER_POINTS_QUICK = (120_000, 160_000, 200_000), (8_000, 20_000)
"""A full run begins where the worker's table of recent identities has all the memory that it will ever take."""
IDENTITY_POINTS, IDENTITY_POINTS_QUICK = (250_000, 500_000, 750_000, 1_000_000), (40_000, 70_000, 100_000)
CELL_EVENTS, CELL_EVENTS_QUICK = 80_000, 15_000
CELL_KEYS, HOURS = 100, 744
FEW_KEYS = 100
BEHIND = 3_000
"""So many events are in the log beyond the last point, so that the client holds as much at every point."""
IN_FLIGHT, BEHIND_OTHERS, CUSTOMER, CELL, IDENTITY = (
    "an event in flight, a key of its own",
    "an event in flight, 1,000 keys",
    "a customer",
    "a cell",
    "an identity",
)

NOTES = [
    "Bytes for one more: the slope over several numbers of them within one process, or for a cell between two states.",
    "Redis: what it has allocated, without buffers of its clients and its file.",
    "An event in flight: resident memory of the worker beyond the bytes of its key and value.",
    "A customer: one cell, its day, the month's running total, a place in the index, and one identity.",
    "worker_bytes of a customer: what is left of its key in the worker once it is idle (full runs).",
    "A cell: of a customer that has more of them. An identity: each event leaves one.",
]


def measure(stage: Stage) -> Findings:
    quick = stage.quick
    identities = IDENTITY_POINTS_QUICK if quick else IDENTITY_POINTS
    opened = OPEN_POINTS_QUICK if quick else OPEN_POINTS
    customers = CUSTOMER_POINTS_QUICK if quick else CUSTOMER_POINTS
    samples = stage.interleaved(
        {
            IN_FLIGHT: partial(in_flight, stage, _produced(stage, opened, each_once=True), opened),
            BEHIND_OTHERS: partial(in_flight, stage, _produced(stage, opened, keys=1_000), opened),
            CUSTOMER: partial(customer, stage, _produced(stage, customers, each_once=True), customers),
            CELL: partial(cell, stage, *_logs_of_cells(stage)),
            IDENTITY: partial(identity, stage, _produced(stage, identities, keys=FEW_KEYS, behind=0), identities),
        }
    )
    value = partial(median_of, samples)
    return Findings(
        configuration={
            "identities": identities[-1],
            "customers": customers[-1],
            "events in flight": opened[-1],
            "partitions": 1,
        },
        samples=samples,
        bars=[
            Bar(
                f"an identity, up to {identities[-1]:,}", value(IDENTITY, "redis_bytes"), 24, 20, "lower", "B in Redis"
            ),
            Bar("an event in flight", value(IN_FLIGHT, "worker_bytes"), 2_048, better="lower", unit="B beyond its own"),
        ],
        plots=[_plot(samples)],
        notes=NOTES,
    )


Produced = tuple[str, UsageLog]
"""A topic and what is in it."""


def in_flight(stage: Stage, produced: Produced, points: Sequence[int]) -> Figures:
    topic, log = produced
    line = _line(stage, open_events, topic, log, stage.new_name("group"), points)
    own = sum(len(key) + len(value) for key, value in log.records()) / log.events
    return {"worker_bytes": slope(line["number"], line["worker_bytes"]) - own, "own_bytes": own}


def customer(stage: Stage, produced: Produced, points: Sequence[int]) -> Figures:
    line = counted(stage, produced, points)
    names = ("redis_bytes",) if stage.quick else ("redis_bytes", "worker_bytes")
    return {name: slope(line["number"], line[name]) for name in names}


def identity(stage: Stage, produced: Produced, points: Sequence[int]) -> Figures:
    line = counted(stage, produced, points)
    return {"redis_bytes": slope(line["number"], line["redis_bytes"])}


def cell(stage: Stage, few: Produced, many: Produced) -> Figures:
    """Two states of as many events, keys and identities."""
    cells, sizes = [], []
    for produced in (few, many):
        line = counted(stage, produced, [produced[1].events])
        cells.append(float(sum(map(len, produced[1].cells().values()))))
        sizes.append(line["redis_bytes"][-1])
    return {"redis_bytes": slope(cells, sizes), "cells": cells[-1]}


def counted(stage: Stage, produced: Produced, points: Sequence[int]) -> Line:
    """A new group counts a log, and stops at some points. Raises CheckFailed."""
    topic, log = produced
    group = stage.new_name("group")
    line = _line(stage, counted_events, topic, log, group, points)
    expected = Expectation(log.keys)
    expected.add(log)
    asyncio.run(check_expected(stage.servers.redis_url, group, expected))
    return line


def _line(stage: Stage, function: Any, topic: str, log: UsageLog, group: str, points: Sequence[int]) -> Line:
    line: Line = stage.isolated(
        function, servers=stage.servers, topic=topic, group=group, log=log, points=list(points)
    )  # fmt: skip
    return line


def _produced(
    stage: Stage, points: Sequence[int], *, keys: int | None = None, each_once: bool = False, behind: int = BEHIND
) -> Produced:
    events = points[-1] + behind
    log = UsageLog(events, keys or events, each_once=each_once)
    topic = stage.new_name("log")
    produce(stage.servers.bootstrap, topic, log)
    return topic, log


def _logs_of_cells(stage: Stage) -> list[Produced]:
    """As many events of as many customers: in one hour, and in all hours of a month."""
    events = CELL_EVENTS_QUICK if stage.quick else CELL_EVENTS
    found = []
    for hours in (1, HOURS):
        log, topic = UsageLog(events, CELL_KEYS, hours=hours), stage.new_name("log")
        produce(stage.servers.bootstrap, topic, log)
        found.append((topic, log))
    return found


def _plot(samples: list[Sample]) -> Plot:
    shown = [
        (IN_FLIGHT, "worker_bytes"),
        (BEHIND_OTHERS, "worker_bytes"),
        (CUSTOMER, "redis_bytes"),
        (CELL, "redis_bytes"),
        (IDENTITY, "redis_bytes"),
    ]
    rounds = [values_of(samples, variant, figure) for variant, figure in shown]
    line = PlotLine(
        "bytes", [float(place) for place in range(len(shown))], [median_of(samples, *each) for each in shown],
        list(map(min, rounds)), list(map(max, rounds)),
    )  # fmt: skip
    categories = [f"{variant} ({figure.partition('_')[0]})" for variant, figure in shown]
    return Plot("bytes", TITLE, "", "B", [line], categories=categories, log_y=True)
