"""What the engine says of itself: frozen records, made when somebody asks."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import xxhash

from engine.event import Event
from engine.ports import Clock
from engine.runtime.intake import Intake
from engine.runtime.partition import Partition
from engine.state.slices import Prepared

SAMPLES_MAX = 2_048


@dataclass(frozen=True, slots=True)
class HeldBack:
    """The event that a partition's watermark waits for."""

    offset: int
    key_hash: str
    """Of the key, since keys are the customer's: xxh3_64 in hexadecimal, as for buckets."""
    age_s: float
    attempts: int
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
    ledger, intake = partition.ledger, partition.intake
    live = ledger is not None and intake is not None
    oldest = ledger.oldest() if ledger is not None else None
    return PartitionStatistics(
        topic=topic,
        partition=partition.number,
        state="paused" if live and intake is not None and intake.in_flight.full else partition.phase.value,
        position=ledger.position if ledger is not None else None,
        watermark=ledger.done_offset() if ledger is not None else None,
        end=end,
        in_flight=intake.in_flight.events if live and intake is not None else 0,
        in_flight_bytes=intake.in_flight.payload_bytes if live and intake is not None else 0,
        oldest_in_flight_ms=oldest.timestamp if oldest is not None else None,
        held_back_by=_held_back_by(partition, intake, oldest, now_ms),
        epochs=partition.epochs,
    )


def _held_back_by(partition: Partition, intake: Intake | None, oldest: Event | None, now_ms: int) -> HeldBack | None:
    if partition.halted is not None:
        return HeldBack(offset=-1, key_hash="", age_s=0.0, attempts=0, reason=partition.halted)
    if oldest is None or intake is None:
        return None
    lane = intake.lanes.find(oldest.key or b"")
    return HeldBack(
        offset=oldest.offset,
        key_hash=xxhash.xxh3_64_hexdigest(oldest.key or b""),
        age_s=max(0, now_ms - oldest.timestamp) / 1000,
        attempts=lane.attempts if lane else 0,
        reason=lane.reason if lane else "waiting for its write",
    )
