"""`/v1/customers`: all customers in their current period, in pages."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from litestar import get

from billing.api.cursors import place_text, read_place
from billing.api.customers import require_facts
from billing.api.described import described
from billing.api.parameters import State, cursor, number, parameter, read_choice, read_limit
from billing.api.problem_types import NOT_READY, REDIS_AWAY
from billing.api.problems import Problem, invalid
from billing.api.services import Services
from billing.api.shapes import CustomersAnswer
from billing.api.tables import CUSTOMERS
from billing.domain.timestamps import time_text
from billing.standings import STATES, Place, Row, by_share, by_spend, matches

ORDERS: Mapping[str, Callable[[Row], Place]] = {"-spend": by_spend, "-limit_share": by_share}
PAGE_MAX = 1_000

Text = str | None


def list_route(services: Services) -> Any:
    """The route handler for the list of customers."""

    @get("/v1/customers", opt=described(CustomersAnswer, "customers", NOT_READY, REDIS_AWAY, table=CUSTOMERS))
    async def customers(
        order: Annotated[Text, parameter("greatest first", enum=sorted(ORDERS), default="-spend")] = None,
        limit: Annotated[Text, number("how many customers at most", most=PAGE_MAX, default=50)] = None,
        after: Annotated[Text, cursor("after")] = None,
        currency: Annotated[Text, parameter("only of this currency, ISO 4217", example="USD")] = None,
        standing: State = None,
        q: Annotated[Text, parameter("a part of the name, in any case", example="acm")] = None,
    ) -> dict[str, Any]:
        """All customers in their current period. Amounts of different currencies are never compared."""
        require_facts(services)
        by = read_choice("order", order, frozenset(ORDERS)) or "-spend"
        behind = None if after is None else read_place(after, by)
        count = read_limit(limit, default=50, most=PAGE_MAX)
        wanted = read_choice("state", standing, STATES)
        snapshot = await services.standings.fresh()
        if not snapshot.as_of_ms:
            raise Problem(NOT_READY, "not ready: Redis was not read yet")
        rows = [row for row in snapshot.rows if matches(row, state=wanted, currency=currency, search=q)]
        rows.sort(key=ORDERS[by])
        page, following = _page(rows, by, behind, count)
        data = [row.as_json() | {"last_event": await _last_event(services, row)} for row in page]
        return {"data": data, "next": following, "as_of": time_text(snapshot.as_of_ms * 1_000)}

    return customers


async def _last_event(services: Services, row: Row) -> str | None:
    arrival_ms = await services.store.last_arrival_ms(row.customer.id)
    return None if arrival_ms is None else time_text(arrival_ms * 1_000)


def _page(rows: list[Row], order: str, behind: Place | None, count: int) -> tuple[list[Row], str | None]:
    """The rows behind a place: as they stand now, since a row may have moved since the place was told."""
    first = 0
    if behind is not None:
        try:
            first = bisect_right(rows, behind, key=ORDERS[order])
        except TypeError as error:
            raise invalid("after", "must be the next of an earlier answer") from error
    page = rows[first : first + count]
    more = first + count < len(rows)
    return page, place_text(order, ORDERS[order](page[-1])) if more and page else None
