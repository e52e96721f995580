"""What the engine says of itself: frozen records, made when somebody asks."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from engine.event import Event
from engine.notice import key_hash
from engine.ports import Clock
from engine.runtime.holds import PAUSED
from engine.runtime.intake import Intake
from engine.runtime.partition import Partition
from engine.state.slices import Prepared

SAMPLES_MAX = 2_048
PARKED_MAX = 100


@dataclass(frozen=True, slots=True)
class HeldBack:
    """The event that a partition's watermark waits for."""

    offset: int
    key_hash: str
    age_s: float
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Parked:
    """A key that waits for `Engine.release`, and everything behind its event."""

    offset: int
    key_hash: str
    events: int
    reason: str


@dataclass(frozen=True, slots=True)
class PartitionStatistics:
    topic: str
    partition: int
    state: str
    position: int | None
    watermark: int | None
    """Every event below it is done: in the totals, with its alerts acknowledged."""
    end: int | None
    in_flight: int
    in_flight_bytes: int
    oldest_in_flight_ms: int | None
    """Arrival of the oldest event that is not done."""
    held_back_by: HeldBack | None
    epochs: int
    unstarted: int | None
    """Events that more workers could take up: not read yet, or waiting for nothing but a place. What to scale by:
    unlike the lag it does not count what one stuck key holds back. None while the log's end is unknown."""
    paused: bool
    """By command."""
    parked: Sequence[Parked]
    """The first of them, at most `PARKED_MAX`."""


@dataclass(frozen=True, slots=True)
class Latency:
    """From arrival to the acknowledged write, of recent batches."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Lanes:
    running: int
    ready: int
    limit: int
    deferred: int
    """Waiting for a time: a retry, a batch that may grow, facts that are behind, an open breaker."""
    breaker_open: bool


@dataclass(frozen=True, slots=True)
class Counters:
    """Since the engine's start; events of repeated epochs count again."""

    consumed: int
    counted: int
    unmetered: int
    duplicates_dropped: int
    dead_lettered: int
    calls: int
    unanswered: int
    rejected: int
    refused: dict[str, int]
    effects: int
    retries: int
    rebalances: int


@dataclass(frozen=True, slots=True)
class Statistics:
    worker: str
    time_ms: int
    durability: str
    counters: Counters
    latency_ms: Latency | None
    lanes: Lanes
    partitions: Sequence[PartitionStatistics]


class LatencySamples:
    """Arrival-to-written times of the first and last event of recent writes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: deque[int] = deque(maxlen=SAMPLES_MAX)

    def add(self, prepared: Sequence[Prepared]) -> None:
        """These were written just now."""
        if prepared:
            now_ms = self._clock.now_ms()
            self._samples.append(now_ms - prepared[0][0].timestamp)
            self._samples.append(now_ms - prepared[-1][0].timestamp)

    def summary(self) -> Latency | None:
        if not self._samples:
            return None
        ordered = sorted(self._samples)
        return Latency(p50=ordered[len(ordered) // 2], p99=ordered[len(ordered) * 99 // 100])


def describe_partition(partition: Partition, topic: str, end: int | None, now_ms: int) -> PartitionStatistics:
    ledger = partition.ledger
    intake = partition.intake if ledger is not None else None
    oldest = ledger.oldest() if ledger is not None else None
    return PartitionStatistics(
        topic=topic,
        partition=partition.number,
        state=_state(partition, intake),
        position=ledger.position if ledger is not None else None,
        watermark=ledger.done_offset() if ledger is not None else None,
        end=end,
        in_flight=intake.in_flight.events if intake is not None else 0,
        in_flight_bytes=intake.in_flight.payload_bytes if intake is not None else 0,
        oldest_in_flight_ms=oldest.timestamp if oldest is not None else None,
        held_back_by=_held_back_by(partition, intake, oldest, end, now_ms),
        epochs=partition.epochs,
        unstarted=_unstarted(intake, end) if intake is not None else None,
        paused=partition.paused,
        parked=_parked(intake) if intake is not None else (),
    )


def _state(partition: Partition, intake: Intake | None) -> str:
    """`paused` is by command, or because the limit of what is in flight is reached."""
    waits = intake is not None and partition.reads and (partition.paused or intake.in_flight.full)
    return "paused" if waits else partition.phase.value


def _unstarted(intake: Intake, end: int | None) -> int | None:
    return None if end is None else max(0, end - intake.ledger.position) + intake.ready_events


def _parked(intake: Intake) -> Sequence[Parked]:
    parked = [lane for lane in intake.lanes.held if lane.parked]
    return tuple(
        Parked(lane.events[0].offset, key_hash(lane.events[0].key), len(lane.events), lane.reason)
        for lane in parked[:PARKED_MAX]
    )


def _held_back_by(
    partition: Partition, intake: Intake | None, oldest: Event | None, end: int | None, now_ms: int
) -> HeldBack | None:
    if partition.halted is not None:
        return HeldBack(offset=-1, key_hash="", age_s=0.0, attempts=0, reason=partition.halted)
    if intake is None:
        return None
    if oldest is None:
        waits = partition.paused and end is not None and end > intake.ledger.position
        return HeldBack(intake.ledger.position, "", 0.0, 0, PAUSED) if waits else None
    lane = intake.lane_of(oldest)
    return HeldBack(
        offset=oldest.offset,
        key_hash=key_hash(oldest.key),
        age_s=max(0, now_ms - oldest.timestamp) / 1000,
        attempts=lane.attempts if lane else 0,
        reason=intake.why(lane) if lane else partition.waits_for_write,
    )
