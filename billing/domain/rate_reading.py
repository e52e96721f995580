"""Reads rates as catalogs and rate files write them; every problem is collected with its place."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, cast

from billing.domain.document import Table
from billing.domain.problems import InvalidRate, Problem
from billing.domain.rates import (
    Graduated,
    GraduatedPercentage,
    Matrix,
    MatrixCell,
    Model,
    Package,
    Percentage,
    PerUnit,
    Rate,
    Rounding,
    Tier,
    Transform,
    Volume,
)

ZERO = Fraction(0)
ROUNDINGS = frozenset({"up", "down", "half_up", "none"})


def parse_rate(document: object, place: str = "") -> Rate:
    """The rate of a parsed JSON or TOML object. `place` precedes the places of its problems.

    Raises:
        InvalidRate: every problem.
    """
    problems: list[Problem] = []
    rate = read_rate(Table(document, place, problems))
    if problems:
        raise InvalidRate(problems)
    return rate


def read_rate(table: Table) -> Rate:
    """The rate of a table; whatever is wrong goes to the table's problems."""
    name = table.choice("model", MODELS)
    model = MODELS[name](table) if name else PerUnit()
    transform = _read_transform(table)
    minimum = table.decimal("minimum", ZERO)
    maximum = table.optional_decimal("maximum")
    if maximum is not None and maximum < minimum:
        table.report("maximum", "must not be below the minimum")
    if name:  # else nobody can say which members are known
        table.close()
    return Rate(model, transform, minimum, maximum)


def _read_transform(table: Table) -> Transform | None:
    inner = table.table("transform")
    if inner is None:
        return None
    divide = inner.decimal("divide", Fraction(1), above=0)
    rounding = inner.choice("round", ROUNDINGS) if inner.has("round") else "none"
    inner.close()
    return Transform(divide, cast(Rounding, rounding))


def _read_per_unit(table: Table) -> Model:
    return PerUnit(table.decimal("unit", ZERO), table.decimal("included", ZERO))


def _read_package(table: Table) -> Model:
    return Package(table.decimal("size", above=0), table.decimal("amount", ZERO), table.decimal("included", ZERO))


def _read_percentage(table: Table) -> Model:
    model = Percentage(
        rate=table.decimal("rate"),
        fixed=table.decimal("fixed", ZERO),
        free_events=table.whole("free_events", 0),
        free_amount=table.decimal("free_amount", ZERO),
        event_min=table.optional_decimal("event_min"),
        event_max=table.optional_decimal("event_max"),
    )
    if model.event_min is not None and model.event_max is not None and model.event_max < model.event_min:
        table.report("event_max", "must not be below event_min")
    return model


def _read_tiers(table: Table, price: str) -> tuple[Tier, ...]:
    """Tiers must rise, and only the last may have no end: one that is never reached prices nothing."""
    tiers: list[Tier] = []
    rows = list(table.tables("tiers", required=True))
    below = ZERO
    for index, row in enumerate(rows):
        up_to = row.optional_decimal("up_to", above=0)
        if up_to is None:
            if index < len(rows) - 1:
                row.report("up_to", "may be absent in the last tier only: no later tier can price anything")
        elif index and up_to <= below:
            row.report("up_to", "must be above that of the tier before: this tier can price nothing")
        else:
            below = up_to
        tiers.append(Tier(up_to, row.decimal(price, ZERO), row.decimal("flat", ZERO)))
        row.close()
    return tuple(tiers) or (Tier(None),)


def _read_matrix(table: Table) -> Model:
    dimensions = table.texts("dimensions")
    if not dimensions:
        table.report("dimensions", "must name at least one group")
    if len(set(dimensions)) < len(dimensions):
        table.report("dimensions", "must not name a group twice")
    cells: list[MatrixCell] = []
    for row in table.tables("cells"):
        match = row.text_map("match")
        if not match:
            row.report("match", "must name the group that the cell prices")
        for name in match.keys() - set(dimensions):
            row.report(f"match.{name}", "is not one of the dimensions")
        if any(cell.match.items() <= match.items() for cell in cells):
            row.report("match", "an earlier cell prices all of this: the cell can price nothing")
        cells.append(MatrixCell(match, row.decimal("unit")))
        row.close()
    default = table.optional_decimal("default")
    if not cells and default is None:
        table.report("cells", "must not be empty without a default: the rate can price nothing")
    return Matrix(dimensions, tuple(cells), default)


MODELS: Mapping[str, Callable[[Table], Any]] = {
    "per_unit": _read_per_unit,
    "graduated": lambda table: Graduated(_read_tiers(table, "unit")),
    "volume": lambda table: Volume(_read_tiers(table, "unit")),
    "package": _read_package,
    "percentage": _read_percentage,
    "graduated_percentage": lambda table: GraduatedPercentage(_read_tiers(table, "rate")),
    "matrix": _read_matrix,
}
"""How each model is read."""
