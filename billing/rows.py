"""One row a customer, in the current period, and all rows of one moment: filters, orders, sums. Pure.

What is asked of all rows is worked out once, whoever asks: there may be many customers, and many who look.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

from billing.domain.customers import Customer
from billing.domain.money import amount_text, plain
from billing.domain.periods import Window
from billing.domain.timestamps import time_text
from billing.store import Statement, access_of

NEAR = Fraction(8, 10)
SHARE_UNIT = 10**160
STATES = frozenset({"near", "at", "none", "unpriced"})


@dataclass(frozen=True, slots=True)
class Row:
    """One customer in the current period. `spend` is None for one without prices."""

    customer: Customer
    period: Window
    spend: Decimal | None
    share: Fraction | None
    """Of the limit; None without one."""
    allowed: bool
    state: str = field(init=False)
    """`unpriced`, `none` (no limit), `at` (reached), `near` (80 % or more) or `open`; told once, asked very often."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", _state_of(self))

    def as_json(self) -> dict[str, Any]:
        customer, currency = self.customer, self.customer.currency
        return {
            "customer": customer.id,
            "plan": None if customer.plan is None else customer.plan.name,
            "spend": None if self.spend is None or currency is None else amount_text(self.spend, currency),
            "currency": currency,
            "limit": None if customer.limit is None or currency is None else amount_text(customer.limit, currency),
            "limit_share": None if self.share is None else plain(self.share),
            "allowed": self.allowed,
            "time_zone": customer.time_zone.name,
        }


def _state_of(row: Row) -> str:
    if row.spend is None:
        return "unpriced"
    if row.share is None:
        return "none"
    return "at" if not row.allowed else "near" if row.share >= NEAR else "open"


@dataclass(frozen=True)
class Snapshot:
    """All rows as of one refresh. What is asked of all of them is worked out once, whoever asks."""

    as_of_ms: int
    rows: tuple[Row, ...] = ()
    """By share of the limit, greatest first; then by currency and spend."""

    def in_order(self, place: Callable[[Row], "Place"]) -> Sequence[Row]:
        """All rows, by one of the places below."""
        if place not in self._ordered:
            self._ordered[place] = sorted(self.rows, key=place)
        return self._ordered[place]

    def in_state(self, state: str | None) -> Sequence[Row]:
        """The rows that pass this filter; all, if there is none."""
        if state is None:
            return self.rows
        if state not in self._in_state:
            self._in_state[state] = [row for row in self.rows if matches(row, state=state, currency=None, search=None)]
        return self._in_state[state]

    def of(self, customer: str) -> Row | None:
        return self._by_customer.get(customer)

    def currencies(self) -> list[dict[str, Any]]:
        """One entry a currency, never added up across them."""
        return self._currencies

    @cached_property
    def _ordered(self) -> dict[Callable[[Row], "Place"], Sequence[Row]]:
        return {}

    @cached_property
    def _in_state(self) -> dict[str, Sequence[Row]]:
        return {}

    @cached_property
    def _by_customer(self) -> dict[str, Row]:
        return {row.customer.id: row for row in self.rows}

    @cached_property
    def _currencies(self) -> list[dict[str, Any]]:
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            if row.spend is not None and row.customer.currency is not None:
                found.setdefault(row.customer.currency, []).append(row)
        return [
            {
                "currency": currency,
                "spend": amount_text(sum((row.spend for row in rows if row.spend is not None), Decimal(0)), currency),
                "customers": len(rows),
                "at_limit": sum(row.state == "at" for row in rows),
                "near_limit": sum(row.state in {"at", "near"} for row in rows),
            }
            for currency, rows in sorted(found.items())
        ]


def row_of(statement: Statement) -> Row:
    customer = statement.customer
    spend = None if statement.spend is None else statement.spend.total
    share = None
    if spend is not None and customer.limit is not None:
        share = Fraction(spend) / customer.limit if customer.limit else Fraction(1)
    return Row(customer, statement.period, spend, share, access_of(statement).allowed)


def matches(row: Row, *, state: str | None, currency: str | None, search: str | None) -> bool:
    """Whether the row passes the filters; `near` holds those at their limit too."""
    if state is not None and row.state != state and not (state == "near" and row.state == "at"):
        return False
    if currency is not None and row.customer.currency != currency:
        return False
    return search is None or search.lower() in row.customer.id.lower()


Place = tuple[bool | str | Fraction, ...]
"""Where a row stands in an order; no two rows stand in one place."""


def by_spend(row: Row) -> Place:
    """By currency first, since amounts of different currencies have no order; greatest spend first."""
    return row.spend is None, row.customer.currency or "", -Fraction(row.spend or 0), row.customer.id


def by_share(row: Row) -> Place:
    """Greatest share of the limit first; those without a limit last."""
    return row.share is None, -(row.share or Fraction(0)), *by_spend(row)


def quick_by_share(row: Row) -> tuple[Any, ...]:
    """`by_share` in whole and decimal numbers, which compare many times as fast as fractions. Exact: both parts of a
    share have 12 decimals and at most 64 digits before them, so no two differ by less than a SHARE_UNITth.
    """
    share = None if row.share is None else row.share.numerator * SHARE_UNIT // row.share.denominator
    spend = Decimal(0) if row.spend is None else row.spend.copy_negate()
    return row.share is None, -(share or 0), row.spend is None, row.customer.currency or "", spend, row.customer.id


def by_name(row: Row) -> Place:
    """The one order in which no row ever moves."""
    return (row.customer.id,)


def totals_frame(
    as_of_ms: int, rows: Iterable[Row], currencies: Sequence[Mapping[str, Any]], freshness_s: float | None
) -> dict[str, Any]:
    """The content of a `totals` frame: whole values."""
    return {
        "as_of": time_text(as_of_ms * 1_000),
        "freshness_s": freshness_s,
        "rows": [row.as_json() for row in rows],
        "currencies": currencies,
    }
