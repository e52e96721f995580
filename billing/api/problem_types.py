"""The table of everything that can go wrong with a request: what it is called and what to do about it.

A slug is stable: programs go by it. `example` is a `detail` as it may stand in an answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PAGE = "/problems"
"""Where the table is served, by every process that answers with problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemType:
    """`retry_after_s`: sent as `Retry-After`; None where asking again the same way does not help."""

    slug: str
    status: int
    title: str
    advice: str
    example: str
    errors: tuple[Mapping[str, Any], ...] = ()
    """Examples of entries of `errors`; empty where there are none."""
    retry_after_s: int | None = None

    @property
    def uri(self) -> str:
        return f"{PAGE}#{self.slug}"


# ------------------------------------------------------------------ the request
INVALID_EVENTS = ProblemType(
    slug="invalid-events",
    status=422,
    title="Events cannot be counted",
    advice="Nothing was written. Mend or leave out what `errors` names by index and field, then send all of it again.",
    example="1 of 2 events cannot be counted; nothing was written",
    errors=({"index": 1, "field": "data.tokens", "problem": "is missing"},),
)
INVALID_BODY = ProblemType(
    slug="invalid-body",
    status=422,
    title="The body cannot be read",
    advice="Send JSON in UTF-8, of the shape that the API describes. `errors` says where reading stopped.",
    example="the body is not JSON: Input data was truncated",
    errors=({"index": None, "field": "", "problem": "Input data was truncated"},),
)
INVALID_PARAMETER = ProblemType(
    slug="invalid-parameter",
    status=422,
    title="A parameter cannot be used",
    advice="`errors` names the parameter and what it must be. A cursor goes with the order in which it was told.",
    example="limit: must be a whole number from 1 to 1000",
    errors=({"field": "limit", "problem": "must be a whole number from 1 to 1000"},),
)
TOO_MANY_ROWS = ProblemType(
    slug="too-many-rows",
    status=422,
    title="The answer would be too long",
    advice="Ask for less: narrow `from` and `to`, take a wider `window`, or name fewer groups in `group_by`.",
    example="window: more than 10,000 rows: narrow it by from, to or group_by",
    errors=({"field": "window", "problem": "more than 10,000 rows: narrow it by from, to or group_by"},),
)
REQUEST_TOO_LARGE = ProblemType(
    slug="request-too-large",
    status=413,
    title="The request is too large",
    advice="Nothing was written. Send fewer events at once: at most BILLING_REQUEST_BYTES_MAX bytes a request.",
    example="the request is larger than BILLING_REQUEST_BYTES_MAX allows",
)
TOO_MANY_EVENTS = ProblemType(
    slug="too-many-events",
    status=413,
    title="Too many events in one request",
    advice="Nothing was written. Send at most BILLING_REQUEST_EVENTS_MAX events a request.",
    example="1001 events in one request; at most 1000 are taken",
)
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    slug="unsupported-media-type",
    status=415,
    title="The content type is not taken",
    advice="Send JSON, uncompressed, with one of the content types that the answer names.",
    example="content type text/plain: send one of application/cloudevents+json, application/json",
)
NOT_ACCEPTABLE = ProblemType(
    slug="not-acceptable",
    status=406,
    title="No such representation",
    advice="Ask with Accept: application/json, or text/csv where the API describes a table.",
    example="Accept: image/png: there are application/json and text/csv",
)
BAD_REQUEST = ProblemType(
    slug="bad-request",
    status=400,
    title="The request cannot be understood",
    advice="Compare it with the description of the API at /docs.",
    example="the request cannot be understood",
)
METHOD_NOT_ALLOWED = ProblemType(
    slug="method-not-allowed",
    status=405,
    title="The address does not take this method",
    advice="`Allow` names those that it takes.",
    example="Method Not Allowed",
)

