"""What is due at a customer's totals: spend under the newest prices, and the alerts that it has reached.

Totals move often and few of their lines with them, so a line is priced again only when one of its readings changed:
in whole numbers where its rate and meter allow that, else as the bill prices it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import orjson

from billing.catalog import CatalogHistory
from billing.domain.customers import Customer
from billing.domain.limits import DueAlert, due_alerts
from billing.domain.linear_rates import LinearRate, linear_rate
from billing.domain.money import CURRENCY_EXPONENTS, SCALE, amount_text, to_amount
from billing.domain.periods import Window
from billing.domain.plans import Plan, PlanRate
from billing.domain.spend import Usage, line_minor
from billing.domain.timestamps import instant_text, time_text
from billing.series import group_of, parse_series_name
from engine import Aggregate, Period, Reading, Series, Totals

REMEMBERED_MAX = 50_000

NOTHING = Reading()


class Place(NamedTuple):
    """The number of the rate that prices a series. `counted`: its quantity is its events, not what they sum up to."""

    rate: int
    counted: bool
    usage: Usage
    """Of nothing."""


@dataclass(slots=True)
class Seen:
    """A total as it was last looked at. `places` and `readings` are in the order of `series`, the rest by rate."""

    series: list[Series]
    places: list[Place | None]
    readings: list[Reading]
    sums: list[int]
    """Scaled by 10**12. They mean something for linear rates only."""
    lines_minor: list[int]
    spend_minor: int


class Terms(NamedTuple):
    """What a customer's totals are looked at with. `lowest_minor`: below it no threshold is reached."""

    customer: Customer
    prices: "PlanPrices"
    exponent: int
    lowest_minor: int


class Reactions:
    """Due alerts of any customer under one catalog history; make a new one when it changes."""

    def __init__(self, history: CatalogHistory) -> None:
        self._history = history
        self._terms: dict[str, Terms] = {}
        self._prices: dict[tuple[str, str], PlanPrices] = {}

    def due(self, customer: Customer, totals: Totals) -> list[DueAlert]:
        """Every alert that is due at these totals, also those that stand; lowest threshold first."""
        if not customer.thresholds or customer.plan is None or customer.currency is None:
            return []
        terms = self._terms.get(customer.id)
        if terms is None or terms.customer is not customer:
            terms = self._read_terms(customer, customer.plan, customer.currency)
        spend_minor = terms.prices.spend_minor(totals)
        if spend_minor < terms.lowest_minor:
            return []
        amount = to_amount(spend_minor, terms.exponent)
        window = Window(totals.period.start_s, totals.period.end_s)
        return due_alerts(customer.id, customer.thresholds, amount, customer.currency, window)

    def _read_terms(self, customer: Customer, plan: Plan, currency: str) -> Terms:
        prices = self._prices.get((plan.name, currency))
        if prices is None:
            prices = self._prices[plan.name, currency] = PlanPrices(self._history, plan, currency)
        exponent = CURRENCY_EXPONENTS[currency]
        lowest_minor = ceil(min(item.amount for item in customer.thresholds) * 10**exponent)
        if len(self._terms) >= REMEMBERED_MAX:
            self._terms.clear()
        terms = self._terms[customer.id] = Terms(customer, prices, exponent, lowest_minor)
        return terms


class PlanPrices:
    """A plan in one currency, and what was seen of the totals that it prices."""

    def __init__(self, history: CatalogHistory, plan: Plan, currency: str) -> None:
        self._history = history
        self._plan = plan
        self._exponent = CURRENCY_EXPONENTS[currency]
        self._linear = [self._find_linear(entry) for entry in plan.rates]
        self._idle_minor = [line_minor(entry, (), self._exponent) for entry in plan.rates]
        """Lines without usage: a rate may charge all the same."""
        self._places: dict[Series, Place | None] = {}
        self._seen: dict[tuple[bytes, Period], Seen] = {}

    def spend_minor(self, totals: Totals) -> int:
        """The sum of the rounded lines in minor units. Nothing is remembered of a total that cannot be priced.

        Raises:
            InvalidRate, ValueError: as `spend_of`.
        """
        key = (totals.key, totals.period)
        series, readings = list(totals.values), list(totals.values.values())
        seen = self._seen.pop(key, None)
        if seen is None or seen.series != series:
            seen = self._nothing_of(series)
        sums, lines_minor = seen.sums, seen.lines_minor
        moved = set()
        for place, before, now in zip(seen.places, seen.readings, readings, strict=True):
            if now != before and place is not None:
                rate, counted, _ = place
                sums[rate] += (now.count - before.count) * SCALE if counted else now.number - before.number
                moved.add(rate)
        seen.readings = readings
        for rate in moved:
            linear = self._linear[rate]
            minor = self._line_minor(seen, rate) if linear is None else linear.charge_minor(sums[rate])
            seen.spend_minor += minor - lines_minor[rate]
            lines_minor[rate] = minor
        if len(self._seen) >= REMEMBERED_MAX:
            self._seen.clear()
        self._seen[key] = seen
        return seen.spend_minor

    def _nothing_of(self, series: list[Series]) -> Seen:
        """These series as if nothing had been used yet."""
        idle = self._idle_minor
        places = [self._place_of(each) for each in series]
        return Seen(series, places, [NOTHING] * len(series), [0] * len(idle), idle.copy(), sum(idle))

    def _line_minor(self, seen: Seen, rate: int) -> int:
        """A line as the bill prices it."""
        usage = [
            place.usage._replace(reading=reading)
            for place, reading in zip(seen.places, seen.readings, strict=True)
            if place is not None and place.rate == rate
        ]
        return line_minor(self._plan.rates[rate], largest_set(usage), self._exponent)

    def _find_linear(self, entry: PlanRate) -> LinearRate | None:
        """The rate, if it is made of straight pieces and its quantity is one sum, whichever versions the meter had."""
        if any(meter.aggregation not in ("sum", "count") for meter in self._history.meter_versions(entry.meter)):
            return None
        return linear_rate(entry.rate, self._exponent)

    def _place_of(self, series: Series) -> Place | None:
        """Where the plan prices the series, if it does."""
        if series not in self._places:
            if len(self._places) >= REMEMBERED_MAX:
                self._places.clear()
            self._places[series] = self._find_place(series)
        return self._places[series]

    def _find_place(self, series: Series) -> Place | None:
        parts = parse_series_name(series.name)
        meter = self._history.meter(parts.meter, parts.version)
        if meter is None:
            return None
        usage = Usage(meter, parts.group, NOTHING)
        rate = find_rate(self._plan, usage)
        return None if rate is None else Place(rate, meter.aggregation == "count", usage)


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


def encode_alert(alert: DueAlert, customer: Customer, now_ms: int, arrival_ms: int | None) -> bytes:
    """One alert as `GET /v1/alerts` shows it.

    `arrival_ms`: when the events that led to it arrived, or the first of them; None if this process has not seen them,
    as after a restart that finds a reaction owed.
    """
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
        "latency_s": None if arrival_ms is None else max(0, now_ms - arrival_ms) / 1_000,
    }
    return orjson.dumps(content)
