"""The shapes of answers, from which their JSON schemas follow. A member is always there unless it is marked otherwise.

Members may be added later: readers leave out what they do not know.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

Decimal = Annotated[
    str, Meta(pattern=r"^-?[0-9]+(\.[0-9]{1,12})?$", description="A plain decimal, exact, without exponent.")
]
Time = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$",
        description="RFC 3339, in UTC.",
        extra_json_schema={"format": "date-time"},
    ),
]
Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
LagS = Annotated[
    Seconds | None,
    Meta(description="An upper bound for the age of accepted events that are not in the answer; null: not known."),
]
Freshness = Annotated[
    Seconds | None, Meta(description="An upper bound for the age of any event that is not counted; null: not known.")
]
Next = Annotated[str | None, Meta(description="The cursor of the next page, opaque; null at the end.")]
Groups = Annotated[dict[str, str], Meta(description="Names of groups and their values; absent ones are summed over.")]
Currency = Annotated[str | None, Meta(description="ISO 4217; null for customers without prices.")]


class Accepted(TypedDict):
    accepted: Annotated[int, Meta(ge=0, description="Events that the broker has acknowledged.")]


class Span(TypedDict):
    """Half-open: `start` is in it, `end` is not."""

    start: Time
    end: Time


class Reading(TypedDict):
    """Whose days these are, and how old what was read may be."""

    time_zone: str
    as_of: Time
    lag_s: LagS


# ------------------------------------------------------------------ one customer
class UsageRow(Span):
    group: Groups
    value: Decimal


class UsageAnswer(Reading):
    customer: str
    meter: str
    window: Literal["hour", "day", "month", "total"]
    data: list[UsageRow]


class SpendLine(TypedDict):
    rate: str
    meter: str
    group: Annotated[dict[str, str], Meta(description="The groups that the rate prices; empty: all.")]
    quantity: Decimal
    amount: Decimal
    rate_text: Annotated[str, Meta(description="The price in words.")]


class UnpricedLine(TypedDict):
    meter: str
    group: dict[str, str]
    quantity: Decimal


class ThresholdLine(TypedDict):
    rule: str
    amount: Decimal


class SpendAnswer(Reading):
    customer: str
    period: Span
    plan: str | None
    currency: Currency
    lines: list[SpendLine]
    unpriced: Annotated[list[UnpricedLine], Meta(description="Metered, and priced by no rate.")]
    total: Decimal | None
    credits_applied: Decimal | None
    limit: Decimal | None
    thresholds: list[ThresholdLine]
    projected: Annotated[
        Decimal | None, Meta(description="At the pace so far; null before a day or 5 % of the period, and afterwards.")
    ]
    resets_at: Time


class SeriesRow(Span):
    rate: str
    amount: Annotated[Decimal, Meta(description="The line at the window's end less that at its start; may fall.")]


class SeriesAnswer(Reading):
    customer: str
    currency: Currency
    data: list[SeriesRow]
    total: Decimal | None


class AccessAnswer(Reading):
    customer: str
    allowed: bool
    reason: Annotated[str, Meta(description="within limit, limit reached, no limit or not priced.")]
    spend: Decimal | None
    limit: Decimal | None
    remaining: Decimal | None
    currency: Currency
    resets_at: Time


class EventRow(TypedDict):
    arrival: Time
    partition: Count
    offset: Count
    outcome: Literal["counted", "duplicate", "rejected", "unmetered", "pending"]
    error: Annotated[str | None, Meta(description="Why it was rejected.")]
    meters: list[str]
    id: str | None
    type: str | None
    time: Time | None


class EventsAnswer(TypedDict):
    data: list[EventRow]


# ------------------------------------------------------------------ all customers, alerts, letters
class CustomerRow(TypedDict):
    customer: str
    plan: str | None
    spend: Decimal | None
    currency: Currency
    limit: Decimal | None
    limit_share: Annotated[Decimal | None, Meta(description="Of the limit; 1 is all of it. Null without a limit.")]
    allowed: bool
    time_zone: str
    resets_at: Annotated[Time, Meta(description="When the next period begins, and access opens again.")]
    last_event: Annotated[Time | None, Meta(description="Arrival of the newest counted event.")]


class CustomersAnswer(TypedDict):
    data: list[CustomerRow]
    next: Next
    as_of: Time


class AlertRow(TypedDict):
    """Other types may come: readers go by `type`."""

    id: Annotated[str, Meta(description="Follows from type, customer, rule, group and period.")]
    type: str
    customer: str
    period: Span
    rule: Annotated[str, Meta(description="The threshold as configured.")]
    threshold: Decimal
    spend: Decimal
    limit: NotRequired[Decimal | None]
    currency: str
    time: Time
    latency_s: NotRequired[
        Annotated[
            Seconds | None, Meta(description="From the arrival of the events that led to it; null: not known any more.")
        ]
    ]


class AlertsAnswer(TypedDict):
    data: list[AlertRow]
    next: Next


class LetterRow(TypedDict):
    time: Time
    customer: str
    error: str
    attempts: Annotated[int, Meta(ge=-1, description="-1 where the letter does not say; so are the numbers below.")]
    topic: str
    partition: Annotated[int, Meta(ge=-1)]
    offset: Annotated[int, Meta(ge=-1)]
    event_id: str | None


class LetterGroup(TypedDict):
    error: str
    count: Count


class LettersAnswer(TypedDict):
    data: list[LetterRow]
    groups: list[LetterGroup]
    next: Next


# ------------------------------------------------------------------ the process
class Health(TypedDict):
    status: Literal["alive"]


class Readiness(TypedDict):
    ready: bool
    waiting_for: list[str]
    warnings: list[str]
    catalog_version: Count
    broker: dict[str, bool] | None


# ------------------------------------------------------------------ what comes in, and what goes wrong
class UsageEventBody(TypedDict):
    """A CloudEvent 1.0, structured, at most 256 KiB. Its identity is (source, id) within its subject."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1, max_length=512)]
    source: Annotated[str, Meta(min_length=1, max_length=512)]
    type: Annotated[str, Meta(min_length=1)]
    subject: Annotated[str, Meta(min_length=1, max_length=256, description="The customer.")]
    time: NotRequired[Annotated[str, Meta(description="RFC 3339; the arrival if absent.")]]
    data: NotRequired[Annotated[dict[str, Any], Meta(description="What meters read.")]]


class ProblemEntry(TypedDict):
    index: NotRequired[Annotated[int | None, Meta(description="Of the event in the request.")]]
    field: str | None
    problem: str


class ProblemAnswer(TypedDict):
    """Problem details (RFC 9457)."""

    type: Annotated[str, Meta(description="Leads to the description of the problem; programs go by it.")]
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    errors: NotRequired[list[ProblemEntry]]
