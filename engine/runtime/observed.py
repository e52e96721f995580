"""The engine's statistics as metrics: read when somebody asks, so that counting costs the hot path nothing."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from engine import telemetry as catalogue
from engine.runtime.statistics import Counters, PartitionStatistics, Statistics
from engine.telemetry import Attributes, Metric, Observation, Telemetry

_SUMS: tuple[tuple[Metric, str], ...] = (
    (catalogue.CALLS, "calls"),
    (catalogue.UNANSWERED, "unanswered"),
    (catalogue.REJECTED, "rejected"),
    (catalogue.EFFECTS, "effects"),
)
_OUTCOMES = (
    ("counted", "counted"),
    ("unmetered", "unmetered"),
    ("duplicate", "duplicates_dropped"),
    ("dead", "dead_lettered"),
)
OBSERVED = (
    *(metric for metric, _ in _SUMS),
    *(catalogue.CONSUMED, catalogue.EVENTS, catalogue.RETRIES, catalogue.REFUSALS, catalogue.REBALANCES),
    *(catalogue.IN_FLIGHT, catalogue.IN_FLIGHT_SIZE, catalogue.OLDEST_AGE, catalogue.LAG, catalogue.WATERMARK),
    *(catalogue.UNSTARTED, catalogue.PARKED, catalogue.BREAKER),
    *(catalogue.LANES, catalogue.LANES_LIMIT, catalogue.PARTITIONS, catalogue.EPOCHS),
)


def observe(telemetry: Telemetry, topic: str, group: str, statistics: Callable[[], Statistics]) -> None:
    """Show what `statistics` says, for an engine of `group` on `topic`."""
    telemetry.observe(OBSERVED, lambda: observations(topic, group, statistics()))


def observations(topic: str, group: str, now: Statistics) -> Iterable[Observation]:
    """All metrics of OBSERVED that are known."""
    yield from _counted(topic, group, now.counters)
    by_group = {catalogue.GROUP: group}
    for state in ("running", "ready", "deferred"):
        yield Observation(catalogue.LANES, getattr(now.lanes, state), by_group | {catalogue.STATE: state})
    yield Observation(catalogue.BREAKER, int(now.lanes.breaker_open), by_group)
    yield Observation(catalogue.LANES_LIMIT, now.lanes.limit, by_group)
    for state, count in Counter(partition.state for partition in now.partitions).items():
        yield Observation(catalogue.PARTITIONS, count, by_group | {catalogue.TOPIC: topic, catalogue.STATE: state})
    for partition in now.partitions:
        own = by_group | {catalogue.TOPIC: topic, catalogue.PARTITION: str(partition.partition)}
        yield from _of_partition(partition, own, now.time_ms)


def _counted(topic: str, group: str, counters: Counters) -> Iterator[Observation]:
    by_group = {catalogue.GROUP: group}
    by_topic = by_group | {catalogue.TOPIC: topic}
    polled = by_topic | {catalogue.SYSTEM: "kafka", catalogue.OPERATION: "poll"}
    yield Observation(catalogue.CONSUMED, counters.consumed, polled)
    yield Observation(catalogue.RETRIES, counters.retries, by_topic)
    yield Observation(catalogue.REBALANCES, counters.rebalances, by_topic)
    for metric, name in _SUMS:
        yield Observation(metric, getattr(counters, name), by_group)
    for outcome, name in _OUTCOMES:
        yield Observation(catalogue.EVENTS, getattr(counters, name), by_topic | {catalogue.OUTCOME: outcome})
    for kind, count in counters.refused.items():
        yield Observation(catalogue.REFUSALS, count, by_group | {catalogue.REFUSAL: kind.replace(" ", "_")})


def _of_partition(partition: PartitionStatistics, own: Attributes, now_ms: int) -> Iterator[Observation]:
    yield Observation(catalogue.IN_FLIGHT, partition.in_flight, own)
    yield Observation(catalogue.IN_FLIGHT_SIZE, partition.in_flight_bytes, own)
    yield Observation(catalogue.EPOCHS, partition.epochs, own)
    yield Observation(catalogue.PARKED, len(partition.parked), own)
    if partition.unstarted is not None:
        yield Observation(catalogue.UNSTARTED, partition.unstarted, own)
    if partition.oldest_in_flight_ms is not None:
        yield Observation(catalogue.OLDEST_AGE, max(0, now_ms - partition.oldest_in_flight_ms) / 1000, own)
    if partition.watermark is not None:
        yield Observation(catalogue.WATERMARK, partition.watermark, own)
        if partition.end is not None:
            yield Observation(catalogue.LAG, max(0, partition.end - partition.watermark), own)
