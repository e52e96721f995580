"""What a quantity costs: the rates of a catalog, computed exactly as fractions. Nothing is rounded here.

A rate is a model (how quantities become a charge) with what any rate may carry: a transform of the quantity before,
a minimum and a maximum of the charge after. A negative quantity charges as none at all: nothing, not even the flat
amount of a first tier; the minimum still holds, for it is a period's charge.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

from billing.domain.money import round_half_up
from billing.domain.problems import InvalidRate, Problem

ZERO = Fraction(0)
Rounding = Literal["up", "down", "half_up", "none"]


class Model(Protocol):
    """How a quantity that is not negative becomes a charge."""

    def charge(self, quantity: Fraction) -> Fraction: ...


@dataclass(frozen=True, slots=True)
class PerUnit:
    """Every unit beyond the included ones costs the same."""

    unit: Fraction = ZERO
    included: Fraction = ZERO

    def charge(self, quantity: Fraction) -> Fraction:
        return max(quantity - self.included, ZERO) * self.unit


@dataclass(frozen=True, slots=True)
class Tier:
    """Quantities up to and including `up_to` (None: no end). `unit` is a price, or percent for amounts."""

    up_to: Fraction | None
    unit: Fraction = ZERO
    flat: Fraction = ZERO


@dataclass(frozen=True, slots=True)
class Graduated:
    """Each tier prices what falls into it; its flat amount is due once it is entered, the first tier's always."""

    tiers: tuple[Tier, ...]

    def charge(self, quantity: Fraction) -> Fraction:
        check_reach(self.tiers, quantity)
        total, below = ZERO, ZERO
        for index, tier in enumerate(self.tiers):
            if index and quantity <= below:
                break
            upper = quantity if tier.up_to is None else min(quantity, tier.up_to)
            total += tier.flat + (upper - below) * tier.unit
            below = upper if tier.up_to is None else tier.up_to
        return total


@dataclass(frozen=True, slots=True)
class Volume:
    """The first tier that reaches the quantity prices all of it."""

    tiers: tuple[Tier, ...]

    def charge(self, quantity: Fraction) -> Fraction:
        check_reach(self.tiers, quantity)
        tier = next(tier for tier in self.tiers if tier.up_to is None or quantity <= tier.up_to)
        return tier.flat + quantity * tier.unit


