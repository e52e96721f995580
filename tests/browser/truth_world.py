"""Customers, the events that are sent for them, and what these come to: recounted here, by none of our code.

Times are chosen around the edges of days and months in each customer's own zone.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tests.browser.truth_plans import DIGITS, PLANS, WIDE, ZERO

ZONES = ("Asia/Kathmandu", "Europe/Berlin", "America/New_York", "UTC", "Asia/Tokyo")
NAMED = 50
EXACT_TOTAL = Decimal("9007199254740993.05")
EXACT_QUANTITY = "900719925474099.305"
SHARES = ("0.5", "1", "1.0000001", "1.25", "3", "77.7")
"""Limits, as multiples of what is spent: reached, exactly reached, missed by little, 80 %, and more."""
MOMENT = timedelta(microseconds=1)
RULES = {"50%": Decimal("0.5"), "100%": Decimal(1)}
ODD_NAMES = {
    7: "<b>Zoë & Söhne</b>",
    11: "team/eu?x=1#y",
    19: "org_7f3a9c1e-52d4-4b7e-9a60-2f8f1b6c0d11-production-eu-central",
}
REJECTED = (b"not json", b'{"specversion":"1.0","id":"1","source":"s","type":"call","subject":"other","data":{}}')
"""What no door lets in and the log may hold all the same."""


class Use(NamedTuple):
    """One event that a meter counts."""

    moment: datetime
    model: str
    quantity: Decimal


@dataclass(slots=True)
class Customer:
    """Without a plan nothing is priced; one that is not `named` only events know."""

    name: str
    zone: ZoneInfo
    currency: str
    plan: str | None
    named: bool = True
    limit: Decimal | None = None
    uses: list[Use] = field(default_factory=list)

    def month(self, moment: datetime) -> tuple[datetime, datetime]:
        """The calendar month around the moment, on the customer's own clock."""
        first = moment.astimezone(self.zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return first, (first + timedelta(days=32)).replace(day=1)

    def lines(self, until: datetime) -> dict[str, tuple[Decimal, Decimal]]:
        """Quantity and amount by rate, of the month around `until`, up to it."""
        start, _ = self.month(until)
        found = {}
        for rate in PLANS[self.plan] if self.plan else ():
            with localcontext(WIDE):
                quantities = [u.quantity for u in self.uses if u.model == rate.model and start <= u.moment < until]
                quantity = sum(quantities, ZERO)
            amount = rate.amount(quantity, self.currency)
            if quantities or amount:
                found[rate.name] = quantity, amount
        return found

    def total(self, until: datetime) -> Decimal | None:
        with localcontext(WIDE):
            amounts = [amount for _, amount in self.lines(until).values()]
            return None if self.plan is None else sum(amounts, Decimal(1).scaleb(-DIGITS[self.currency]) * 0)

    def remaining(self, until: datetime) -> Decimal | None:
        total = self.total(until)
        if total is None or self.limit is None:
            return None
        with localcontext(WIDE):
            return max(self.limit - total, self.limit * 0)  # with the decimals of the currency

    def percent(self, until: datetime) -> int | None:
        """Of the limit, rounded down."""
        total = self.total(until)
        if total is None or self.limit is None:
            return None
        with localcontext(WIDE):
            return int((total * 100 / self.limit).to_integral_value(ROUND_FLOOR))

    def reason(self, until: datetime) -> str:
        total = self.total(until)
        if total is None:
            return "not priced"
        if self.limit is None:
            return "no limit"
        return "limit reached" if total >= self.limit else "within limit"

    def days(self, until: datetime) -> dict[datetime, dict[str, Decimal]]:
        """By the local day's first moment: what each line came to on that day, where it came to anything."""
        start, end = self.month(until)
        found: dict[datetime, dict[str, Decimal]] = {}
        before: Mapping[str, tuple[Decimal, Decimal]] = {}
        day = start
        while day < end:
            following = day + timedelta(days=1)  # on the same clock: it has the zone
            now = self.lines(following - MOMENT) if day.astimezone(UTC) < until else before
            changes = {name: amount - before.get(name, (ZERO, ZERO))[1] for name, (_, amount) in now.items()}
            if changed := {name: change for name, change in changes.items() if change}:
                found[day] = changed
            before, day = now, following
        return found


@dataclass(slots=True)
class World:
    """`sent`: events in the order of their sending; `counts`: what must have become of them."""

    customers: dict[str, Customer]
    sent: list[dict[str, Any]]
    counts: Counter[str]
    rejected: Sequence[tuple[bytes, bytes]]
    made: datetime

    def due(self) -> list[tuple[str, str, Decimal]]:
        """The thresholds that were reached, in this month and the one before: customer, rule and amount."""
        found = []
        for customer in self.customers.values():
            start, end = customer.month(self.made)
            for until in (end - MOMENT, start - MOMENT):
                total = customer.total(until)
                if total is not None and customer.limit is not None:
                    reached = {rule: customer.limit * share for rule, share in RULES.items()}
                    found += [(customer.name, rule, least) for rule, least in reached.items() if total >= least]
        return found

    def catalog(self) -> dict[str, Any]:
        meter = {"name": "tokens", "event_type": "call", "aggregation": "sum", "property": "data.tokens"}
        return {
            "version": 1,
            "meters": [
                meter | {"group_by": {"model": "data.model"}},
                {"name": "calls", "event_type": "call", "aggregation": "count"},
            ],
            "plans": [{"name": name, "rates": [rate.entry() for rate in rates]} for name, rates in PLANS.items()],
            "customers": [_entry(customer) for customer in self.customers.values() if customer.named],
        }


def _entry(customer: Customer) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": customer.name, "time_zone": customer.zone.key, "currency": customer.currency}
    if customer.plan is not None:
        entry |= {"plan": customer.plan}
    if customer.limit is not None:
        entry |= {"limit": f"{customer.limit:f}", "thresholds": list(RULES)}
    return entry


def make_world(now: datetime) -> World:
    """Seeded; only the times depend on `now`."""
    chance = random.Random(7)
    customers = {customer.name: customer for customer in _make_customers()}
    sent: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    numbers = itertools.count()
    for place, customer in enumerate(customers.values()):
        for use, timed in _uses(customer, now, chance):
            customer.uses.append(use)
            sent.append(_event(customer, use, f"{next(numbers)}", timed=timed))
            counts["counted"] += 1
        if place % 3 == 0 and customer.uses:  # the same again, and the same number from elsewhere
            sent.append(sent[-1])
            counts["duplicates"] += 1
            sent.append(sent[-1] | {"source": "elsewhere"})
            customer.uses.append(customer.uses[-1])
            counts["counted"] += 1
        if place % 5 == 0 and customer.uses:
            sent.append(sent[-1] | {"id": f"{next(numbers)}", "type": "nobody counts this"})
            counts["unmetered"] += 1
        _limit(customer, place, now)
    rejected = [(name.encode(), REJECTED[place % 2]) for place, name in enumerate(list(customers)[:7])]
    counts["rejected"] = len(rejected)
    return World(customers, sent, counts, rejected, now)


def _make_customers() -> Iterator[Customer]:
    plans = ("steps", "volume", "package")
    currencies = tuple(DIGITS)
    for place in range(NAMED):
        plan = "many" if place % 7 == 3 else plans[place % 3]
        name = ODD_NAMES.get(place, f"customer-{place:02}")
        yield Customer(name, ZoneInfo(ZONES[place % 5]), currencies[place % 4], plan)
    yield Customer("exact", ZoneInfo("Asia/Kathmandu"), "USD", "exact")
    yield Customer("silent", ZoneInfo("Europe/Berlin"), "EUR", "steps")
    yield Customer("no-plan", ZoneInfo("Asia/Tokyo"), "JPY", None)
    yield Customer("nobody-named-me", ZoneInfo("UTC"), "USD", None, named=False)


def _uses(customer: Customer, now: datetime, chance: random.Random) -> Iterable[tuple[Use, bool]]:
    """With whether the event says its own time: one does not, and counts as of its arrival."""
    if customer.name == "silent":
        return
    if customer.name == "exact":
        yield Use(now, "m-exact", Decimal(EXACT_QUANTITY)), False
        return
    start, _ = customer.month(now)
    models = [rate.model for rate in PLANS[customer.plan]] if customer.plan else ["m-large"]
    span = now - start
    moments = [start, start - timedelta(seconds=1), *(start + span * part / 9 for part in range(1, 9))]
    for place, moment in enumerate(moments):
        model = "m-preview" if place == 4 else models[place % len(models)]
        yield Use(moment.replace(microsecond=0), model, _quantity(chance)), True
    yield Use(now, models[0], _quantity(chance)), False


def _quantity(chance: random.Random) -> Decimal:
    whole = Decimal(chance.choice((1, 40, 700, 4_000, 30_000)) * chance.randint(1, 9))
    return whole + Decimal(chance.randrange(1_000_000)).scaleb(-6) if chance.random() < 0.5 else whole


def _event(customer: Customer, use: Use, number: str, *, timed: bool) -> dict[str, Any]:
    head = {"specversion": "1.0", "id": number, "source": "truth", "type": "call", "subject": customer.name}
    time = {"time": use.moment.astimezone(UTC).isoformat().replace("+00:00", "Z")} if timed else {}
    return head | time | {"data": {"tokens": f"{use.quantity:f}", "model": use.model}}


def _limit(customer: Customer, place: int, now: datetime) -> None:
    total = customer.total(now + timedelta(hours=1))
    if total is None or place % (len(SHARES) + 1) == len(SHARES):
        return
    step = Decimal(1).scaleb(-DIGITS[customer.currency])
    with localcontext(WIDE):
        customer.limit = max(step, (total * Decimal(SHARES[place % (len(SHARES) + 1)])).quantize(step))
