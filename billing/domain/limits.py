"""Limits and thresholds: may this customer go on, and which alerts are due.

Thresholds are inclusive. What is due follows from the total alone (level-triggered); that an alert stands once is
its id's doing, which follows from type, customer, rule, group and period.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from billing.domain.money import parse_decimal
from billing.domain.periods import Window

SPEND_THRESHOLD = "spend.threshold"


@dataclass(frozen=True, slots=True)
class Threshold:
    """`rule` as the catalog writes it (`80%`, `250.00`), `amount` what that is in the customer's currency."""

    rule: str
    amount: Fraction


@dataclass(frozen=True, slots=True)
class Access:
    """May the customer go on? `reason`: `within limit`, `limit reached` or `no limit`."""

    allowed: bool
    reason: str
    limit: Fraction | None
    remaining: Fraction | None
    """Never negative."""


@dataclass(frozen=True, slots=True)
class DueAlert:
    """An alert that is due, whether or not it stands already. `group` is empty for a customer's whole spend."""

    id: str
    type: str
    customer: str
    rule: str
    threshold: Fraction
    spend: Decimal
    currency: str
    period: Window


def parse_threshold(rule: str, limit: Fraction | None) -> Threshold:
    """A percentage of the limit, or an amount.

    Raises:
        ValueError: it is neither, not above 0, or a percentage without a limit.
    """
    percent = rule.endswith("%")
    value = parse_decimal(rule.removesuffix("%").rstrip() if percent else rule)
    if value <= 0:
        raise ValueError("must be above 0")
    if not percent:
        return Threshold(rule, value)
    if limit is None:
        raise ValueError("is a percentage, so the customer needs a limit")
    return Threshold(rule, limit * value / 100)


def access(spend: Decimal, limit: Fraction | None) -> Access:
    """Open below the limit, closed from the limit on: `spend == limit` is reached."""
    if limit is None:
        return Access(True, "no limit", None, None)
    remaining = max(limit - Fraction(spend), Fraction(0))
    return Access(remaining > 0, "within limit" if remaining > 0 else "limit reached", limit, remaining)


def reached(thresholds: Iterable[Threshold], spend: Decimal) -> list[Threshold]:
    """The thresholds that the spend has reached, lowest first."""
    exact = Fraction(spend)
    return sorted((item for item in thresholds if exact >= item.amount), key=lambda item: item.amount)


def due_alerts(
    customer: str, thresholds: Iterable[Threshold], spend: Decimal, currency: str, period: Window
) -> list[DueAlert]:
    """Every alert that is due at this spend, those that stand already among them; lowest threshold first."""
    return [
        DueAlert(
            alert_id(SPEND_THRESHOLD, customer, item.rule, {}, period),
            SPEND_THRESHOLD,
            customer,
            item.rule,
            item.amount,
            spend,
            currency,
            period,
        )
        for item in reached(thresholds, spend)
    ]


def alert_id(type_: str, customer: str, rule: str, group: Mapping[str, str], period: Window) -> str:
    """32 hexadecimal digits that follow from content alone, so that a replay finds the alert it raised before."""
    return _digest(type_, customer, rule, tuple(sorted(group.items())), period.start_s, period.end_s)


@lru_cache(maxsize=65_536)
def _digest(*content: object) -> str:
    """Remembered, for an alert is due again with every total beyond its threshold."""
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()
