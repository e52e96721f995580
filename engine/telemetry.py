"""Every signal that the engine emits, and the port through which it does. Names, units and attributes are public API.

What OpenTelemetry's messaging conventions name is named as there; the rest begins with `engine.`. Nothing here happens
per event where user code does not await: counters and gauges are read from `Engine.statistics()` when somebody asks,
durations are recorded per fetch, call, commit, and turn of a lane.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from engine.event import Headers

Attributes: TypeAlias = Mapping[str, str]
NONE: Final[Attributes] = {}

SYSTEM: Final = "messaging.system"
OPERATION: Final = "messaging.operation.name"
TOPIC: Final = "messaging.destination.name"
PARTITION: Final = "messaging.destination.partition.id"
GROUP: Final = "messaging.consumer.group.name"
ERROR: Final = "error.type"
OUTCOME: Final = "engine.outcome"
STATE: Final = "engine.state"
FUNCTION: Final = "engine.function"
REFUSAL: Final = "engine.refusal"

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The bounds that the messaging conventions ask for."""
CALL_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
COUNTS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)


def sending(topic: str) -> Attributes:
    """The attributes of a send to `topic`."""
    return {SYSTEM: "kafka", OPERATION: "send", TOPIC: topic}


@dataclass(frozen=True, slots=True)
class Metric:
    """One instrument. It is either added to and recorded, or observed; never both."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    """UCUM, as OpenTelemetry asks: `s`, `By`, or a `{noun}`. Never part of the name."""
    about: str
    """What it says, and what an operator should do when it rises."""
    attributes: frozenset[str] = frozenset()
    """Of few values each: a record's key is never one."""
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time that can be traced."""

    name: str
    about: str
    attributes: frozenset[str] = frozenset()
    per_s_max: int = 10
    """More than this many a second are not traced."""


class Observation(NamedTuple):
    """What a metric is at the moment."""

    metric: Metric
    value: float
    attributes: Attributes = NONE


class Telemetry(Protocol):
    """Where signals go. No method waits or fails for a reason outside the process."""

    def add(self, metric: Metric, amount: int = 1, attributes: Attributes = NONE) -> None:
        """Raise a counter."""
        ...

    def record(self, metric: Metric, value: float, attributes: Attributes = NONE) -> None:
        """One value of a histogram."""
        ...

    def recorder(self, metric: Metric, attributes: Attributes = NONE) -> Callable[[float], None]:
        """`record` for always the same metric and attributes, where it happens often."""
        ...

    def observe(self, metrics: Iterable[Metric], read: Callable[[], Iterable[Observation]]) -> None:
        """Call `read` whenever these counters and gauges are asked for, once for all of them."""
        ...

    def span(self, span: Span, attributes: Attributes = NONE) -> AbstractContextManager[None]:
        """Trace what happens inside; an exception that leaves it is noted and goes on."""
        ...

    def continued(
        self, span: Span, headers: Sequence[Headers], attributes: Attributes = NONE
    ) -> AbstractContextManager[None]:
        """What happens inside goes on in the trace that the first of these records' headers name.

        Where spans are exported and the trace is sampled, it is a span of it, with links to the other records.
        """
        ...

    def carried(self) -> tuple[tuple[str, bytes], ...]:
        """The headers by which a message takes the current trace along; none outside a trace."""
        ...


class Silence:
    """Signals go nowhere: for tests, the simulation and whoever does not ask."""

    def add(self, metric: Metric, amount: int = 1, attributes: Attributes = NONE) -> None:
        """Nothing."""

    def record(self, metric: Metric, value: float, attributes: Attributes = NONE) -> None:
        """Nothing."""

    def recorder(self, metric: Metric, attributes: Attributes = NONE) -> Callable[[float], None]:
        return lambda value: None

    def observe(self, metrics: Iterable[Metric], read: Callable[[], Iterable[Observation]]) -> None:
        """Nothing."""

    def span(self, span: Span, attributes: Attributes = NONE) -> AbstractContextManager[None]:
        return nullcontext()

    def continued(
        self, span: Span, headers: Sequence[Headers], attributes: Attributes = NONE
    ) -> AbstractContextManager[None]:
        return nullcontext()

    def carried(self) -> tuple[tuple[str, bytes], ...]:
        return ()


_CLIENT = frozenset({SYSTEM, OPERATION, TOPIC, GROUP})
_OWN = frozenset({TOPIC, PARTITION, GROUP})

# ---------------------------------------------------------------- the log, after the messaging conventions
CONSUMED: Final = Metric(
    "messaging.client.consumed.messages",
    "counter",
    "{message}",
    "Events fetched. A repeated epoch counts its events again.",
    _CLIENT,
)
SENT: Final = Metric(
    "messaging.client.sent.messages",
    "counter",
    "{message}",
    "Records that the log has acknowledged: messages of effects and dead letters.",
    frozenset({SYSTEM, OPERATION, TOPIC}),
)
CLIENT_DURATION: Final = Metric(
    "messaging.client.operation.duration",
    "histogram",
    "s",
    "Time of a fetch (poll), a commit, or a send. A poll at the log's end waits by itself.",
    _CLIENT | {ERROR},
    SECONDS,
)
PROCESS_DURATION: Final = Metric(
    "messaging.process.duration",
    "histogram",
    "s",
    "Time that the processor took for the consecutive events of one key, where it awaited.",
    _CLIENT | {ERROR},
    SECONDS,
)

# ---------------------------------------------------------------- events
EVENTS: Final = Metric(
    "engine.events",
    "counter",
    "{event}",
    "Events that are done, by outcome: counted, unmetered, duplicate, dead. Dead ones lie in the dead-letter topic "
    "with their reason.",
    frozenset({TOPIC, GROUP, OUTCOME}),
)
RETRIES: Final = Metric(
    "engine.retries",
    "counter",
    "{attempt}",
    "Further attempts at events whose handler failed. The lane's reason says why.",
    frozenset({TOPIC, GROUP}),
)
IN_FLIGHT: Final = Metric(
    "engine.in_flight",
    "gauge",
    "{event}",
    "Events read and not done. At its limit the partition pauses.",
    _OWN,
)
IN_FLIGHT_SIZE: Final = Metric(
    "engine.in_flight.size",
    "gauge",
    "By",
    "Payload of the events read and not done. At its limit the partition pauses.",
    _OWN,
)
OLDEST_AGE: Final = Metric(
    "engine.in_flight.oldest.age",
    "gauge",
    "s",
    "Time since the arrival of the oldest event that is not done; absent if there is none. A steady rise means one "
    "slow or stuck key: the worker's notice names what holds the partition back.",
    _OWN,
)
LAG: Final = Metric(
    "engine.lag",
    "gauge",
    "{event}",
    "The log's end less the watermark below which everything is done; absent while unknown. A steady rise means more "
    "arrives than is counted: add workers, up to one a partition.",
    _OWN,
)
WATERMARK: Final = Metric(
    "engine.watermark",
    "gauge",
    "{offset}",
    "The offset below which every event is done.",
    _OWN,
)

UNSTARTED: Final = Metric(
    "engine.unstarted",
    "gauge",
    "{event}",
    "Events not read yet, or waiting for nothing but a place; absent while unknown. Scale by this, not by the lag: one "
    "stuck key raises the lag, and no further worker would lower it.",
    _OWN,
)
PARKED: Final = Metric(
    "engine.parked",
    "gauge",
    "{key}",
    "Keys that wait for a command because their event failed for the last time; release them.",
    _OWN,
)

# ---------------------------------------------------------------- lanes and partitions
LANES: Final = Metric(
    "engine.lanes",
    "gauge",
    "{lane}",
    "Keys with events, by state: running now, ready and waiting for a place, or deferred and waiting for a time.",
    frozenset({GROUP, STATE}),
)
LANES_LIMIT: Final = Metric("engine.lanes.limit", "gauge", "{lane}", "Lanes that may run at once.", frozenset({GROUP}))
BREAKER: Final = Metric(
    "engine.breaker.open",
    "gauge",
    "1",
    "1 while the handlers of all keys fail and only one at a time is tried: what they depend on is down.",
    frozenset({GROUP}),
)
PARTITIONS: Final = Metric(
    "engine.partitions",
    "gauge",
    "{partition}",
    "Partitions of this worker, by state. A halted one needs a person: the log says why.",
    frozenset({TOPIC, GROUP, STATE}),
)
REBALANCES: Final = Metric(
    "engine.rebalances",
    "counter",
    "{rebalance}",
    "Times that the group took partitions away. Often means workers that come and go, or a session that is too short.",
    frozenset({TOPIC, GROUP}),
)
EPOCHS: Final = Metric(
    "engine.epochs",
    "counter",
    "{epoch}",
    "Beginnings from the stored records: one an assignment, and one after each refusal. Of partitions still here.",
    frozenset({TOPIC, PARTITION, GROUP}),
)

# ---------------------------------------------------------------- calls to the state
CALL_DURATION: Final = Metric(
    "engine.call.duration",
    "histogram",
    "s",
    "Time of one call to the state, until it was answered.",
    frozenset({GROUP, FUNCTION, ERROR}),
    CALL_SECONDS,
)
CALL_EVENTS: Final = Metric(
    "engine.call.events",
    "histogram",
    "{event}",
    "Events in one call: small numbers under load mean that calls are not filled.",
    frozenset({GROUP, FUNCTION}),
    COUNTS,
)
CALLS: Final = Metric("engine.calls", "counter", "{call}", "Calls that write and were answered.", frozenset({GROUP}))
UNANSWERED: Final = Metric(
    "engine.calls.unanswered",
    "counter",
    "{call}",
    "Calls of unknown outcome, each sent again with the same bytes. Rises while the state's server is away.",
    frozenset({GROUP}),
)
REJECTED: Final = Metric(
    "engine.writes.rejected",
    "counter",
    "{write}",
    "Writes sent back because an event in them was remembered already, or was not any more; each went in again.",
    frozenset({GROUP}),
)
REFUSALS: Final = Metric(
    "engine.refusals",
    "counter",
    "{refusal}",
    "Writes refused because another record is stored: rollback (the server lost writes), other_owner, or fork "
    "(neither: an alarm).",
    frozenset({GROUP, REFUSAL}),
)
EFFECTS: Final = Metric(
    "engine.effects",
    "counter",
    "{effect}",
    "Effects inserted under their names, their messages acknowledged.",
    frozenset({GROUP}),
)

METRICS: Final = (
    *(CONSUMED, SENT, CLIENT_DURATION, PROCESS_DURATION),
    *(EVENTS, RETRIES, IN_FLIGHT, IN_FLIGHT_SIZE, OLDEST_AGE, LAG, WATERMARK, UNSTARTED, PARKED),
    *(LANES, LANES_LIMIT, BREAKER, PARTITIONS, REBALANCES, EPOCHS),
    *(CALL_DURATION, CALL_EVENTS, CALLS, UNANSWERED, REJECTED, REFUSALS, EFFECTS),
)

CALL_SPAN: Final = Span("engine.call", "One call to the state.", frozenset({GROUP, FUNCTION}), per_s_max=20)
EPOCH_SPAN: Final = Span("engine.epoch", "From an assignment or a refusal until events are fetched again.", _OWN)
REBALANCE_SPAN: Final = Span("engine.rebalance", "Draining what the group takes away.", frozenset({TOPIC, GROUP}))
COMMIT_SPAN: Final = Span("engine.commit", "One commit of the group's offsets.", frozenset({TOPIC, GROUP}))
PROCESS_SPAN: Final = Span(
    "engine.process",
    "User code at work on events that name a trace, as a part of it.",
    frozenset({TOPIC, GROUP, SYSTEM, OPERATION}),
    per_s_max=100,
)
SPANS: Final = (CALL_SPAN, EPOCH_SPAN, REBALANCE_SPAN, COMMIT_SPAN, PROCESS_SPAN)
