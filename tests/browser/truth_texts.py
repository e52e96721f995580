"""What the view of a customer must say, by the recount."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from tests.browser.customer_view import Shown
from tests.browser.reading import amount
from tests.browser.truth_plans import DIGITS, PLANS, WIDE, ZERO, money_text, price_text
from tests.browser.truth_world import Customer

LINES_SHOWN = 5


def differs(shown: Shown, customer: Customer, now: datetime) -> list[str]:
    """What the page says otherwise than the recount."""
    seen = plain(shown._asdict())
    seen["facts"].pop("At this pace", None)
    seen |= {"chart": charted(shown), "unpriced": sorted(seen["unpriced"])}
    wanted = expected(customer, now) | {"chart": drawn(customer, now)}
    return [
        f"{name}: {seen[name]!r} is shown, {value!r} is true" for name, value in wanted.items() if seen[name] != value
    ]


def plain(value: Any) -> Any:
    """With plain spaces instead of those that keep an amount together."""
    if isinstance(value, str):
        return value.replace("\u00a0", " ")
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def expected(customer: Customer, now: datetime) -> dict[str, Any]:
    """What the page must say, by the recount."""
    start, end = customer.month(now)
    total, limit, currency = customer.total(now), customer.limit, customer.currency
    reason, percent = customer.reason(now), customer.percent(now)
    facts = {"Resets" if limit else "Period ends": f"1 {end:%b} 00:00 {customer.zone.key}"}
    if customer.named:  # else nobody said in which currency
        facts["Credits applied"] = money_text(ZERO, currency)
    if (left := customer.remaining(now)) is not None:
        facts["Remaining"] = money_text(left, currency)
    if customer.plan is not None:
        facts["Plan"] = customer.plan
    shown_total = "–" if total is None else money_text(total, currency)
    lines = customer.lines(now)
    return {
        "heading": customer.name,
        "label": f"Spend, 1–{(end - timedelta(days=1)).day} {start:%b %Y}",
        "total": shown_total,
        "of": "not priced" if total is None else f"of {money_text(limit, currency)}" if limit else "no limit",
        "percent": "" if percent is None else f"{percent} %",
        "access": "Closed: limit reached" if reason == "limit reached" else "Open",
        "facts": facts,
        "lines": [line_texts(customer, name, *line) for name, line in lines.items()],
        "sum": shown_total if lines else "",
        "unpriced": unpriced_texts(customer, now),
        "blank": blank_text(customer, now),
    }


def day_text(day: datetime, now: datetime) -> str:
    """Today is not over yet."""
    return f"{day.day} {day:%b} 00:00{', so far' if now.astimezone(day.tzinfo).date() == day.date() else ''}"


def blank_text(customer: Customer, now: datetime) -> str:
    """In place of a chart."""
    if customer.plan is None:
        return "Nothing of this customer is priced."
    return "" if customer.days(now) else "Nothing in this period yet."


def line_texts(customer: Customer, name: str, quantity: Decimal, line: Decimal) -> dict[str, str]:
    assert customer.plan is not None
    rate = next(rate for rate in PLANS[customer.plan] if rate.name == name)
    return {
        "rate": name,
        "group": f"model {rate.model}",
        "unit": "tokens",
        "price": rate.words(lambda value: price_text(value, customer.currency)),
        "quantity": quantity_text(quantity),
        "exact": grouped(quantity),
        "amount": money_text(line, customer.currency),
    }


def grouped(quantity: Decimal) -> str:
    digits = f"{quantity:,f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def quantity_text(quantity: Decimal) -> str:
    """Two decimals up to 10 million, then three significant digits."""
    with localcontext(WIDE):
        if quantity < 10**7:
            return grouped(quantity.quantize(Decimal("0.01"), ROUND_HALF_UP))
        for power, letter in ((12, "T"), (9, "B"), (6, "M")):
            if quantity >= 10**power:
                scaled = quantity.scaleb(-power)
                places = max(0, 2 - scaled.adjusted())
                return grouped(scaled.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)) + letter
    raise AssertionError(quantity)


def unpriced_texts(customer: Customer, now: datetime) -> list[str]:
    """What is metered and has no price: some models, and calls, of which no plan has a rate."""
    start, _ = customer.month(now)
    uses = [use for use in customer.uses if start <= use.moment < now]
    priced = {rate.model for rate in PLANS[customer.plan]} if customer.plan else set()
    found = []
    for model in sorted({use.model for use in uses} - priced):
        total = sum((use.quantity for use in uses if use.model == model), ZERO)
        found.append(f"tokens, model {model}: {grouped(total)}")
    return sorted([f"calls, all: {len(uses):,}", *found]) if uses else []


def drawn(customer: Customer, now: datetime) -> dict[str, dict[str, Decimal]]:
    """What the chart must say: the greatest lines by themselves, the rest of more than LINES_SHOWN as `other`."""
    days = customer.days(now)
    totals: dict[str, Decimal] = {}
    for lines in days.values():
        for name, change in lines.items():
            totals[name] = totals.get(name, ZERO) + change
    ranked = sorted(totals, key=lambda name: totals[name], reverse=True)
    named = set(ranked if len(ranked) <= LINES_SHOWN else ranked[: LINES_SHOWN - 1])
    found: dict[str, dict[str, Decimal]] = {}
    for day, lines in days.items():
        row = found[day_text(day, now)] = {}
        for name, change in lines.items():
            place = name if name in named else "other"
            row[place] = row.get(place, ZERO) + change
    return found


def used(customer: Customer, now: datetime) -> dict[str, dict[str, Decimal]]:
    """What the chart of the meter `tokens` must say: quantities by day and model, every digit."""
    start, _ = customer.month(now)
    found: dict[str, dict[str, Decimal]] = {}
    for use in sorted(customer.uses):
        if start <= use.moment < now:
            day = use.moment.astimezone(customer.zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
            row = found.setdefault(day_text(day, now), {})
            row[f"model {use.model}"] = row.get(f"model {use.model}", ZERO) + use.quantity
    return found


def charted(shown: Shown) -> dict[str, dict[str, Decimal]]:
    """The chart's rows by the time they name: what each line came to, where it came to anything."""
    if not shown.chart:
        return {}
    (_, *names), *rows = shown.chart
    return {
        time: {name: amount(cell) for name, cell in zip(names, cells, strict=True) if amount(cell)}
        for time, *cells in rows
    }


def pace_differs(shown: Shown, customer: Customer, now: datetime, asked: datetime) -> list[str]:
    """`At this pace` moves with every second: it must be that of one of the seconds since the view was asked for."""
    start, end = customer.month(now)
    total, pace = customer.total(now), shown.facts.get("At this pace")
    past_s = int((asked - start).total_seconds())
    whole_s = int((end.astimezone(UTC) - start).total_seconds())
    if total is None or past_s < max(86_400, whole_s // 20):
        return [] if pace is None else [f"a pace of {pace} is shown"]
    step = Decimal(1).scaleb(-DIGITS[customer.currency])
    last_s = int((datetime.now(UTC) - start).total_seconds())
    with localcontext(WIDE):
        possible = [
            money_text((total * whole_s / second).quantize(step, ROUND_HALF_UP), customer.currency)
            for second in range(past_s, last_s + 1)
        ]
    last_day = end - timedelta(days=1)
    told = [f"{money} by {last_day.day} {last_day:%b} (estimate)" for money in possible]
    return [] if plain(pace) in told else [f"a pace of {pace!r} is shown, {told} are true"]
