"""Plans of which a test knows the prices by itself: each rate as a catalog has it, as arithmetic, and in words."""

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any, NamedTuple

DIGITS = {"USD": 2, "EUR": 2, "JPY": 0, "BHD": 3}
SIGNS = {"USD": "$", "EUR": "€", "JPY": "¥", "BHD": "BHD "}
WIDE = Context(prec=60)
ZERO = Decimal(0)


class Rate(NamedTuple):
    """`words` takes the text of a price in the customer's currency."""

    name: str
    model: str
    rate: Mapping[str, Any]
    price: Callable[[Decimal], Decimal]
    words: Callable[[Callable[[str], str]], str]

    def amount(self, quantity: Decimal, currency: str) -> Decimal:
        """Rounded once, halves away from zero."""
        with localcontext(WIDE):
            return self.price(quantity).quantize(Decimal(1).scaleb(-DIGITS[currency]), ROUND_HALF_UP)

    def entry(self) -> dict[str, Any]:
        return {"name": self.name, "meter": "tokens", "match": {"model": self.model}, "rate": self.rate}


def price_text(value: str, currency: str) -> str:
    """A price with every digit that it has, and at least those of the currency."""
    whole, _, decimals = value.partition(".")
    decimals = decimals.ljust(DIGITS[currency], "0")
    return f"{SIGNS[currency]}{whole}{'.' if decimals else ''}{decimals}"


def money_text(value: Decimal, currency: str, *, code: bool = False) -> str:
    """An amount as the page writes it: `$1,043.83`, or `USD 1,043.83` where several currencies are in view."""
    sign = f"{currency} " if code else SIGNS[currency]
    with localcontext(WIDE):
        size = abs(value).quantize(Decimal(1).scaleb(-DIGITS[currency]), ROUND_HALF_UP)
    return f"{'-' if value < 0 else ''}{sign}{size:,f}"


def per_unit(name: str, model: str, unit: str) -> Rate:
    return Rate(
        name,
        model,
        {"model": "per_unit", "unit": unit},
        lambda quantity: quantity * Decimal(unit),
        lambda money: f"{money(unit)} per token",
    )


def _graduated(quantity: Decimal) -> Decimal:
    first, second = min(quantity, Decimal(1_000)), min(max(quantity - 1_000, ZERO), Decimal(9_000))
    entered = 1 if quantity > 1_000 else 0
    return first * Decimal("0.01") + second * Decimal("0.005") + entered + max(quantity - 10_000, ZERO) / 500


GRADUATED = Rate(
    "large, in steps",
    "m-large",
    {
        "model": "graduated",
        "tiers": [
            {"up_to": "1000", "unit": "0.01"},
            {"up_to": "10000", "unit": "0.005", "flat": "1.00"},
            {"unit": "0.002"},
        ],
    },
    _graduated,
    lambda money: (
        f"in steps: to 1,000 {money('0.01')} per token; to 10,000 {money('0.005')} per token + {money('1')}; "
        f"then {money('0.002')} per token"
    ),
)
VOLUME = Rate(
    "large, by volume",
    "m-large",
    {"model": "volume", "tiers": [{"up_to": "5000", "unit": "0.02"}, {"unit": "0.015"}], "minimum": "3.00"},
    lambda quantity: max(quantity * Decimal("0.02" if quantity <= 5_000 else "0.015"), Decimal(3)),
    lambda money: (
        f"by volume: to 5,000 {money('0.02')} per token; then {money('0.015')} per token, at least {money('3')}"
    ),
)
PACKAGE = Rate(
    "large, in packages",
    "m-large",
    {"model": "package", "size": "1000", "amount": "2.50", "included": "500"},
    lambda quantity: (max(quantity - 500, ZERO) / 1_000).to_integral_value(ROUND_CEILING) * Decimal("2.5"),
    lambda money: f"{money('2.5')} per started 1,000 tokens, 500 included",
)
PLANS: Mapping[str, tuple[Rate, ...]] = {
    "steps": (GRADUATED, per_unit("small", "m-small", "0.000000123457")),
    "volume": (VOLUME, per_unit("small", "m-small", "12.3456789012")),
    "package": (PACKAGE, per_unit("small", "m-small", "0.000000000001")),
    "many": tuple(per_unit(f"model {name}", f"m-{name}", f"0.0{digit}") for digit, name in enumerate("abcdefg", 1)),
    "exact": (per_unit("exact", "m-exact", "10"),),
}
"""By their names."""
