"""`/v1/customers/{id}`: usage, spend, access and recent events of one customer."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, cast

from litestar import get

from billing.api import tables
from billing.api.described import described
from billing.api.parameters import (
    CustomerId,
    From,
    Period,
    To,
    number,
    parameter,
    read_choice,
    read_customer_id,
    read_instant_s,
    read_limit,
)  # fmt: skip
from billing.api.problem_types import KAFKA_AWAY, NOT_READY, REDIS_AWAY, TOO_MANY_ROWS, UNKNOWN_CUSTOMER
from billing.api.problems import Problem, invalid
from billing.api.recent import OUTCOMES
from billing.api.services import Mark, Services
from billing.api.shapes import AccessAnswer, EventsAnswer, SeriesAnswer, SpendAnswer, UsageAnswer
from billing.api.tables import read_names
from billing.domain.customers import Customer
from billing.domain.money import amount_text, plain, round_amount
from billing.domain.periods import Window, WindowKind
from billing.domain.plans import Plan
from billing.domain.rate_words import rate_text
from billing.domain.spend import Line, Spend, Unpriced
from billing.domain.timestamps import instant_text
from billing.store import ROWS_MAX, Statement, TooManyRows, UsageWindow, access_of
from engine import Unanswered

WINDOWS = frozenset({"hour", "day", "month", "total"})
SERIES_WINDOWS = frozenset({"hour", "day"})
DAY_S = 86_400
EVENTS_MAX = 200
END_UNREAD = "the end of the log cannot be read at the moment, Kafka does not answer; ask again"
OF_CUSTOMER = (NOT_READY, UNKNOWN_CUSTOMER, REDIS_AWAY)
"""What an answer about one customer can meet."""

Text = str | None


async def find_customer(services: Services, part: str) -> Customer:
    """The customer that a part of the address names. Raises Problem 404."""
    require_facts(services)
    customer_id = read_customer_id(part)
    customer = await services.store.find_customer(customer_id)
    if customer is None:
        raise Problem(UNKNOWN_CUSTOMER, f"neither the catalog nor any event names the customer {customer_id!r}")
    return customer


def require_facts(services: Services) -> None:
    """Raises Problem 503 while no catalog is known."""
    if not services.facts.version:
        raise Problem(NOT_READY, "not ready: no catalog is registered yet")


def customer_routes(services: Services) -> list[Any]:  # noqa: PLR0915 - one function a route
    """The route handlers for one customer."""

    @get(
        "/v1/customers/{customer_id:str}/usage",
        opt=described(UsageAnswer, "usage", *OF_CUSTOMER, TOO_MANY_ROWS, table=tables.USAGE, needs=("meter",)),
    )
    async def usage(
        customer_id: CustomerId,
        meter: Annotated[Text, parameter("the meter's name", example="tokens")] = None,
        start: From = None,
        end: To = None,
        window: Annotated[Text, parameter("what a row covers", enum=sorted(WINDOWS), default="total")] = None,
        group_by: Annotated[Text, parameter("names of groups, separated by commas", example="model")] = None,
    ) -> dict[str, Any]:
        """What a customer used: one row a window and group; empty windows are left out."""
        customer = await find_customer(services, customer_id)
        kind = cast("UsageWindow", read_choice("window", window, WINDOWS) or "total")
        names = _read_groups(services, meter, group_by)
        mark = await services.mark(customer)
        span = _read_span(customer, kind, start, end, mark.made_s)
        try:
            rows = await services.store.usage(customer, meter or "", span, kind, names)
        except TooManyRows as error:
            text = f"more than {ROWS_MAX:,} rows: narrow it by from, to or group_by"
            raise invalid("window", text, TOO_MANY_ROWS) from error
        data = [
            {
                "start": instant_text(row.window.start_s),
                "end": instant_text(row.window.end_s),
                "group": row.group,
                "value": plain(row.value),
            }
            for row in rows
        ]
        return {"customer": customer.id, "meter": meter, "window": kind, "data": data} | _closing(customer, mark)

    @get("/v1/customers/{customer_id:str}/spend", opt=described(SpendAnswer, "spend", *OF_CUSTOMER, table=tables.SPEND))
    async def spend(customer_id: CustomerId, period: Period = None) -> dict[str, Any]:
        """What a customer spent in a month, line by line, as of one moment."""
        customer = await find_customer(services, customer_id)
        mark = await services.mark(customer)
        statement = await services.store.statement(customer, _read_period(customer, period, mark.made_s))
        return describe_spend(statement, mark.made_s) | _closing(customer, mark)

    @get(
        "/v1/customers/{customer_id:str}/spend/series",
        opt=described(SeriesAnswer, "spend-series", *OF_CUSTOMER, table=tables.SERIES),
    )
    async def series(
        customer_id: CustomerId,
        period: Period = None,
        window: Annotated[Text, parameter("what a row covers", enum=sorted(SERIES_WINDOWS), default="day")] = None,
    ) -> dict[str, Any]:
        """Spend by day or hour: a line at a window's end less that at its start, so rows add up to the total."""
        customer = await find_customer(services, customer_id)
        kind = cast("WindowKind", read_choice("window", window, SERIES_WINDOWS) or "day")
        mark = await services.mark(customer)
        month = _read_period(customer, period, mark.made_s)
        if customer.currency is None or not customer.priced:
            return {"customer": customer.id, "currency": None, "data": [], "total": None} | _closing(customer, mark)
        steps = await services.store.spend_by_window(customer, month, kind)
        total = amount_text(steps[-1][1].total, customer.currency)
        data = _differences(steps, customer.currency)
        return {"customer": customer.id, "currency": customer.currency, "data": data, "total": total} | _closing(
            customer, mark
        )

    @get("/v1/customers/{customer_id:str}/access", opt=described(AccessAnswer, "access", *OF_CUSTOMER))
    async def access(customer_id: CustomerId) -> dict[str, Any]:
        """May this customer go on, at this moment? Computed when asked."""
        customer = await find_customer(services, customer_id)
        mark = await services.mark(customer)
        period = customer.time_zone.month(mark.made_s)
        statement = await services.store.statement(customer, period)
        found = access_of(statement)
        return {
            "customer": customer.id,
            "allowed": found.allowed,
            "reason": found.reason,
            "spend": _amount(None if statement.spend is None else statement.spend.total, customer),
            "limit": _amount(found.limit, customer),
            "remaining": _amount(found.remaining, customer),
            "currency": customer.currency,
            "resets_at": instant_text(period.end_s),
        } | _closing(customer, mark)

    @get(
        "/v1/customers/{customer_id:str}/events",
        opt=described(EventsAnswer, "events", *OF_CUSTOMER, KAFKA_AWAY, table=tables.EVENTS),
    )
    async def events(
        customer_id: CustomerId,
        limit: Annotated[Text, number("how many events at most", most=EVENTS_MAX, default=50)] = None,
        outcome: Annotated[Text, parameter("only such", enum=sorted(OUTCOMES))] = None,
    ) -> dict[str, Any]:
        """The newest events of a customer and what became of them, as far as the end of the log shows."""
        customer = await find_customer(services, customer_id)
        chosen = read_choice("outcome", outcome, OUTCOMES)
        count = read_limit(limit, default=50, most=EVENTS_MAX)

        async def ask_reached() -> Mapping[int, int]:
            await services.status.fresh()
            return services.status.reached(services.bucket_of(customer.id))

        try:
            data = await services.recent.find(customer.id, ask_reached, outcome=chosen, limit=count)
        except Unanswered as error:
            raise Problem(KAFKA_AWAY, END_UNREAD) from error
        return {"data": data}

    return [usage, spend, series, access, events]


