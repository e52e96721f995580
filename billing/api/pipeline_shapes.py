"""The shapes of answers about the pipeline; see `shapes`."""

from typing import Annotated, Literal, TypedDict

from msgspec import Meta

from billing.api.shapes import Count, Decimal, Freshness, LagS, Seconds, Time


class HeldBackBy(TypedDict):
    offset: int
    key_hash: str
    age_s: float
    attempts: int
    reason: str


class ParkedKey(TypedDict):
    offset: int
    key_hash: str
    events: Count
    reason: str


class PartitionRow(TypedDict):
    topic: str
    partition: Count
    worker: str | None
    state: Annotated[str, Meta(description="running, paused, recovering, draining, unassigned, …")]
    lag: Annotated[Count | None, Meta(description="end - watermark; null: not known.")]
    lag_s: LagS
    in_flight: Count
    oldest_in_flight_s: Seconds | None
    watermark: Count | None
    end: Count | None
    held_back_by: HeldBackBy | None
    unstarted: Count | None
    paused: bool
    parked: Annotated[list[ParkedKey], Meta(description="Keys that wait for an operator, the first of them.")]


class Latency(TypedDict):
    p50: float | None
    p99: float | None


class LaneCounts(TypedDict):
    running: Count
    ready: Count
    deferred: Count
    limit: Count
    breaker_open: bool


class Counters(TypedDict):
    counted: Count
    unmetered: Count
    duplicates_dropped: Count
    dead_lettered: Count


class PipelineAnswer(TypedDict):
    partitions: list[PartitionRow]
    workers: Count
    events_per_s: Seconds
    in_per_s: float | None
    freshness_s: Freshness
    lag: Count | None
    latency_s: Latency
    lanes: LaneCounts
    counters: Counters
    durability: str | None
    problems: Annotated[list[str], Meta(description="What could not be asked just now, and why.")]
    as_of: Time


class HistoryRow(TypedDict):
    time: Time
    in_per_s: float | None
    events_per_s: Seconds
    lag: Count | None
    lag_s: Seconds | None


class HistoryAnswer(TypedDict):
    data: list[HistoryRow]


class CurrencyTotals(TypedDict):
    currency: str
    spend: Decimal
    customers: Count
    at_limit: Count
    near_limit: Count


class EventTotals(Counters):
    per_s: Seconds
    accepted: Count | None
    in_flight: Count | None


class AuditResult(TypedDict):
    audit: Literal["equal", "different", "unknown"]
    time: Time
    events: Count
    cells: Count


class CatalogState(TypedDict):
    version: Count
    registered: Time
    differs: Annotated[bool, Meta(description="The configured file says something else than what is registered.")]
    meters: Count
    plans: Count
    customers: Count


class OverviewAnswer(TypedDict):
    currencies: list[CurrencyTotals]
    events: EventTotals
    audit: AuditResult | None
    catalog: CatalogState | None
    freshness_s: Freshness
    as_of: Time | None
