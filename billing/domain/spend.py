"""What a customer's usage costs: one line for each rate of the plan, each rounded once.

A rate prices the sum over all the groups it matches, also over the versions that a meter had within the period. A
rate without usage makes a line only if it charges all the same (a minimum, a first tier's flat amount).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from billing.domain.meters import Meter
from billing.domain.money import CURRENCY_EXPONENTS, SCALE, round_half_up, to_amount
from billing.domain.plans import Plan, PlanRate
from billing.domain.rates import Matrix, Percentage
from engine import Aggregate, Reading, merge

ZERO = Fraction(0)


class Usage(NamedTuple):
    """What one group of one meter version holds over a period. `group` in the order of the meter's `group_names`."""

    meter: Meter
    group: tuple[str, ...]
    reading: Reading


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill. `group` is the rate's match."""

    rate: str
    meter: str
    group: Mapping[str, str]
    quantity: Fraction
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A group that is metered and that no rate of the plan prices."""

    meter: str
    group: Mapping[str, str]
    quantity: Fraction


@dataclass(frozen=True, slots=True)
class Spend:
    """All lines of a period, in the order of the plan, and their total."""

    currency: str
    lines: tuple[Line, ...]
    total: Decimal
    unpriced: tuple[Unpriced, ...]


def spend_of(plan: Plan, currency: str, usage: Iterable[Usage]) -> Spend:
    """What the usage costs under the plan.

    Raises:
        ValueError: a rate joins several groups of a `unique` meter, and their readings came without members.
    """
    matched: list[list[Usage]] = [[] for _ in plan.rates]
    unpriced: dict[tuple[str, tuple[tuple[str, str], ...]], list[Usage]] = {}
    by_meter: dict[str, list[int]] = {}
    for index, entry in enumerate(plan.rates):
        by_meter.setdefault(entry.meter, []).append(index)
    for item in usage:
        group = dict(zip(item.meter.group_names, item.group, strict=True))
        for index in by_meter.get(item.meter.name, ()):
            if plan.rates[index].prices(group):
                matched[index].append(item)
                break
        else:
            unpriced.setdefault((item.meter.name, tuple(group.items())), []).append(item)
    exponent = CURRENCY_EXPONENTS[currency]
    lines = []
    total = 0
    for entry, items in zip(plan.rates, matched, strict=True):
        minor = line_minor(entry, items, exponent)
        if items or minor:
            lines.append(Line(entry.name, entry.meter, entry.match, quantity_of(items), to_amount(minor, exponent)))
            total += minor
    left_over = tuple(Unpriced(name, dict(group), quantity_of(items)) for (name, group), items in unpriced.items())
    return Spend(currency, tuple(lines), to_amount(total, exponent), left_over)


def line_minor(entry: PlanRate, items: Sequence[Usage], exponent: int) -> int:
    """What the usage that a rate prices costs in minor units, rounded once: its line on the bill.

    Raises:
        ValueError: as `spend_of`.
    """
    return round_half_up(_charge(entry, items), exponent)


def quantity_of(usage: Iterable[Usage]) -> Fraction:
    """The quantity of several groups and versions of a meter together.

    Readings of one aggregation are merged (a maximum of maxima, an average of all, a union); where a meter's
    aggregation changed within the period, its quantities before and after are added.

    Raises:
        ValueError: several sets without their members.
    """
    merged: dict[str, Reading] = {}
    for meter, _, reading in usage:
        if meter.aggregation not in merged:
            merged[meter.aggregation] = reading
            continue
        other = merged[meter.aggregation]
        if meter.aggregate is Aggregate.UNIQUE and not (_is_whole(reading) and _is_whole(other)):
            raise ValueError(f"meter {meter.name}: sets of several groups need their members to be joined")
        merged[meter.aggregation] = merge(meter.aggregate, other, reading)
    quantities = [reading_quantity(aggregation, reading) for aggregation, reading in merged.items()]
    return quantities[0] if len(quantities) == 1 else sum(quantities, ZERO)


def reading_quantity(aggregation: str, reading: Reading) -> Fraction:
    """The quantity that a reading stands for, for example the average of a sum."""
    if aggregation in ("count", "unique"):
        return Fraction(reading.count)
    if aggregation == "average":
        return Fraction(reading.number, SCALE * reading.count) if reading.count else ZERO
    return Fraction(reading.number, SCALE)


def needs_members(plan: Plan, meters: Mapping[str, Meter]) -> frozenset[str]:
    """Names of the `unique` meters of which a rate joins several groups: their readings need their members."""
    return frozenset(
        entry.meter
        for entry in plan.rates
        if (meter := meters.get(entry.meter)) is not None
        and meter.aggregate is Aggregate.UNIQUE
        and not set(meter.group_names) <= entry.match.keys()
    )


def _is_whole(reading: Reading) -> bool:
    return len(reading.members) == reading.count


def _charge(entry: PlanRate, items: Sequence[Usage]) -> Fraction:
    model = entry.rate.model
    if isinstance(model, Matrix):
        return entry.rate.bounded(sum((_cell_charge(entry, cell) for cell in _cells(model, items)), ZERO))
    quantity = quantity_of(items)
    if isinstance(model, Percentage) and quantity >= 0:
        if entry.rate.transform is not None:
            quantity = entry.rate.transform.apply(quantity)
        count = sum(item.reading.count for item in items)
        return entry.rate.bounded(model.charge_sum(count, quantity))
    return entry.rate.price(quantity)


def _cells(model: Matrix, items: Sequence[Usage]) -> list[list[Usage]]:
    """The usage by what the matrix looks at."""
    cells: dict[tuple[str, ...], list[Usage]] = {}
    for item in items:
        group = dict(zip(item.meter.group_names, item.group, strict=True))
        cells.setdefault(tuple(group.get(name, "") for name in model.dimensions), []).append(item)
    return list(cells.values())


def _cell_charge(entry: PlanRate, cell: list[Usage]) -> Fraction:
    group = dict(zip(cell[0].meter.group_names, cell[0].group, strict=True))
    return entry.rate.charge(quantity_of(cell), group)
