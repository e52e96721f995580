"""What an event adds, read from a meter's definition as it stands in the catalog: a plain interpreter of paths.

Independent of how the service reads meters, by the contract alone: a meter matches by type and filter, and then its
property and groups must be readable, or the whole event is dead.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

from billing.audit.events import CannotCount, Usage
from billing.audit.folding import SCALE, Figure, figure_of_one

QUANTITY_END = 10**15
GROUP_BYTES_MAX = 256
NAME_BYTES_MAX = 1_024
"""Of a meter, its version and a group together, as JSON."""
DECIMAL_CHARACTERS_MAX = 64
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_KEPT_AS = {"average": "sum"}
"""An average is kept as a sum and the number of its events."""


@dataclass(frozen=True)
class MeterRule:
    """One version of a meter. `definition`: the members of the catalog's entry."""

    name: str
    version: int
    definition: Mapping[str, Any]

    @cached_property
    def aggregate(self) -> str:
        aggregation: str = self.definition["aggregation"]
        return _KEPT_AS.get(aggregation, aggregation)

    @cached_property
    def group_names(self) -> tuple[str, ...]:
        return tuple(sorted(self.definition.get("group_by") or {}))

    def matches(self, usage: Usage) -> bool:
        if usage.type != self.definition["event_type"]:
            return False
        wanted = (self.definition.get("filter") or {}).items()
        return all(scalar_text(member(usage, path)) in [scalar_text(one) for one in values] for path, values in wanted)

    def group(self, usage: Usage) -> tuple[str, ...]:
        """The group's values in the order of `group_names`. Raises CannotCount."""
        paths = self.definition.get("group_by") or {}
        group = tuple(_group_text(member(usage, paths[name])) for name in self.group_names)
        if _name_bytes(self.name, self.version, group) > NAME_BYTES_MAX:
            raise CannotCount("the group is too long")
        return group

    def figure(self, usage: Usage, rank: tuple[int, int, int, int]) -> Figure:
        """The event's own share of its cell. Raises CannotCount."""
        aggregate = self.aggregate
        if aggregate == "count":
            return figure_of_one(aggregate, 0, rank, b"")
        value = member(usage, self.definition["property"])
        if aggregate == "unique":
            text = scalar_text(value)
            if value is None or text is None:
                raise CannotCount("no value to tell apart")
            return figure_of_one(aggregate, 0, rank, hashlib.blake2b(text.encode(), digest_size=16).digest())
        return figure_of_one(aggregate, _scaled(value), rank, b"")


def member(usage: Usage, path: str) -> Any:
    """What stands at a path like `data.usage.tokens`; None where nothing does."""
    at: Any = usage.members
    for name in _steps(path):
        at = at.get(name) if isinstance(at, dict) else None
    return at


@lru_cache(maxsize=1_000)
def _steps(path: str) -> list[str]:
    return path.split(".")


@lru_cache(maxsize=100_000)
def _name_bytes(meter: str, version: int, group: tuple[str, ...]) -> int:
    return len(json.dumps([meter, version, *group], ensure_ascii=False, separators=(",", ":")).encode())


def scalar_text(value: object) -> str | None:
    """A group or filter value as text; None for an object or a list."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case Decimal():
            text = format(value, "f")
            text = text.rstrip("0").rstrip(".") if "." in text else text
            return "0" if text == "-0" else text
        case _:
            return None


def _group_text(value: object) -> str:
    text = scalar_text(value)
    if text is None or len(text.encode()) > GROUP_BYTES_MAX:
        raise CannotCount("a group is no short text")
    return text


def _scaled(value: object) -> int:
    """The quantity as whole units of 10**-12."""
    exact: int | Fraction
    match value:
        case int() if not isinstance(value, bool):
            exact = value
        case Decimal():
            exact = Fraction(value)
        case str() if len(value) <= DECIMAL_CHARACTERS_MAX and _DECIMAL.fullmatch(value):
            exact = Fraction(value)
        case _:
            raise CannotCount("the quantity is no number")
    if not -QUANTITY_END < exact < QUANTITY_END:
        raise CannotCount("the quantity is too large")
    scaled = exact * SCALE
    if scaled.denominator != 1:
        raise CannotCount("the quantity has more than 12 decimals")
    return scaled.numerator
