"""What is due at a customer's totals: spend under the newest prices, and the alerts that it has reached.

Totals move often and few of their lines with them, so a line is priced again only when one of its readings changed.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import orjson

from billing.catalog import CatalogHistory
from billing.domain.customers import Customer
from billing.domain.limits import DueAlert, due_alerts
from billing.domain.money import CURRENCY_EXPONENTS, amount_text, to_amount
from billing.domain.periods import Window
from billing.domain.plans import Plan
from billing.domain.spend import Usage, spend_of
from billing.domain.timestamps import instant_text, time_text
from billing.series import group_of, parse_series_name
from engine import Aggregate, Period, Reading, Series, Totals

REMEMBERED_MAX = 50_000

Readings = tuple[tuple[bytes, Reading], ...]


class Reactions:
    """Due alerts of any customer under one catalog history; make a new one when it changes."""

    def __init__(self, history: CatalogHistory) -> None:
        self._history = history
        self._rates: dict[tuple[str, bytes], int | None] = {}
        self._lines: dict[tuple[bytes, Period], dict[int, tuple[Readings, Fraction]]] = {}

    def due(self, customer: Customer, totals: Totals) -> list[DueAlert]:
        """Every alert that is due at these totals, also those that stand; lowest threshold first."""
        if not customer.thresholds or customer.plan is None or customer.currency is None:
            return []
        spend = self._spend(customer.plan, customer.currency, totals)
        if all(item.amount > spend for item in customer.thresholds):
            return []
        exponent = CURRENCY_EXPONENTS[customer.currency]
        amount: Decimal = to_amount(int(spend * 10**exponent), exponent)
        window = Window(totals.period.start_s, totals.period.end_s)
        return due_alerts(customer.id, customer.thresholds, amount, customer.currency, window)

    def _spend(self, plan: Plan, currency: str, totals: Totals) -> Fraction:
        """The sum of the rounded lines; a line without usage counts too, where it charges all the same."""
        readings: list[list[tuple[bytes, Reading]]] = [[] for _ in plan.rates]
        for series, reading in totals.values.items():
            index = self._rate_of(plan, series)
            if index is not None:
                readings[index].append((series.name, reading))
        known = self._lines.get((totals.key, totals.period))
        if known is None:
            if len(self._lines) >= REMEMBERED_MAX:
                self._lines.clear()
            known = self._lines[totals.key, totals.period] = {}
        spend = Fraction(0)
        for index, found in enumerate(readings):
            basis = tuple(found)
            line = known.get(index)
            if line is None or line[0] != basis:
                line = known[index] = basis, self._price(plan, index, currency, basis)
            spend += line[1]
        return spend

    def _price(self, plan: Plan, index: int, currency: str, readings: Readings) -> Fraction:
        """One line, rounded as it stands on the bill."""
        usage = [item for name, reading in readings if (item := self._usage_of(name, reading)) is not None]
        alone = Plan(plan.name, (plan.rates[index],))
        return Fraction(spend_of(alone, currency, largest_set(usage)).total)

    def _rate_of(self, plan: Plan, series: Series) -> int | None:
        """The rate of the plan that prices the series, if any."""
        key = (plan.name, series.name)
        if key not in self._rates:
            if len(self._rates) >= REMEMBERED_MAX:
                self._rates.clear()
            item = self._usage_of(series.name, Reading())
            self._rates[key] = None if item is None else find_rate(plan, item)
        return self._rates[key]

    def _usage_of(self, name: bytes, reading: Reading) -> Usage | None:
        parts = parse_series_name(name)
        meter = self._history.meter(parts.meter, parts.version)
        return None if meter is None else Usage(meter, parts.group, reading)


def find_rate(plan: Plan, item: Usage) -> int | None:
    """The place in the plan of the rate that prices the item, None if no rate does."""
    group = group_of(item)
    for index, entry in enumerate(plan.rates):
        if entry.meter == item.meter.name and entry.prices(group):
            return index
    return None


def largest_set(usage: Sequence[Usage]) -> Sequence[Usage]:
    """Of several sets that one rate joins the largest alone: totals hold no members, and a union is at least as large.

    So an alert over such a rate is never too early, and may come late; whoever asks for the spend gets the union.
    """
    sets = [item for item in usage if item.meter.aggregate is Aggregate.UNIQUE]
    if len(sets) < 2:
        return usage
    return [item for item in usage if item not in sets] + [max(sets, key=lambda item: item.reading.count)]


def encode_alert(alert: DueAlert, customer: Customer, now_ms: int) -> bytes:
    """One alert as `GET /v1/alerts` shows it."""
    currency = alert.currency
    content: Mapping[str, object] = {
        "id": alert.id,
        "type": alert.type,
        "customer": alert.customer,
        "period": {"start": instant_text(alert.period.start_s), "end": instant_text(alert.period.end_s)},
        "rule": alert.rule,
        "threshold": amount_text(alert.threshold, currency),
        "spend": amount_text(alert.spend, currency),
        "limit": None if customer.limit is None else amount_text(customer.limit, currency),
        "currency": currency,
        "time": time_text(now_ms * 1_000),
    }
    return orjson.dumps(content)
