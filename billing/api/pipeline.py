"""`/v1/pipeline`, `/v1/overview` and dead letters: does it keep up, what holds it back, what was rejected."""

from typing import Annotated, Any

from litestar import get

from billing.api.described import described
from billing.api.parameters import OfCustomer, cursor, number, read_limit
from billing.api.pipeline_shapes import HistoryAnswer, OverviewAnswer, PipelineAnswer
from billing.api.problem_types import NOT_READY
from billing.api.problems import Problem, invalid
from billing.api.ranks import CursorInvalid
from billing.api.services import Services
from billing.api.shapes import LettersAnswer
from billing.api.stream import describe_pipeline
from billing.api.tables import LETTERS
from billing.domain.timestamps import time_text
from billing.status import HISTORY_S

LETTERS_MAX = 500


def pipeline_routes(services: Services) -> list[Any]:
    """The route handlers for operators."""

    @get("/v1/pipeline", opt=described(PipelineAnswer, "pipeline", NOT_READY))
    async def pipeline() -> dict[str, Any]:
        """Every partition of the topic, owned or not, and how far counting has come in it."""
        await services.status.fresh()
        if not services.status.partition_count:
            raise Problem(NOT_READY, "nothing is known of the topic yet: Kafka has not answered")
        return describe_pipeline(services)

    @get("/v1/pipeline/history", opt=described(HistoryAnswer, "pipeline-history"))
    async def history(
        seconds: Annotated[str | None, number("how far back", most=HISTORY_S, default=HISTORY_S)] = None,
    ) -> dict[str, Any]:
        """One entry a second, oldest first: events that came and were counted, and the lag."""
        count = read_limit(seconds, default=HISTORY_S, most=HISTORY_S, name="seconds")
        data = [
            {"time": time_text(line["time_ms"] * 1_000)} | {name: line[name] for name in line if name != "time_ms"}
            for line in services.status.history(count)
        ]
        return {"data": data}

    @get("/v1/overview", opt=described(OverviewAnswer, "overview"))
    async def overview() -> dict[str, Any]:
        """Everything at a glance; amounts by currency, never added up across them."""
        snapshot = await services.standings.fresh()
        counters = dict(services.status.counters)
        lag = services.status.lag()
        accepted = None if lag is None else sum(counters.values()) + lag
        return {
            "currencies": snapshot.currencies(),
            "events": {"per_s": services.status.events_per_s(), "accepted": accepted, "in_flight": lag} | counters,
            "audit": services.last_audit,
            "catalog": _catalog(services),
            "freshness_s": services.status.freshness_s(),
            "as_of": time_text(snapshot.as_of_ms * 1_000) if snapshot.as_of_ms else None,
        }

    @get("/v1/dead-letters", opt=described(LettersAnswer, "dead-letters", table=LETTERS))
    async def dead_letters(
        customer: OfCustomer = None,
        since: Annotated[str | None, cursor("since")] = None,
        limit: Annotated[str | None, number("how many letters at most", most=LETTERS_MAX, default=50)] = None,
    ) -> dict[str, Any]:
        """Events that can never count and why, newest first; `groups` counts them by error."""
        count = read_limit(limit, default=50, most=LETTERS_MAX)
        try:
            return services.letters.page(customer=customer, before=since or None, limit=count)
        except CursorInvalid as error:
            raise invalid("since", "must be the next of an earlier answer") from error

    return [pipeline, history, overview, dead_letters]


def _catalog(services: Services) -> dict[str, Any] | None:
    if not services.facts.version:
        return None
    catalog = services.facts.catalog
    return {
        "version": services.facts.version,
        "registered": time_text(services.facts.registered_ms * 1_000),
        "differs": services.catalog_differs(),
        "meters": len(catalog.meters),
        "plans": len(catalog.plans),
        "customers": len(catalog.customers),
    }
