"""`GET /v1/alerts`: from memory, in pages."""

from typing import Annotated, Any

from litestar import get

from billing.api.alert_feed import CursorLost
from billing.api.described import described
from billing.api.parameters import OfCustomer, cursor, number, parameter, read_choice, read_limit
from billing.api.problem_types import CURSOR_LOST, NOT_READY
from billing.api.problems import Problem, invalid
from billing.api.ranks import CursorInvalid
from billing.api.services import Services
from billing.api.shapes import AlertsAnswer
from billing.api.tables import ALERTS

PAGE_MAX = 100


def alert_routes(services: Services) -> list[Any]:
    """The route handlers for alerts."""

    @get("/v1/alerts", opt=described(AlertsAnswer, "alerts", NOT_READY, CURSOR_LOST, table=ALERTS))
    async def alerts(
        customer: OfCustomer = None,
        since: Annotated[str | None, cursor("since")] = None,
        order: Annotated[str | None, parameter("time: oldest first", enum=["time", "-time"], default="time")] = None,
        limit: Annotated[str | None, number("how many alerts at most", most=PAGE_MAX, default=PAGE_MAX)] = None,
    ) -> dict[str, Any]:
        """Alerts that were raised, each once, whatever was replayed."""
        newest_first = read_choice("order", order, frozenset({"time", "-time"})) == "-time"
        count = read_limit(limit, default=PAGE_MAX, most=PAGE_MAX)
        if not services.feed.complete.is_set():
            raise Problem(NOT_READY, "not ready: the alerts so far are still being read")
        find = services.feed.before if newest_first else services.feed.after
        try:
            page = find(since, customer=customer or None, limit=count)
        except CursorInvalid as error:
            raise invalid("since", "must be the next of an earlier answer in the same order") from error
        except CursorLost as error:
            raise Problem(CURSOR_LOST, CURSOR_LOST.example) from error
        return {"data": [alert.content for alert in page.alerts], "next": page.next}

    return [alerts]