@dataclass(frozen=True, slots=True)
class Package:
    """Whoever starts a package of `size` units pays all of it."""

    size: Fraction
    amount: Fraction = ZERO
    included: Fraction = ZERO

    def charge(self, quantity: Fraction) -> Fraction:
        packages = -(-max(quantity - self.included, ZERO) // self.size)
        return packages * self.amount


@dataclass(frozen=True, slots=True)
class Percentage:
    """A share of each transaction's amount and a fixed fee.

    The first transactions are free: `free_events` of them, or `free_amount` in all; 0 sets no such bound. The free
    allowance ends when either is used up: the transaction that crosses the amount pays for its excess, and its fee.
    `event_min` and `event_max` bound what one transaction pays.
    """

    rate: Fraction
    """In percent."""
    fixed: Fraction = ZERO
    free_events: int = 0
    free_amount: Fraction = ZERO
    event_min: Fraction | None = None
    event_max: Fraction | None = None

    def charge_each(self, transactions: Iterable[Fraction]) -> Fraction:
        """What all of them cost, in the order in which they happened."""
        charge, seen = ZERO, ZERO
        for index, amount in enumerate(transactions):
            seen += amount
            if (excess := self._excess(index, amount, seen)) is not None:
                charge += _bounded(excess * self.rate / 100 + self.fixed, self.event_min, self.event_max)
        return charge

    def charge(self, quantity: Fraction) -> Fraction:
        raise InvalidRate([Problem("model", "a percentage needs its transactions, not only their sum")])

    def charge_sum(self, count: int, quantity: Fraction) -> Fraction:
        """What `count` transactions of that sum cost. Only where `needs_transactions` is false."""
        assert not self.needs_transactions
        return max(quantity - self.free_amount, ZERO) * self.rate / 100 + count * self.fixed

    @property
    def needs_transactions(self) -> bool:
        """Whether the sum of the transactions and their number do not say what they cost."""
        return bool(
            self.free_events
            or self.event_min is not None
            or self.event_max is not None
            or (self.free_amount and self.fixed)
        )

    def _excess(self, index: int, amount: Fraction, seen: Fraction) -> Fraction | None:
        """The part of a transaction that pays; None: it is free. `seen` includes it."""
        if not (self.free_events or self.free_amount) or (self.free_events and index >= self.free_events):
            return amount
        if not self.free_amount:
            return None
        if seen - amount >= self.free_amount:
            return amount
        return seen - self.free_amount if seen > self.free_amount else None


@dataclass(frozen=True, slots=True)
class GraduatedPercentage:
    """As Graduated, with each tier's `unit` in percent of the amount that falls into it."""

    tiers: tuple[Tier, ...]

    def charge(self, quantity: Fraction) -> Fraction:
        scaled = tuple(Tier(tier.up_to, tier.unit / 100, tier.flat) for tier in self.tiers)
        return Graduated(scaled).charge(quantity)


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """The price of a unit where every named group value is as in `match`."""

    match: Mapping[str, str]
    unit: Fraction


@dataclass(frozen=True, slots=True)
class Matrix:
    """The price of a unit depends on its group. `default`: where no cell matches; None: those groups have no price."""

    dimensions: tuple[str, ...]
    cells: tuple[MatrixCell, ...]
    default: Fraction | None = None

    def charge(self, quantity: Fraction) -> Fraction:
        """Of a quantity whose group is not known: at the default."""
        return self.charge_in({}, quantity)

    def charge_in(self, group: Mapping[str, str], quantity: Fraction) -> Fraction:
        unit = self.unit_in(group)
        if unit is None:
            raise InvalidRate([Problem("cells", f"no cell prices the group {dict(group)}, and there is no default")])
        return quantity * unit

    def unit_in(self, group: Mapping[str, str]) -> Fraction | None:
        """The price of a unit in that group; None: it has none."""
        for cell in self.cells:
            if all(group.get(name) == value for name, value in cell.match.items()):
                return cell.unit
        return self.default


@dataclass(frozen=True, slots=True)
class Transform:
    """What is done to a quantity before it is priced: divide, then round to a whole number."""

    divide: Fraction
    round: Rounding = "none"

    def apply(self, quantity: Fraction) -> Fraction:
        return round_to(quantity / self.divide, self.round)


@dataclass(frozen=True, slots=True)
class Rate:
    """A model with its transform and the bounds of a period's charge."""

    model: Model
    transform: Transform | None = None
    minimum: Fraction = ZERO
    maximum: Fraction | None = None

    def price(self, quantity: Fraction, group: Mapping[str, str] | None = None) -> Fraction:
        """What the quantity costs. `group` is looked at by a matrix only.

        Raises:
            InvalidRate: the rate has no price for that, for example beyond its last tier.
        """
        return self.bounded(self.charge(quantity, group))

    def charge(self, quantity: Fraction, group: Mapping[str, str] | None = None) -> Fraction:
        """The price before minimum and maximum."""
        if quantity < 0:
            return ZERO
        if self.transform is not None:
            quantity = self.transform.apply(quantity)
        if isinstance(self.model, Matrix):
            return self.model.charge_in(group or {}, quantity)
        return self.model.charge(quantity)

    def price_each(self, transactions: Iterable[Fraction]) -> Fraction:
        """What transactions cost, one by one in their order: the percentage model only.

        Raises:
            InvalidRate: another model, or a negative transaction.
        """
        amounts = list(transactions)
        if not isinstance(self.model, Percentage):
            raise InvalidRate([Problem("model", "only a percentage prices transactions")])
        if any(amount < 0 for amount in amounts):
            raise InvalidRate([Problem("transactions", "must not be negative")])
        if self.transform is not None:
            amounts = [self.transform.apply(amount) for amount in amounts]
        return self.bounded(self.model.charge_each(amounts))

    def bounded(self, charge: Fraction) -> Fraction:
        """The charge within minimum and maximum."""
        return _bounded(charge, self.minimum, self.maximum)


def round_to(value: Fraction, rounding: Rounding, places: int = 0) -> Fraction:
    """Rounds to so many decimals (negative: to tens, hundreds); `up` is towards plus infinity."""
    if rounding == "none":
        return value
    scale = Fraction(10) ** places
    if rounding == "half_up":
        return Fraction(round_half_up(value, places)) / scale
    whole = -(-value * scale // 1) if rounding == "up" else value * scale // 1
    return Fraction(whole) / scale


def check_reach(tiers: tuple[Tier, ...], quantity: Fraction) -> None:
    """Raises InvalidRate where the quantity lies beyond the last tier."""
    end = tiers[-1].up_to
    if end is not None and quantity > end:
        raise InvalidRate([Problem(f"tiers[{len(tiers) - 1}].up_to", f"no tier prices what is above {end}")])


def _bounded(charge: Fraction, least: Fraction | None, most: Fraction | None) -> Fraction:
    if least is not None:
        charge = max(charge, least)
    return charge if most is None else min(charge, most)
