"""Exactly-once aggregation with more and more customers in the state: what an event costs, uniform and Zipf.

The state is filled first. Each sample then appends a segment to the log and starts a worker on the same group, so the
customers are resident and the worker is new.
"""

from functools import partial

from perf.harness.expectation import SAMPLED_MAX
from perf.harness.outcome import Bar, Figures, Findings, Line, Plot, Sample, median_of, ratio_of, values_of
from perf.harness.resident import Resident, count
from perf.harness.stage import Stage
from perf.harness.steady import Span
from perf.harness.usage import UsageLog

TITLE = "Exactly-once aggregation over the number of customers in the state"
SIZES, SIZES_QUICK = (1_000, 10_000, 100_000, 1_000_000), (1_000, 10_000, 100_000)
BARRED = 1_000_000
ZIPF = 1.1
EVENTS, EVENTS_QUICK = 240_000, 50_000
WARM_SHARE = 0.1
CHECKED = (
    "Each sample ends with a comparison: the counters of all slices, and the cells and totals of up to "
    f"{SAMPLED_MAX} customers, the heaviest among them, against everything in the log so far."
)


def measure(stage: Stage) -> Findings:
    sizes = SIZES_QUICK if stage.quick else SIZES
    events = EVENTS_QUICK if stage.quick else EVENTS
    residents = {}
    for keys in sizes:
        stage.say(f"keys: filling the state with {keys:,} customers")
        residents[keys] = Resident.filled(stage, keys)
    variants = {uniform(keys): partial(sample, stage, residents[keys], events) for keys in sizes}
    variants[zipf(sizes[-1])] = partial(sample, stage, residents[sizes[-1]], events, ZIPF)
    samples = stage.interleaved(variants)
    few, many, skewed = uniform(sizes[0]), uniform(sizes[-1]), zipf(sizes[-1])
    to_few = ratio_of(samples, f"{many} to {few}", many, few)
    skewed_to_few = ratio_of(samples, f"{skewed} to {few}", skewed, few)
    bars = [
        Bar(f"{skewed} to {few}", skewed_to_few.spread.median, 0.6, 0.9),
        Bar(f"{many} to {few}", to_few.spread.median, 0.45, 0.8),
    ]
    return Findings(
        configuration={"events a sample": events, "partitions": 1, "zipf": ZIPF, "cells a customer": "1 to 4"},
        samples=samples,
        ratios=[skewed_to_few, to_few],
        bars=bars if sizes[-1] == BARRED else [],
        plots=[_plot(samples, sizes)],
        notes=[
            "The state was filled with an event of each customer before the first sample; no sample contains that.",
            CHECKED,
            *([] if sizes[-1] == BARRED else [f"Bars are over {BARRED:,} customers: only a full run has them."]),
        ],
    )


def uniform(keys: int) -> str:
    return f"{keys:,} uniform"


def zipf(keys: int) -> str:
    return f"{keys:,} Zipf"


def sample(stage: Stage, resident: Resident, events: int, exponent: float = 0.0) -> Figures:
    """One more segment. Raises CheckFailed: the state is not what the log says."""
    log = UsageLog(events, resident.keys, seed=resident.next_seed(), zipf=exponent)
    resident.append(log)
    least_s, least_events = (0.0, 1) if stage.quick else (10.0, 200_000)
    span = Span(int(events * WARM_SHARE), events, window_s=120.0, least_s=least_s, least_events=least_events)
    figures: Figures = stage.isolated(
        count, servers=stage.servers, topic=resident.topic, group=resident.group, log=log, span=span
    )
    resident.check()
    return figures


def _plot(samples: list[Sample], sizes: tuple[int, ...]) -> Plot:
    costs = {"worker": "worker_us", "Redis": "redis_us"}
    lines = [
        _line(samples, f"{name}, {word}", figure, {keys: variant(keys) for keys in some})
        for word, variant, some in (("uniform", uniform, sizes), ("Zipf", zipf, sizes[-1:]))
        for name, figure in costs.items()
        if values_of(samples, uniform(sizes[0]), figure)
    ]
    return Plot("cost", TITLE, "customers in the state", "µs an event", lines, log_x=True)


def _line(samples: list[Sample], name: str, figure: str, variants: dict[int, str]) -> Line:
    rounds = [values_of(samples, variant, figure) for variant in variants.values()]
    return Line(
        name,
        x=[float(keys) for keys in variants],
        y=[median_of(samples, variant, figure) for variant in variants.values()],
        low=list(map(min, rounds)),
        high=list(map(max, rounds)),
    )
