"""A rate in words, for people who look at a line and ask why it costs that much.

Prices keep every digit. An amount stands behind its currency's sign where that is common (`$0.00002`), else behind
its code (`CHF 0.50`).
"""

from collections.abc import Callable
from fractions import Fraction

from billing.domain.money import amount_text, plain
from billing.domain.rates import (
    Graduated,
    GraduatedPercentage,
    Matrix,
    Package,
    Percentage,
    PerUnit,
    Rate,
    Tier,
    Transform,
    Volume,
)

SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
TIERS_SHOWN_MAX = 4


def rate_text(rate: Rate, meter: str, currency: str) -> str:
    """What the rate asks for, in one line: `$0.00002 per token`. The meter's name is the name of what it counts."""

    def money(value: Fraction) -> str:
        text = amount_text(value, currency)
        return f"{SIGNS[currency]}{text}" if currency in SIGNS else f"{currency} {text}"

    parts = [_model_text(rate, meter, money)]
    if rate.transform is not None:
        parts.append(_transform_text(rate.transform, meter))
    if rate.minimum:
        parts.append(f"at least {money(rate.minimum)}")
    if rate.maximum is not None:
        parts.append(f"at most {money(rate.maximum)}")
    return ", ".join(parts)


def singular(name: str) -> str:
    """One of what a meter counts: `tokens` are counted, each is a `token`."""
    return name[:-1] if name.endswith("s") and not name.endswith(("ss", "us", "is")) else name


def grouped(value: Fraction) -> str:
    """A quantity with its thousands apart: `1,000,000.5`."""
    whole, point, decimals = plain(value).partition(".")
    return f"{int(whole):,}{point}{decimals}"


def _model_text(rate: Rate, meter: str, money: Callable[[Fraction], str]) -> str:
    unit = singular(meter)
    match rate.model:
        case PerUnit(price, included):
            return (f"{money(price)} per {unit}" if price else "free") + _included(included)
        case Package(size, amount, included):
            return f"{money(amount)} per started {grouped(size)} {meter}{_included(included)}"
        case Graduated(tiers):
            return "in steps: " + _tiers_text(tiers, lambda tier: f"{money(tier.unit)} per {unit}", money)
        case Volume(tiers):
            return "by volume: " + _tiers_text(tiers, lambda tier: f"{money(tier.unit)} per {unit}", money)
        case GraduatedPercentage(tiers):
            return "in steps: " + _tiers_text(tiers, lambda tier: f"{plain(tier.unit)} %", money)
        case Percentage() as share:
            return _percentage_text(share, money)
        case Matrix() as matrix:
            prices = [cell.unit for cell in matrix.cells] + ([] if matrix.default is None else [matrix.default])
            low, high = min(prices), max(prices)
            span = money(low) if low == high else f"{money(low)} to {money(high)}"
            return f"{span} per {unit}, by {' and '.join(matrix.dimensions)}"
        case other:
            raise TypeError(f"no words for {other!r}")


def _percentage_text(share: Percentage, money: Callable[[Fraction], str]) -> str:
    text = f"{plain(share.rate)} %" + (f" + {money(share.fixed)} per transaction" if share.fixed else "")
    free = [f"{share.free_events} transactions"] if share.free_events else []
    free += [money(share.free_amount)] if share.free_amount else []
    return text + (f", {' or '.join(free)} free" if free else "")


def _tiers_text(tiers: tuple[Tier, ...], price: Callable[[Tier], str], money: Callable[[Fraction], str]) -> str:
    parts = []
    for tier in tiers[:TIERS_SHOWN_MAX]:
        reach = "then" if tier.up_to is None else f"to {grouped(tier.up_to)}"
        flat = f" + {money(tier.flat)}" if tier.flat else ""
        parts.append(f"{price(tier)}{flat}" if len(tiers) == 1 else f"{reach} {price(tier)}{flat}")
    hidden = len(tiers) - len(parts)
    return "; ".join(parts) + (f"; and {hidden} more" if hidden else "")


def _transform_text(transform: Transform, meter: str) -> str:
    words = {"up": ", rounded up", "down": ", rounded down", "half_up": ", rounded half up", "none": ""}
    return f"where one unit is {grouped(transform.divide)} {meter}{words[transform.round]}"


def _included(included: Fraction) -> str:
    return f", {grouped(included)} included" if included else ""
