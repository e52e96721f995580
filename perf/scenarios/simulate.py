"""What would it do on more machines? The engine in virtual time, where processor time costs what was measured here.

The model is held against the measurement that its costs come from: it is told what an event and a call cost, and has
to find the rate. Then it is asked for sizes that one machine cannot hold.
"""

import argparse
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import count
from pathlib import Path

from perf.harness.figures import spread_of
from perf.harness.machine import machine
from perf.harness.outcome import Bar, Figures, Findings, Line, Plot, Ratio, Result, Sample, median_of, values_of
from perf.harness.report import kind
from perf.harness.results import read
from perf.harness.stage import Stage
from perf.model.costs import MANY, ONE, SCENARIO, US, Costs, costs_of
from perf.model.site import Shape, simulated

TITLE = "What-if: throughput and lag of more workers and partitions, in virtual time"
SERVERS = False
LOOPBACK_S = 0.00005
"""Round trip to a Redis on the same machine, where the measurement was made."""
OFF_MAX = 1.4
"""The model may be off by such a factor, up or down."""
ONE_BY_ONE = {"call_events_max": 1, "calls_in_flight_max": 1}
COSTS = tuple(each.name for each in fields(Costs))

SLICES = (
    "A slice (a partition's part of a bucket) costs nothing by itself here, since that was not measured: with many "
    "partitions the model is kind. `--redis-slice-us` and `--worker-slice-us` show how much depends on it."
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--partitions", type=_numbers, default=(1, 8, 64), metavar="N,N", help="default: 1,8,64")
    parser.add_argument("--workers", type=_numbers, default=(1, 4, 16), metavar="N,N", help="default: 1,4,16")
    parser.add_argument("--events-per-s", type=float, default=50_000, help="that arrive, default: 50,000")
    parser.add_argument("--seconds", type=float, help="of virtual time in which they arrive")
    parser.add_argument("--latency-ms", type=float, default=10.0, help="that user code awaits a turn, default: 10")
    parser.add_argument("--redis-round-trip-ms", type=float, default=1.0, help="default: 1")
    parser.add_argument("--keys", type=int, default=1_000, help="default: 1,000")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same figures; default: 1")
    parser.add_argument("--costs", type=Path, metavar="FILE", help=f"default: the newest {SCENARIO}.json")
    for name in COSTS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, help="instead of what was measured")


