"""What the API says of one customer of a World, in the shapes of its OpenAPI document."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from tests.browser.fake_data import RATES, Customer, World, text_time

Answer = dict[str, Any]


class Missing(Exception):
    """404."""


def answer_of(world: World, name: str, what: str, query: Mapping[str, str]) -> Answer:
    """`what` follows the customer in the path. Raises Missing."""
    customer = world.customers.get(name)
    if customer is None:
        raise Missing
    if what == "events":
        found = [event for owner, event in reversed(world.events) if owner == name]
        return {"data": found[: int(query.get("limit", "50"))]}
    answers = {"spend": _spend, "access": _access, "spend/series": _series, "usage": _usage}
    if what not in answers:
        raise Missing
    now = datetime.now(UTC)
    reading = {"customer": name, "time_zone": customer.zone, "as_of": text_time(now), "lag_s": 0.2}
    return answers[what](customer, now, query) | reading


def _spend(customer: Customer, now: datetime, _: Mapping[str, str]) -> Answer:
    start, end = customer.period(now)
    pace = (end - start) / max(now - start, timedelta(hours=1))
    lines = [
        {
            "rate": name,
            "meter": meter,
            "group": group,
            "quantity": str(quantity),
            "amount": str(amount),
            "rate_text": words,
        }
        for (name, meter, group, _, words), quantity, amount in zip(
            RATES, customer.quantities, customer.amounts(), strict=True
        )
        if quantity and customer.plan
    ]
    unpriced = [{"meter": "tokens", "group": {"model": "m-preview"}, "quantity": "48211"}]
    limit = Decimal(customer.limit or 0)
    marks = [{"rule": f"{p}%", "amount": f"{limit * p / 100:.2f}"} for p in (50, 80, 100)] if customer.limit else []
    return {
        "period": {"start": text_time(start), "end": text_time(end)},
        "plan": customer.plan,
        "currency": customer.currency,
        "lines": lines,
        "unpriced": unpriced if any(customer.quantities) else [],
        "total": customer.total,
        "credits_applied": customer.total and "0.00",
        "limit": customer.limit,
        "thresholds": marks,
        "projected": customer.total and str(round(customer.spend * Decimal(pace), 2)),
        "resets_at": text_time(end),
    }


def _access(customer: Customer, now: datetime, _: Mapping[str, str]) -> Answer:
    within = "within limit" if customer.allowed else "limit reached"
    return {
        "allowed": customer.allowed,
        "reason": "not priced" if customer.plan is None else "no limit" if customer.limit is None else within,
        "spend": customer.total,
        "limit": customer.limit,
        "remaining": customer.limit and str(max(Decimal(0), Decimal(customer.limit) - customer.spend)),
        "currency": customer.currency,
        "resets_at": text_time(customer.period(now)[1]),
    }


def _series(customer: Customer, now: datetime, query: Mapping[str, str]) -> Answer:
    totals = dict(zip((rate[0] for rate in RATES), customer.amounts(), strict=True)) if customer.plan else {}
    data = [
        span | {"rate": name, "amount": str(part)}
        for name, total in totals.items()
        for span, part in _dealt(customer, now, query.get("window", "day"), total, digits=2)
    ]
    return {"currency": customer.currency, "data": data, "total": customer.total}


def _usage(customer: Customer, now: datetime, query: Mapping[str, str]) -> Answer:
    meter, window = query["meter"], query.get("window", "day")
    data = [
        span | {"group": rate[2], "value": str(part)}
        for rate, total in zip(RATES, customer.quantities, strict=True)
        if rate[1] == meter
        for span, part in _dealt(customer, now, window, Decimal(total), digits=0)
    ]
    return {"meter": meter, "window": window, "data": data}


def _dealt(
    customer: Customer, now: datetime, window: str, total: Decimal, *, digits: int
) -> list[tuple[dict[str, str], Decimal]]:
    """`total` dealt out over the windows from the start of the period until now, so that it adds up."""
    if not total:
        return []
    step = timedelta(hours=1) if window == "hour" else timedelta(days=1)
    starts = []
    moment = customer.period(now)[0]
    while moment < now:
        starts.append(moment)
        moment = (moment.replace(tzinfo=None) + step).replace(tzinfo=ZoneInfo(customer.zone))
    weights = [2 + (31 * n) % 7 + (3 if n % 7 < 5 else 0) for n in range(len(starts))]
    parts = []
    dealt = Decimal(0)
    for n, begin in enumerate(starts):
        reached = round(total * sum(weights[: n + 1]) / sum(weights), digits)
        parts.append(({"start": text_time(begin), "end": text_time(begin + step)}, reached - dealt))
        dealt = reached
    return parts