def _read_groups(services: Services, meter: str | None, group_by: str | None) -> list[str]:
    if not meter:
        raise invalid("meter", "is missing")
    versions = services.facts.history.meter_versions(meter)
    if not versions:
        raise invalid("meter", f"is {meter!r}, but there is no such meter")
    known = {name for version in versions for name in version.group_names}
    names = read_names(group_by)
    for name in names:
        if name not in known:
            has = f"has {', '.join(sorted(known))}" if known else "has no groups"
            raise invalid("group_by", f"names {name!r}, but the meter {has}")
    return names


def _read_span(customer: Customer, kind: UsageWindow, start: str | None, end: str | None, now_s: int) -> Window:
    month = customer.time_zone.month(now_s)
    edge: WindowKind = "hour" if kind == "total" else kind
    limits = []
    for name, text, default in (("from", start, month.start_s), ("to", end, month.end_s)):
        instant_s = default if text is None else read_instant_s(name, text)
        if not customer.time_zone.is_edge(edge, instant_s):
            zone = customer.time_zone.name
            raise invalid(name, f"must fall on the edge of {'an' if edge == 'hour' else 'a'} {edge} in {zone}")
        limits.append(instant_s)
    if limits[0] >= limits[1]:
        raise invalid("to", "must be after from")
    return Window(*limits)


