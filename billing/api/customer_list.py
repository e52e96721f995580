"""`/v1/customers`: all customers in their current period, in pages."""

from functools import partial
from typing import Annotated, Any

from litestar import get

from billing.api.customers import require_facts
from billing.api.described import described
from billing.api.parameters import State, cursor, number, parameter, read_choice, read_limit
from billing.api.problem_types import NOT_READY, REDIS_AWAY
from billing.api.problems import Problem, invalid
from billing.api.ranks import CursorInvalid
from billing.api.services import Services
from billing.api.shapes import CustomersAnswer
from billing.api.tables import CUSTOMERS
from billing.api.walks import ORDERS, Moments, read_page
from billing.domain.timestamps import instant_text, time_text
from billing.rows import STATES, Row, matches

PAGE_MAX = 1_000

Text = str | None


def list_route(services: Services) -> Any:
    """The route handler for the list of customers."""
    moments = Moments()

    @get("/v1/customers", opt=described(CustomersAnswer, "customers", NOT_READY, REDIS_AWAY, table=CUSTOMERS))
    async def customers(
        order: Annotated[Text, parameter("-: greatest first", enum=sorted(ORDERS), default="-spend")] = None,
        limit: Annotated[Text, number("how many customers at most", most=PAGE_MAX, default=50)] = None,
        after: Annotated[Text, cursor("after")] = None,
        currency: Annotated[Text, parameter("only of this currency, ISO 4217", example="USD")] = None,
        standing: State = None,
        q: Annotated[Text, parameter("a part of the name, in any case", example="acm")] = None,
    ) -> dict[str, Any]:
        """All customers in their current period. Amounts of different currencies are never compared.

        Rows move while somebody pages: by spend or share, a walk through the pages is of the moment at which it began,
        as long as `as_of` stays the same; by customer, every page is of now and no row ever moves.
        """
        require_facts(services)
        by = read_choice("order", order, frozenset(ORDERS)) or "-spend"
        count = read_limit(limit, default=50, most=PAGE_MAX)
        wanted = read_choice("state", standing, STATES)
        snapshot = await services.standings.fresh()
        if not snapshot.as_of_ms:
            raise Problem(NOT_READY, "not ready: Redis was not read yet")
        chosen = partial(matches, state=wanted, currency=currency, search=q)
        try:
            page = read_page(snapshot, moments, by, after or None, count, chosen)
        except CursorInvalid as error:
            raise invalid("after", "must be the next of an earlier answer in the same order") from error
        data = [
            row.as_json()
            | {"resets_at": instant_text(row.period.end_s), "last_event": await _last_event(services, row)}
            for row in page.rows
        ]
        return {"data": data, "next": page.next, "as_of": time_text(page.as_of_ms * 1_000)}

    return customers


async def _last_event(services: Services, row: Row) -> str | None:
    arrival_ms = await services.store.last_arrival_ms(row.customer.id)
    return None if arrival_ms is None else time_text(arrival_ms * 1_000)
