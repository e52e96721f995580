"""A rate in words, for people who look at a line and ask why it costs that much.

Prices keep every digit. Amounts stand in `symbol` notation (`$0.00002`) where the currency has a common one, else
behind the currency's code (`CHF 0.5`).
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

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
TIERS_SHOWN_MAX = 4


def rate_text(rate: Rate, unit: str, currency: str) -> str:
    """What the rate asks for, in one line: `$0.00002 per token`. `unit`: what one unit of the quantity is called."""

    def money(value: Fraction) -> str:
        text = amount_text(value, currency)
        return f"{SYMBOLS[currency]}{text}" if currency in SYMBOLS else f"{currency} {text}"

    parts = [_model_text(rate, unit, money)]
    if rate.transform is not None:
        parts.append(_transform_text(rate.transform, unit))
    if rate.minimum:
        parts.append(f"at least {money(rate.minimum)}")
    if rate.maximum is not None:
        parts.append(f"at most {money(rate.maximum)}")
    return ", ".join(parts)


def _model_text(rate: Rate, unit: str, money: Callable[[Fraction], str]) -> str:
    match rate.model:
        case PerUnit(price, included):
            return (f"{money(price)} per {unit}" if price else "free") + _included(included)
        case Package(size, amount, included):
            return f"{money(amount)} per started {plain(size)} × {unit}{_included(included)}"
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
        reach = "then" if tier.up_to is None else f"to {plain(tier.up_to)}"
        flat = f" + {money(tier.flat)}" if tier.flat else ""
        parts.append(f"{price(tier)}{flat}" if len(tiers) == 1 else f"{reach} {price(tier)}{flat}")
    hidden = len(tiers) - len(parts)
    return "; ".join(parts) + (f"; and {hidden} more" if hidden else "")


def _transform_text(transform: Transform, unit: str) -> str:
    words = {"up": ", rounded up", "down": ", rounded down", "half_up": ", rounded half up", "none": ""}
    return f"one {unit} is the quantity ÷ {plain(transform.divide)}{words[transform.round]}"


def _included(included: Fraction) -> str:
    return f", {plain(included)} included" if included else ""
