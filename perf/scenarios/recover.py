"""How long a partition stands still when it moves, with more and more state: a new owner restores none of it."""

from collections.abc import Sequence
from functools import partial

from perf.harness.outcome import Bar, Figures, Findings, Line, Plot, Sample, median_of, ratio_of, values_of
from perf.harness.resident import Resident
from perf.harness.restart import COMMIT_INTERVAL_S, restarts
from perf.harness.stage import Stage
from perf.harness.usage import UsageLog

TITLE = "Recovery: from the assignment of a partition to the first new commit, over the size of the state"
SIZES, SIZES_QUICK = (10, 100_000, 1_000_000), (10, 100_000)
RESTARTS, RESTARTS_QUICK = 7, 3
EVENTS = 20
"""So many wait in the log."""


def measure(stage: Stage) -> Findings:
    sizes = SIZES_QUICK if stage.quick else SIZES
    residents = {}
    for keys in sizes:
        stage.say(f"recover: filling the state with {keys:,} customers")
        residents[keys] = Resident.filled(stage, keys)
    count = RESTARTS_QUICK if stage.quick else RESTARTS
    samples = stage.interleaved({name(keys): partial(sample, stage, residents[keys], count) for keys in sizes})
    few, many = name(sizes[0]), name(sizes[-1])
    ratio = ratio_of(samples, f"{many} to {few}", many, few, "commit_ms")
    return Findings(
        configuration={
            "restarts a sample": count,
            "events that wait": EVENTS,
            "commit interval": f"{COMMIT_INTERVAL_S * 1e3:g} ms",
            "partitions": 1,
        },
        samples=samples,
        ratios=[ratio],
        bars=[Bar(f"{many} to {few}", ratio.spread.median, 1.2, 1.05, better="lower")],
        plots=[Plot("time", TITLE, "customers in the state", "ms", [_line(samples, sizes)], log_x=True)],
        notes=[
            "begin: the records of all slices are read and the position is sought.",
            "commit: the first event after that is counted, and Kafka has taken a commit beyond the old one.",
            "A sample is the median of its restarts, and ends with a comparison of state and log.",
            "Joining the group comes before the assignment and is no part of it.",
        ],
    )


def name(keys: int) -> str:
    return f"{keys:,} customers"


def sample(stage: Stage, resident: Resident, count: int) -> Figures:
    """Some restarts of a worker. Raises CheckFailed: the state is not what the log says."""
    committed = resident.expected.events
    logs = [UsageLog(EVENTS, resident.keys, seed=resident.next_seed()) for _ in range(count)]
    figures: Figures = stage.isolated(
        restarts, servers=stage.servers, topic=resident.topic, group=resident.group, logs=logs, committed=committed
    )
    for log in logs:
        resident.expected.add(log)
    resident.check()
    return figures


def _line(samples: list[Sample], sizes: Sequence[int]) -> Line:
    variants = list(map(name, sizes))
    rounds = [values_of(samples, variant, "commit_ms") for variant in variants]
    medians = [median_of(samples, variant, "commit_ms") for variant in variants]
    return Line("first new commit", list(map(float, sizes)), medians, list(map(min, rounds)), list(map(max, rounds)))
