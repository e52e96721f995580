"""Rates whose charge is made of straight pieces over one sum, as whole numbers: a few operations on integers a line.

What `Rate.price` says of such a rate, rounded once half up, is computed here from a quantity that is scaled by 10**12
to minor units of a currency. Bounds are rounded too: rounding keeps the order, so it does not matter which comes first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import NamedTuple

from billing.domain.money import SCALE, round_half_up
from billing.domain.rates import (
    ZERO,
    Graduated,
    GraduatedPercentage,
    Model,
    Package,
    Percentage,
    PerUnit,
    Rate,
    Rounding,
    Tier,
    Volume,
)


class Piece(NamedTuple):
    """Up to and including the quantity `end` (None: no end) the charge is `base + slope * quantity`."""

    end: Fraction | None
    base: Fraction
    slope: Fraction


class Whole(NamedTuple):
    """Makes a whole number of a quantity: `(quantity * factor + addend) // divisor`."""

    factor: int
    addend: int
    divisor: int


@dataclass(frozen=True, slots=True)
class LinearRate:
    """A rate in one currency. `pieces` are end, base and slope of each, where `2 * half` stands for a minor unit."""

    whole: Whole | None
    pieces: tuple[tuple[int | None, int, int], ...]
    half: int
    minimum_minor: int
    maximum_minor: int | None

    def charge_minor(self, quantity: int) -> int:
        """The line of a quantity that is scaled by 10**12, in minor units."""
        charge = 0
        if quantity >= 0:
            if self.whole is not None:
                factor, addend, divisor = self.whole
                quantity = (quantity * factor + addend) // divisor
            for end, base, slope in self.pieces:
                if end is None or quantity <= end:
                    charge = base + slope * quantity
                    break
        minor = (charge + self.half) // (2 * self.half)  # below 0, as within a package's included units: the minimum
        if minor < self.minimum_minor:
            return self.minimum_minor
        maximum = self.maximum_minor
        return minor if maximum is None or minor < maximum else maximum


def linear_rate(rate: Rate, exponent: int) -> LinearRate | None:
    """The rate for a currency of so many decimals; None if its charge does not follow from one sum in this way."""
    model, transform = rate.model, rate.transform
    units = Fraction(1, SCALE) if transform is None else 1 / (SCALE * transform.divide)
    """What one of a scaled quantity is to the model."""
    whole = None
    if transform is not None and transform.round != "none":
        if isinstance(model, Package):
            return None
        whole, units = _whole(units, ZERO, transform.round), Fraction(1)
    elif isinstance(model, Package):
        whole, units = _whole(units / model.size, model.included / model.size, "up"), Fraction(1)
    pieces = _pieces(model)
    if pieces is None or pieces[-1].end is not None or rate.minimum < 0:
        return None
    minor = 2 * 10**exponent
    lines = [(piece.base * minor, piece.slope * minor * units) for piece in pieces]
    half = lcm(*(number.denominator for line in lines for number in line))
    ends = [None if piece.end is None else piece.end // units for piece in pieces]
    return LinearRate(
        whole,
        tuple((end, int(base * half), int(slope * half)) for end, (base, slope) in zip(ends, lines, strict=True)),
        half,
        round_half_up(rate.bounded(ZERO), exponent),
        None if rate.maximum is None else round_half_up(rate.maximum, exponent),
    )


def _whole(units: Fraction, less: Fraction, rounding: Rounding) -> Whole:
    """Rounds `quantity * units - less`."""
    divisor = lcm(units.denominator, less.denominator)
    factor, addend = int(units * divisor), int(-less * divisor)
    match rounding:
        case "up":
            return Whole(factor, addend + divisor - 1, divisor)
        case "half_up":
            return Whole(2 * factor, 2 * addend + divisor, 2 * divisor)
        case _:
            return Whole(factor, addend, divisor)


def _pieces(model: Model) -> list[Piece] | None:
    match model:
        case PerUnit():
            return _beyond(model.included, model.unit)
        case Package():
            return _beyond(ZERO, model.amount)
        case Percentage() if not (model.needs_transactions or model.fixed):
            return _beyond(model.free_amount, model.rate / 100)
        case Volume():
            return [Piece(tier.up_to, tier.flat, tier.unit) for tier in model.tiers]
        case Graduated():
            return _graduated(model.tiers, Fraction(1))
        case GraduatedPercentage():
            return _graduated(model.tiers, Fraction(1, 100))
    return None


def _beyond(included: Fraction, unit: Fraction) -> list[Piece]:
    pieces = [Piece(None, -included * unit, unit)]
    return [Piece(included, ZERO, ZERO), *pieces] if included else pieces


def _graduated(tiers: Iterable[Tier], share: Fraction) -> list[Piece]:
    """Each tier begins where the charge of those below it ends."""
    pieces = []
    below, total = ZERO, ZERO
    for tier in tiers:
        unit = tier.unit * share
        total += tier.flat
        pieces.append(Piece(tier.up_to, total - below * unit, unit))
        if tier.up_to is not None:
            total += (tier.up_to - below) * unit
            below = tier.up_to
    return pieces