def _numbers(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not all(each.isascii() and each.isdigit() and int(each) for each in numbers):
        raise argparse.ArgumentTypeError(f"{text!r}: numbers from 1 on were expected, as 1,8,64")
    return tuple(map(int, numbers))


def measure(stage: Stage) -> Findings:
    asked = stage.options
    measured = read(asked.costs or stage.results / f"{SCENARIO}.json")
    as_measured = costs_of(measured)
    given = {name: value for name in COSTS if (value := getattr(asked, name)) is not None}
    costs = replace(as_measured, **given)
    seconds = asked.seconds or (0.4 if stage.quick else 0.8)
    known = _known(as_measured, stage.quick)
    sizes = {
        _name(partitions, workers): Shape(
            costs, partitions, workers, asked.latency_ms / 1000, asked.redis_round_trip_ms / 1000,
            asked.events_per_s, seconds, keys=asked.keys,
        )
        for partitions in asked.partitions
        for workers in asked.workers
        if workers <= partitions
    }  # fmt: skip
    shapes = {f"as measured: {name}": shape for name, shape in known.items()} | sizes
    rounds = 1 if stage.quick else min(stage.rounds, 2)
    samples = stage.interleaved({name: _sampler(shape, asked.seed) for name, shape in shapes.items()}, rounds=rounds)
    ratios = [_against(samples, measured, name) for name in known]
    return Findings(
        configuration={
            "events_per_s": asked.events_per_s, "seconds": seconds, "latency_ms": asked.latency_ms,
            "redis_round_trip_ms": asked.redis_round_trip_ms, "keys": asked.keys, "seed": asked.seed,
        },
        samples=samples,
        ratios=ratios,
        bars=[Bar(f"off by a factor, {each.numerator}", _off(each), OFF_MAX, better="lower") for each in ratios],
        plots=_plots(samples, asked),
        notes=_notes(costs, measured, given),
    )  # fmt: skip


def _known(costs: Costs, quick: bool) -> dict[str, Shape]:
    """What was measured, in the model."""
    many = Shape(costs, redis_round_trip_s=LOOPBACK_S, events=30_000 if quick else 60_000)
    return {MANY: many, ONE: replace(many, events=1_000 if quick else 5_000, settings=ONE_BY_ONE)}


def _sampler(shape: Shape, seed: int) -> Callable[[], Figures]:
    """Each round has a seed of its own."""
    seeds = count(seed)
    return lambda: simulated(shape, next(seeds))


def _against(samples: list[Sample], measured: Result, variant: str) -> Ratio:
    """The model's rate over the measured one."""
    name = f"as measured: {variant}"
    rate = median_of(measured.findings.samples, variant, "events_per_s")
    values = [each / rate for each in values_of(samples, name, "events_per_s")]
    return Ratio(f"predicted to measured, {variant}", "events_per_s", variant, f"{variant}, measured", values)


def _off(ratio: Ratio) -> float:
    middle = spread_of(ratio.values).median
    return max(middle, 1 / middle)


def _name(partitions: int, workers: int) -> str:
    return f"{partitions} partition{'s' * (partitions > 1)}, {workers} worker{'s' * (workers > 1)}"


def _plots(samples: list[Sample], asked: argparse.Namespace) -> list[Plot]:
    """A group of bars for each number of workers."""
    arriving = f"{asked.events_per_s:,.0f} events/s arriving"
    groups = [f"{each} worker{'s' * (each > 1)}" for each in asked.workers]
    return [
        Plot(name, f"{title}, {arriving}", "", unit, _lines(samples, asked, figure), categories=groups)
        for name, title, unit, figure in (
            ("throughput", "What the model gets done", "events/s", "events_per_s"),
            ("lag", "How far its state is behind at p99", "ms", "lag_p99_ms"),
            ("redis", "How busy its Redis is", "of one core", "redis_busy_share"),
        )
    ]


def _lines(samples: list[Sample], asked: argparse.Namespace, figure: str) -> list[Line]:
    lines = []
    for partitions in asked.partitions:
        places = [place for place, each in enumerate(asked.workers) if each <= partitions]
        spreads = [spread_of(values_of(samples, _name(partitions, asked.workers[place]), figure)) for place in places]
        if spreads:
            y, low, high = ([each[part] for each in spreads] for part in range(3))
            lines.append(Line(_name(partitions, 1).partition(",")[0], [float(each) for each in places], y, low, high))
    return lines


def _notes(costs: Costs, measured: Result, given: dict[str, float]) -> list[str]:
    where = f"{measured.scenario} of {measured.measured_at}, {kind(measured)}"
    here = machine()
    elsewhere = any(measured.machine.get(name) != here[name] for name in ("processor", "processors"))
    return [
        f"Costs: {costs} ({where}{'; given: ' + ', '.join(given) if given else ''}).",
        *(["They were measured on another machine than this one."] if elsewhere else []),
        _held_up(measured),
        "A worker is one core and Redis is one core; the broker is no limit, and no process disturbs another.",
        *([] if costs.redis_slice_us else [SLICES]),
        "`lag` is how long ago the first event arrived that is not in the state; busy shares are of one core.",
        "More workers than partitions are left out: the group leaves them idle.",
        "Every write was checked, and in the end every cell against what had arrived, once and in order of its key.",
    ]


def _held_up(measured: Result) -> str:
    """How much of their cores worker and Redis had."""
    samples = measured.findings.samples
    shares = [
        median_of(samples, MANY, "events_per_s") * median_of(samples, MANY, f"{name}_us") * US
        for name in ("worker", "redis")
    ]
    return (
        "In the measurement the worker used {:.2f} of a core and Redis {:.2f}: where neither is near 1, something else "
        "held them up, which the model knows nothing of, and it is too fast."
    ).format(*shares)