# ------------------------------------------------------------------ what is not there
NOT_FOUND = ProblemType(
    slug="not-found",
    status=404,
    title="There is nothing at this address",
    advice="All addresses are at /docs. A part of an address must be percent-encoded.",
    example="Not Found",
)
UNKNOWN_CUSTOMER = ProblemType(
    slug="unknown-customer",
    status=404,
    title="Nobody knows this customer",
    advice="A customer is known once the catalog or a counted event names it. Check the spelling; if its events were "
    "sent just now, ask again when they are counted.",
    example="neither the catalog nor any event names the customer 'acne'",
)
CURSOR_LOST = ProblemType(
    slug="cursor-lost",
    status=410,
    title="What follows the cursor is no longer kept",
    advice="Begin again without the cursor. Alerts older than the newest BILLING_ALERTS_KEPT_MAX are in their topic.",
    example="alerts behind this cursor are no longer kept: begin again without since",
)
KEY_NOT_PARKED = ProblemType(
    slug="key-not-parked",
    status=404,
    title="This worker has not parked that key",
    advice="`/v1/statistics` of each worker lists what it has parked; the key may be another worker's, or released.",
    example="this worker has not parked that key",
)
INVALID_SETTINGS = ProblemType(
    slug="invalid-settings",
    status=422,
    title="Settings cannot be changed so",
    advice="Nothing was changed. `errors` names every setting and what it must be.",
    example="nothing was changed",
    errors=({"field": "ENGINE_CONCURRENCY", "problem": "ENGINE_CONCURRENCY is 0: must be above 0"},),
)

# ------------------------------------------------------------------ not now
TOO_MANY_REQUESTS = ProblemType(
    slug="too-many-requests",
    status=429,
    title="Too many requests are under way",
    advice="Nothing was written. Send the same events again after Retry-After; that is always safe.",
    example="64 requests are under way, BILLING_REQUESTS_MAX allows no more",
    retry_after_s=1,
)
TOO_MANY_STREAMS = ProblemType(
    slug="too-many-streams",
    status=503,
    title="Too many streams are open",
    advice="Try again after Retry-After, ask with GET meanwhile, or raise BILLING_VIEWERS_MAX.",
    example="as many streams are open as BILLING_VIEWERS_MAX allows",
    retry_after_s=5,
)
NOT_READY = ProblemType(
    slug="not-ready",
    status=503,
    title="The process is not ready",
    advice="Ask again after Retry-After. `/readyz` names what it waits for; without a catalog it says which command "
    "registers one.",
    example="not ready: no catalog is registered yet",
    retry_after_s=1,
)
KAFKA_AWAY = ProblemType(
    slug="kafka-away",
    status=503,
    title="Kafka does not answer",
    advice="Ask or send again after Retry-After. Events that were not acknowledged may be in the log all the same: "
    "sending them again is always safe.",
    example="Kafka has not acknowledged the events; send them again, which is always safe",
    retry_after_s=1,
)
REDIS_AWAY = ProblemType(
    slug="redis-away",
    status=503,
    title="Redis does not answer",
    advice="Ask again after Retry-After. Nothing is lost: events are taken meanwhile and counted afterwards.",
    example="Redis does not answer at the moment; nothing is lost, ask again",
    retry_after_s=1,
)
INTERNAL_ERROR = ProblemType(
    slug="internal-error",
    status=500,
    title="The server failed",
    advice="The failure is in the log of the process. Sending events again is always safe.",
    example="the server failed; the failure is in its log",
)

PROBLEM_TYPES: Mapping[str, ProblemType] = {
    kind.slug: kind
    for kind in (
        INVALID_EVENTS, INVALID_BODY, INVALID_PARAMETER, TOO_MANY_ROWS, REQUEST_TOO_LARGE, TOO_MANY_EVENTS,
        UNSUPPORTED_MEDIA_TYPE, NOT_ACCEPTABLE, BAD_REQUEST, METHOD_NOT_ALLOWED, NOT_FOUND, UNKNOWN_CUSTOMER,
        CURSOR_LOST, KEY_NOT_PARKED, INVALID_SETTINGS, TOO_MANY_REQUESTS, TOO_MANY_STREAMS, NOT_READY, KAFKA_AWAY,
        REDIS_AWAY, INTERNAL_ERROR,
    )
}  # fmt: skip
"""By slug."""
