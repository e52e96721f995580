"""Plans: which rate prices which groups of a meter."""

from collections.abc import Mapping
from dataclasses import dataclass

from billing.domain.document import Table
from billing.domain.meters import MeterDefinition
from billing.domain.rate_reading import read_rate
from billing.domain.rates import Matrix, Percentage, Rate


@dataclass(frozen=True, slots=True)
class PlanRate:
    """One line of a plan: a rate for the groups of a meter that have the values of `match` (empty: all)."""

    name: str
    meter: str
    match: Mapping[str, str]
    rate: Rate

    def prices(self, group: Mapping[str, str]) -> bool:
        """Whether this rate has a price for the group."""
        if any(group.get(name, "") != value for name, value in self.match.items()):
            return False
        return not isinstance(self.rate.model, Matrix) or self.rate.model.unit_in(group) is not None

    def overlaps(self, other: "PlanRate") -> bool:
        """Whether both could price the same group of the same meter."""
        return self.meter == other.meter and all(
            other.match.get(name, value) == value for name, value in self.match.items()
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a customer pays for, line by line."""

    name: str
    rates: tuple[PlanRate, ...]


def read_plan(table: Table, meters: Mapping[str, MeterDefinition]) -> Plan:
    """The plan of a table, checked against the meters of its catalog."""
    name = table.text("name")
    rates: list[PlanRate] = []
    for row in table.tables("rates"):
        entry = _read_plan_rate(row, meters)
        if any(entry.name == other.name for other in rates):
            row.report("name", f"is {entry.name!r}, as that of another rate of the plan")
        for index, other in enumerate(rates):
            if entry.meter and entry.overlaps(other):
                row.report("match", f"can price the same group as {table.at('rates')}[{index}]")
        rates.append(entry)
    table.close()
    return Plan(name, tuple(rates))


def _read_plan_rate(row: Table, meters: Mapping[str, MeterDefinition]) -> PlanRate:
    name, meter_name = row.text("name"), row.text("meter")
    match = row.text_map("match")
    inner = row.table("rate")
    if inner is None:
        row.report("rate", "is missing")
    rate = read_rate(inner or Table({"model": "per_unit"}, row.at("rate"), []))
    row.close()
    entry = PlanRate(name, meter_name, match, rate)
    meter = meters.get(meter_name)
    if meter is not None:
        _check_reach(row, entry, meter)
        _check_model(row, entry, meter)
    elif meter_name:
        row.report("meter", f"is {meter_name!r}, but there is no such meter")
    return entry


def _check_reach(row: Table, entry: PlanRate, meter: MeterDefinition) -> None:
    """A rate must be able to price something: groups that the meter has, with values that its filter lets pass."""
    passing = {item.path: item.values for item in meter.filters}
    paths = dict(meter.group_by)
    for name, value in entry.match.items():
        _check_group(row, f"match.{name}", name, value, paths, passing)
    if not isinstance(entry.rate.model, Matrix):
        return
    for index, dimension in enumerate(entry.rate.model.dimensions):
        if dimension not in paths:
            row.report(f"rate.dimensions[{index}]", f"the meter has no group {dimension!r}")
    for index, cell in enumerate(entry.rate.model.cells):
        place = f"rate.cells[{index}].match"
        for name, value in cell.match.items():
            if entry.match.get(name, value) != value:
                row.report(f"{place}.{name}", "the rate's own match never has this value: the cell can price nothing")
            elif name in paths:
                _check_group(row, f"{place}.{name}", name, value, paths, passing)


def _check_group(
    row: Table, place: str, name: str, value: str, paths: Mapping[str, str], passing: Mapping[str, frozenset[str]]
) -> None:
    if name not in paths:
        row.report(place, f"the meter has no group {name!r}: the rate can price nothing")
    elif value not in passing.get(paths[name], frozenset({value})):
        row.report(place, f"is {value!r}, which the meter's filter never lets pass: it can price nothing")


def _check_model(row: Table, entry: PlanRate, meter: MeterDefinition) -> None:
    """What is kept is the number and the sum of what happened, so a model that needs each single event cannot be."""
    model = entry.rate.model
    tiers = getattr(model, "tiers", None)
    if tiers and tiers[-1].up_to is not None:
        row.report(f"rate.tiers[{len(tiers) - 1}].up_to", "must be absent in the last tier: what is above has no price")
    if not isinstance(model, Percentage):
        return
    if meter.aggregation != "sum":
        row.report(
            "rate.model", f"a percentage prices amounts of a sum, but meter {meter.name!r} is {meter.aggregation}"
        )
    if model.needs_transactions or (entry.rate.transform and entry.rate.transform.round != "none"):
        row.report(
            "rate",
            "needs every single transaction, but a meter keeps their number and sum: leave out free_events, event_min, "
            "event_max and rounding, and either free_amount or fixed",
        )
