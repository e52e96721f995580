"""What an event and a call cost in processor time, taken from a measurement of two sizes of call. Pure.

With w(n) = event + call / n microseconds an event where a call holds n events, two measured n give both. What a slice
(a partition's part of a bucket) costs by itself is not told apart by them: it is 0 unless it is given.
"""

from dataclasses import dataclass

from perf.harness.outcome import Result, median_of

SCENARIO = "exactly-once"
US = 1e-6
MANY, ONE = "many events a call", "one event a call"
TURN_SHARE = 0.7
"""Of an event's cost, for a turn of user code that awaits: measured once, 18 beside 25 µs."""


class NoCosts(Exception):
    """A result does not have the samples that costs are taken from."""


@dataclass(frozen=True, slots=True)
class Costs:
    """In µs of one core. A turn is one call of user code that awaits."""

    worker_event_us: float
    worker_call_us: float
    worker_turn_us: float
    redis_event_us: float
    redis_call_us: float
    worker_slice_us: float = 0.0
    redis_slice_us: float = 0.0

    def __str__(self) -> str:
        return (
            f"worker {self.worker_event_us:.1f} µs an event, {self.worker_call_us:.0f} a call, "
            f"{self.worker_slice_us:.1f} a slice, {self.worker_turn_us:.1f} a turn that awaits; "
            f"Redis {self.redis_event_us:.1f} an event, {self.redis_call_us:.0f} a call, "
            f"{self.redis_slice_us:.1f} a slice"
        )


def costs_of(result: Result) -> Costs:
    """Raises NoCosts."""
    samples = result.findings.samples
    try:
        many, one = (median_of(samples, variant, "events_per_call") for variant in (MANY, ONE))
        worker_event, worker_call = apart(
            (many, median_of(samples, MANY, "worker_us")), (one, median_of(samples, ONE, "worker_us"))
        )
        redis_event, redis_call = apart(
            (many, median_of(samples, MANY, "redis_us")), (one, median_of(samples, ONE, "redis_us"))
        )
    except ValueError as error:
        raise NoCosts(
            f"{result.scenario} of {result.measured_at} has no events_per_call, worker_us and redis_us of "
            f"{MANY!r} and {ONE!r}: {error}"
        ) from error
    return Costs(worker_event, worker_call, TURN_SHARE * worker_event, redis_event, redis_call)


def apart(many: tuple[float, float], one: tuple[float, float]) -> tuple[float, float]:
    """Cost of an event and of a call from two pairs of (events a call, µs an event).

    Raises ValueError: the pairs cannot be told apart, or an event would cost nothing.
    """
    (events_many, us_many), (events_one, us_one) = many, one
    if events_many <= events_one or events_one <= 0:
        raise ValueError(f"{events_many:g} and {events_one:g} events a call cannot be told apart")
    call_us = max(0.0, (us_one - us_many) / (1 / events_one - 1 / events_many))
    event_us = us_many - call_us / events_many
    if event_us <= 0:
        raise ValueError(f"an event would cost {event_us:.3g} µs")
    return event_us, call_us
