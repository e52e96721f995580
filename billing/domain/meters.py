"""Meters: what of an event is counted, and in which group.

A meter reads an event in three steps: does it match (type and filter), what is its group, what is its value. Paths
like `data.usage.tokens` name members of the event; a member name that holds a dot cannot be named.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Any, Final, NamedTuple

from engine.aggregate import Aggregate, Value

from billing.domain.money import PLACES, SCALE, parse_decimal, plain
from billing.domain.problems import InvalidEvent, Problem
from billing.domain.usage import UsageEvent

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

QUANTITY_MAX = 10**15
GROUP_BYTES_MAX = 256
_EXACT = Context(prec=80, traps=[Inexact, InvalidOperation, Overflow])


class Unreadable(ValueError):
    """A property does not hold what the meter needs. The message says what it must be."""


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

    @property
    def group_names(self) -> tuple[str, ...]:
        """Sorted: group values stand in this order."""
        return tuple(name for name, _ in self.group_by)


class Meter:
    """One version of a meter, ready to read events: what it counts never changes. Compared and hashed by identity."""

    def __init__(self, definition: MeterDefinition, version: int = 1) -> None:
        self.definition: Final = definition
        self.version: Final = version
        self.name: Final = definition.name
        self.aggregation: Final = definition.aggregation
        self.aggregate: Final = AGGREGATIONS[definition.aggregation]
        self.group_names: Final = definition.group_names
        self._reader: Final = _compile(self)

    def __repr__(self) -> str:
        return f"<meter {self.name} version {self.version}>"

    def read(self, event: UsageEvent, time_us: int) -> "Measure | None":
        """What the event adds, or None if it does not match. `time_us` ranks the values of a `latest` meter.

        Raises:
            InvalidEvent: it matches, and a property cannot be read; every such property.
        """
        return self._reader(event, time_us)


class Measure(NamedTuple):
    """What one event adds to one meter: the value as the engine wants it, its group in the order of `group_names`."""

    meter: Meter
    group: tuple[str, ...]
    value: Value


class MeterSet:
    """The meters that are valid for arrivals in [from_ms, until_ms)."""

    def __init__(self, meters: Iterable[Meter], from_ms: int, until_ms: int) -> None:
        self.meters = tuple(meters)
        self.from_ms = from_ms
        self.until_ms = until_ms
        self._by_type: dict[str, tuple[Meter, ...]] = {}
        for meter in self.meters:
            self._by_type[meter.definition.event_type] = (*self._by_type.get(meter.definition.event_type, ()), meter)

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
            raise InvalidEvent(dict.fromkeys(problems))
        return measures


def digest_of(text: str) -> bytes:
    """The 16 bytes by which a `unique` meter knows a value."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def scaled_quantity(value: object) -> int:
    """A quantity times 10**12, exactly: of a JSON integer, a JSON number or a decimal text.

    Raises:
        Unreadable: not a number, more than 12 decimals, or not below 10**15 in size.
    """
    if type(value) is int:
        if -QUANTITY_MAX < value < QUANTITY_MAX:
            return value * SCALE
        raise Unreadable("must be below 10^15 in size")
    if type(value) is str:
        try:
            exact = parse_decimal(value) * SCALE
        except ValueError as error:
            raise Unreadable(str(error)) from None
        if abs(exact) >= QUANTITY_MAX * SCALE:
            raise Unreadable("must be below 10^15 in size")
        if exact.denominator != 1:
            raise Unreadable(f"must have at most {PLACES} decimals")
        return exact.numerator
    if type(value) is Decimal:
        return _scaled_decimal(value)
    raise Unreadable("is missing" if value is None else "must be a number, or a decimal number as text")


def _scaled_decimal(value: Decimal) -> int:
    if value and value.adjusted() >= 15:
        raise Unreadable("must be below 10^15 in size")
    try:
        return int(_EXACT.to_integral_exact(_EXACT.scaleb(value, PLACES)))
    except Inexact:
        raise Unreadable(f"must have at most {PLACES} decimals") from None