def _read_period(customer: Customer, text: str | None, now_s: int) -> Window:
    if text is None:
        return customer.time_zone.month(now_s)
    try:
        return customer.time_zone.named_month(text)
    except ValueError as error:
        raise invalid("period", str(error)) from error


def describe_spend(statement: Statement, now_s: int) -> dict[str, Any]:
    """`GET …/spend`, but for when it was read."""
    customer, spend = statement.customer, statement.spend
    lines = []
    if spend is not None and customer.plan is not None:
        lines = [_line(line, customer.plan, spend.currency) for line in spend.lines]
    return {
        "customer": customer.id,
        "period": _period(statement.period),
        "plan": None if customer.plan is None else customer.plan.name,
        "currency": customer.currency,
        "lines": lines,
        "unpriced": [_unpriced(entry) for entry in statement.unpriced],
        "total": _amount(None if spend is None else spend.total, customer),
        "credits_applied": _amount(Decimal(0), customer),
        "limit": _amount(customer.limit, customer),
        "thresholds": [{"rule": item.rule, "amount": _amount(item.amount, customer)} for item in customer.thresholds],
        "projected": None if spend is None else _projected(spend, statement.period, now_s),
        "resets_at": instant_text(statement.period.end_s),
    }


def _line(line: Line, plan: Plan, currency: str) -> dict[str, Any]:
    rate = next(entry.rate for entry in plan.rates if entry.name == line.rate)
    return {
        "rate": line.rate,
        "meter": line.meter,
        "group": line.group,
        "quantity": plain(line.quantity),
        "amount": amount_text(line.amount, currency),
        "rate_text": rate_text(rate, line.meter, currency),
    }


def _unpriced(entry: Unpriced) -> dict[str, Any]:
    return {"meter": entry.meter, "group": entry.group, "quantity": plain(entry.quantity)}


def _projected(spend: Spend, period: Window, now_s: int) -> str | None:
    """At the pace so far; None before a day or 5 % of the period, and when it is over."""
    past_s, whole_s = now_s - period.start_s, period.end_s - period.start_s
    if past_s < max(DAY_S, whole_s // 20) or past_s >= whole_s:
        return None
    return amount_text(round_amount(Fraction(spend.total) * whole_s / past_s, spend.currency), spend.currency)


def _differences(steps: list[tuple[Window, Spend]], currency: str) -> list[dict[str, Any]]:
    before: dict[str, Decimal] = {}
    data = []
    for window, spend in steps:
        now = {line.rate: line.amount for line in spend.lines}
        for rate in dict.fromkeys((*before, *now)):
            change = now.get(rate, Decimal(0)) - before.get(rate, Decimal(0))
            if change:
                place = {"start": instant_text(window.start_s), "end": instant_text(window.end_s)}
                data.append(place | {"rate": rate, "amount": amount_text(change, currency)})
        before = now
    return data


def _closing(customer: Customer, mark: Mark) -> dict[str, Any]:
    return {"time_zone": customer.time_zone.name, "as_of": mark.as_of, "lag_s": mark.lag_s()}


def _period(period: Window) -> Mapping[str, str]:
    return {"start": instant_text(period.start_s), "end": instant_text(period.end_s)}


def _amount(value: Decimal | Fraction | None, customer: Customer) -> str | None:
    return None if value is None or customer.currency is None else amount_text(value, customer.currency)
