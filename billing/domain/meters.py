"""Meters: what of an event is counted, and in which group.

A meter reads an event in three steps: does it match (type and filter), what is its group, what is its value.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from billing.domain.document import Table
from billing.domain.problems import InvalidEvent, Problem
from billing.domain.properties import (
    Unreadable,
    getter,
    group_text,
    path_problem,
    scalar_text,
    scaled_quantity,
    text_digest,
)
from billing.domain.usage import UsageEvent
from engine import Aggregate, Value

AGGREGATIONS: Final[Mapping[str, Aggregate]] = {
    "count": Aggregate.COUNT,
    "sum": Aggregate.SUM,
    "min": Aggregate.MIN,
    "max": Aggregate.MAX,
    "average": Aggregate.SUM,
    "latest": Aggregate.LATEST,
    "unique": Aggregate.UNIQUE,
}
"""The aggregations of a catalog, and what the engine keeps for each. An average is a sum and how many it is of."""

NAME_BYTES_MAX = 128
GROUPS_MAX = 16
SERIES_BYTES_MAX = 1024
"""Bytes of name, version and group as a JSON array: what the engine allows for the name of a series."""
REMEMBERED_MAX = 10_000
"""Groups that a meter remembers to be short enough."""


@dataclass(frozen=True, slots=True)
class Filter:
    """An event passes if the text of the member at `path` is one of `values`."""

    path: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class MeterDefinition:
    """What a meter counts, as a catalog says it. `group_by`: (name, path), sorted by name."""

    name: str
    event_type: str
    aggregation: str
    property: str | None = None
    group_by: tuple[tuple[str, str], ...] = ()
    filters: tuple[Filter, ...] = ()


class Meter:
    """One version of a meter, ready to read events: what it counts never changes. Compared and hashed by identity."""

    def __init__(self, definition: MeterDefinition, version: int = 1) -> None:
        self.definition: Final = definition
        self.version: Final = version
        self.name: Final = definition.name
        self.aggregation: Final = definition.aggregation
        self.aggregate: Final = AGGREGATIONS[definition.aggregation]
        self.group_names: Final = tuple(name for name, _ in definition.group_by)
        """Sorted: group values stand in this order."""
        self.read: Final = _compile(self)
        """`read(event, time_us)`: what the event adds as a Measure, or None if it does not match; `time_us` ranks
        the values of a `latest` meter. Raises InvalidEvent: it matches, and a property cannot be read."""

    def __repr__(self) -> str:
        return f"<meter {self.name} version {self.version}>"


class Measure(NamedTuple):
    """What one event adds to one meter: the value as the engine wants it, its group in the order of `group_names`."""

    meter: Meter
    group: tuple[str, ...]
    value: Value


class MeterSet:
    """The meters that are valid for arrivals in [from_ms, until_ms)."""

    def __init__(self, meters: Iterable[Meter], from_ms: int, until_ms: int) -> None:
        self.meters: Final = {meter.name: meter for meter in meters}
        self.from_ms: Final = from_ms
        self.until_ms: Final = until_ms
        self._by_type: dict[str, list[Meter]] = {}
        for meter in self.meters.values():
            self._by_type.setdefault(meter.definition.event_type, []).append(meter)

    def measure(self, event: UsageEvent, time_us: int) -> list[Measure]:
        """What the event adds to every meter that it matches; none: it is unmetered.

        Raises:
            InvalidEvent: a meter that matches cannot read its property, so nothing of the event counts.
        """
        measures: list[Measure] = []
        problems: list[Problem] = []
        for meter in self._by_type.get(event.type, ()):
            try:
                measure = meter.read(event, time_us)
            except InvalidEvent as error:
                problems += error.problems
            else:
                if measure is not None:
                    measures.append(measure)
        if problems:
            raise InvalidEvent(problems)
        return measures


def read_meter(table: Table) -> MeterDefinition:
    """The meter of a catalog's table; whatever is wrong goes to the table's problems."""
    name = table.text("name")
    if len(orjson.dumps(name)) > NAME_BYTES_MAX + 2:
        table.report("name", f"must have at most {NAME_BYTES_MAX} bytes")
    aggregation = table.choice("aggregation", AGGREGATIONS)
    event_type = table.text("event_type")
    property_ = _read_property(table, aggregation)
    group_by = table.text_map("group_by")
    for group, path in group_by.items():
        _check_path(table, f"group_by.{group}", path)
    if len(group_by) > GROUPS_MAX:
        table.report("group_by", f"must have at most {GROUPS_MAX} names")
    filters = tuple(_read_filters(table))
    table.close()
    return MeterDefinition(
        name, event_type, aggregation or "count", property_, tuple(sorted(group_by.items())), filters
    )


def _read_property(table: Table, aggregation: str) -> str | None:
    """The path of what is counted. `aggregation`: "" if the catalog names none that there is."""
    if aggregation == "count":
        if table.has("property"):
            table.report("property", "must be absent: a count has none")
        return None
    if not aggregation and not table.has("property"):
        return None
    path = table.text("property")
    _check_path(table, "property", path)
    return path


def _read_filters(table: Table) -> Iterator[Filter]:
    inner = table.table("filter")
    for path in sorted(inner.members) if inner is not None else ():
        assert inner is not None
        values = inner.texts(path)
        _check_path(inner, path, path)
        if not values:
            inner.report(path, "must list the values that pass: without one the meter counts nothing")
        yield Filter(path, frozenset(values))


def _check_path(table: Table, name: str, path: str) -> None:
    if path and (problem := path_problem(path)):
        table.report(name, problem)


def _compile(meter: Meter) -> Callable[[UsageEvent, int], Measure | None]:
    """One closure that reads everything the meter needs, with the paths resolved once."""
    definition = meter.definition
    filters = [(getter(item.path), item.values) for item in definition.filters]
    groups = [getter(path) for _, path in definition.group_by]
    get = getter(definition.property) if definition.property is not None else None
    convert = _CONVERSIONS.get(definition.aggregation)
    ranked = definition.aggregation == "latest"
    known: dict[tuple[object, ...], tuple[str, ...]] = {}

    def read(event: UsageEvent, time_us: int) -> Measure | None:
        for get_filtered, values in filters:
            if scalar_text(get_filtered(event)) not in values:
                return None
        found = tuple([get_group(event) for get_group in groups])
        try:
            value = None if get is None or convert is None else convert(get(event))
            group = known.get(found)
        except (Unreadable, TypeError):
            raise InvalidEvent(_unreadable(definition, event)) from None
        if group is None:
            group = _read_group(meter, event, known)
        if ranked:
            assert isinstance(value, int)
            return Measure(meter, group, (time_us, value))
        return Measure(meter, group, value)

    return read


def _read_group(meter: Meter, event: UsageEvent, known: dict[tuple[object, ...], tuple[str, ...]]) -> tuple[str, ...]:
    """The group's texts, checked; remembered by the texts, for to a dict 1, 1.0 and true are the same."""
    definition = meter.definition
    found = [getter(path)(event) for _, path in definition.group_by]
    try:
        group = tuple([group_text(value) for value in found])
    except Unreadable:
        raise InvalidEvent(_unreadable(definition, event)) from None
    if len(orjson.dumps([definition.name, meter.version, *group])) > SERIES_BYTES_MAX:
        raise InvalidEvent([Problem("data", f"the groups of meter {definition.name} are too long together")])
    if len(known) >= REMEMBERED_MAX:
        known.clear()
    known[group] = group
    return group


def _unreadable(definition: MeterDefinition, event: UsageEvent) -> Iterator[Problem]:
    """Every property of the meter that the event does not hold as it should."""
    reads: list[tuple[str, Callable[[object], object]]] = [(path, group_text) for _, path in definition.group_by]
    if definition.property is not None:
        reads.insert(0, (definition.property, _CONVERSIONS[definition.aggregation]))
    for path, convert in reads:
        try:
            convert(getter(path)(event))
        except Unreadable as error:
            yield Problem(path, f"{error} (meter {definition.name})")


_CONVERSIONS: Final[Mapping[str, Callable[[object], int | bytes]]] = {
    "sum": scaled_quantity,
    "average": scaled_quantity,
    "min": scaled_quantity,
    "max": scaled_quantity,
    "latest": scaled_quantity,
    "unique": text_digest,
}
"""How a property becomes a value of the engine; a count has none."""