def group_text(value: object) -> str:
    """A group property as text: numbers plainly (1.50 is `1.5`), booleans as in JSON, absent or null as "".

    Raises:
        Unreadable: an object or a list, or more than 256 bytes.
    """
    if type(value) is not str:
        value = scalar_text(value)
        if value is None:
            raise Unreadable("must be text, a number or a boolean")
    if len(value) > GROUP_BYTES_MAX // 4 and len(value.encode()) > GROUP_BYTES_MAX:
        raise Unreadable(f"must have at most {GROUP_BYTES_MAX} bytes")
    return value


def scalar_text(value: object) -> str | None:
    """The text of a string, number or boolean, "" for what is absent or null; None for an object or a list."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    return plain(value, places=500) if isinstance(value, Decimal) else None


def _compile(meter: Meter) -> Callable[[UsageEvent, int], Measure | None]:
    """One closure that reads everything the meter needs, with the paths resolved once."""
    definition = meter.definition
    filters = [(_getter(item.path), item.values) for item in definition.filters]
    groups = [(path, _getter(path)) for _, path in definition.group_by]
    path = definition.property
    get = _getter(path) if path is not None else None
    convert = _VALUES[definition.aggregation]

    def read(event: UsageEvent, time_us: int) -> Measure | None:
        for get_filtered, values in filters:
            if scalar_text(get_filtered(event)) not in values:
                return None
        place = path
        try:
            value: Value = convert(get(event), time_us) if get is not None else None
            group = []
            for place, get_group in groups:
                group.append(group_text(get_group(event)))
        except Unreadable:
            raise InvalidEvent(_unreadable(meter, event, time_us)) from None
        return Measure(meter, tuple(group), value)

    return read


def _unreadable(meter: Meter, event: UsageEvent, time_us: int) -> Iterable[Problem]:
    """Every property of the meter that the event does not hold as it should."""
    definition = meter.definition
    if definition.property is not None:
        try:
            _VALUES[definition.aggregation](_getter(definition.property)(event), time_us)
        except Unreadable as error:
            yield Problem(definition.property, f"{error} (meter {meter.name})")
    for _, path in definition.group_by:
        try:
            group_text(_getter(path)(event))
        except Unreadable as error:
            yield Problem(path, f"{error} (meter {meter.name})")


def _unique_value(value: object, _time_us: int) -> bytes:
    text = scalar_text(value)
    if value is None or text is None:
        raise Unreadable("is missing" if value is None else "must be text, a number or a boolean")
    return digest_of(text)


def _number_value(value: object, _time_us: int) -> int:
    return scaled_quantity(value)


def _latest_value(value: object, time_us: int) -> tuple[int, int]:
    return time_us, scaled_quantity(value)


_VALUES: Final[Mapping[str, Callable[[object, int], Value]]] = {
    "sum": _number_value,
    "average": _number_value,
    "min": _number_value,
    "max": _number_value,
    "latest": _latest_value,
    "unique": _unique_value,
    "count": _number_value,
}

ATTRIBUTES = ("id", "source", "type", "subject")
"""What a path may name outside of `data`."""


def path_problem(path: str) -> str | None:
    """Why a path names nothing that an event can hold, or None."""
    first, *rest = path.split(".")
    if first in ATTRIBUTES:
        return f"{first} has no members" if rest else None
    if first == "data" and rest and all(rest):
        return None
    return f'must be "data." and the name of a member, or one of {", ".join(ATTRIBUTES)}'


def _getter(path: str) -> Callable[[UsageEvent], Any]:
    """Reads the member at `path`; what is absent, or lies within something that is no object, is None."""
    first, *names = path.split(".")
    if first != "data":
        return lambda event: getattr(event, first)
    if len(names) == 1:
        only = names[0]
        return lambda event: event.data.get(only) if type(event.data) is dict else None

    def walk(event: UsageEvent) -> Any:
        value: Any = event.data
        for name in names:
            if type(value) is not dict:
                return None
            value = value.get(name)
        return value

    return walk
