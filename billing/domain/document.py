"""A part of a catalog or rate file, read member by member.

Every problem is collected with its place instead of ending the reading, so that all of them are listed at once. A
member that is wrong or missing reads as a harmless stand-in; what was built is used only if there are no problems.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from billing.domain.money import parse_decimal
from billing.domain.problems import Problem

_ABSENT = object()
_KINDS: Mapping[type, str] = {
    str: "text",
    dict: "a table",
    list: "a list",
    int: "a whole number",
    Decimal: "a number",
    float: "a number",
    date: "a date",
}


class Table:
    """One object of the document. Reading a member marks it as known; `close` reports the others."""

    def __init__(self, members: object, place: str, problems: list[Problem]) -> None:
        self.place = place
        self.problems = problems
        self.members: Mapping[str, Any] = {}
        self._known: set[str] = set()
        if isinstance(members, dict):
            self.members = members
        else:
            self.report("", f"must be a table, but is {describe(members)}")

    def at(self, name: str) -> str:
        """The place of a member."""
        return f"{self.place}.{name}".lstrip(".") if name else self.place

    def report(self, name: str, message: str) -> None:
        """Notes a problem with a member; "" for the table itself."""
        self.problems.append(Problem(self.at(name), message))

    def has(self, name: str) -> bool:
        """Whether the member is there and not null."""
        self._known.add(name)
        return self.members.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """A text that is not empty; required if there is no default."""
        value = self._get(name, str, _ABSENT if default is None else default)
        if value is _ABSENT:
            return ""
        if value == "" and default != "":
            self.report(name, "must not be empty")
        return str(value)

    def choice(self, name: str, options: Mapping[str, object] | frozenset[str]) -> str:
        """A text that is one of the options; "" if it is not."""
        value = self.text(name)
        if value and value not in options:
            self.report(name, f"is {value!r}, but must be one of {', '.join(sorted(options))}")
            return ""
        return value

    def decimal(
        self, name: str, default: Fraction | None = None, *, above: int | None = None, least: int | None = 0
    ) -> Fraction:
        """An exact number, written as text. `above`, `least`: bounds. Required if there is no default."""
        stand_in = Fraction(1) if default is None else default
        if not self.has(name):
            if default is None:
                self.report(name, "is missing")
            return stand_in
        value = self._get(name, str, _ABSENT)
        if value is _ABSENT:
            return stand_in
        try:
            number = parse_decimal(value)
        except ValueError as error:
            self.report(name, f"is {value[:80]!r}, but {error}")
            return stand_in
        if above is not None and number <= above:
            self.report(name, f"is {value}, but must be above {above}")
        elif least is not None and number < least:
            self.report(name, f"is {value}, but must be at least {least}")
        return number

    def optional_decimal(self, name: str, *, above: int | None = None, least: int | None = 0) -> Fraction | None:
        """As `decimal`; None where the member is absent or null."""
        return self.decimal(name, above=above, least=least) if self.has(name) else None

    def whole(self, name: str, default: int, *, least: int = 0) -> int:
        """A whole number."""
        value = self._get(name, int, default)
        if value < least:
            self.report(name, f"is {value}, but must be at least {least}")
        return int(value)

    def table(self, name: str) -> "Table | None":
        """The member as a table; None where it is absent."""
        return Table(self.members[name], self.at(name), self.problems) if self.has(name) else None

    def tables(self, name: str, *, required: bool = False) -> Iterator["Table"]:
        """The tables of a list, each with its place."""
        items = self._get(name, list, _ABSENT if required else [])
        if required and items == []:
            self.report(name, "must not be empty")
        for index, item in enumerate([] if items is _ABSENT else items):
            yield Table(item, f"{self.at(name)}[{index}]", self.problems)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; what is no text is reported and left out."""
        found = []
        for index, item in enumerate(self._get(name, list, [])):
            if isinstance(item, str):
                found.append(item)
            else:
                self.report(f"{name}[{index}]", f"must be text, but is {describe(item)}")
        return tuple(found)

    def text_map(self, name: str) -> dict[str, str]:
        """A table of texts; what is no text is reported and left out."""
        inner = self.table(name)
        return {} if inner is None else {key: inner.text(key, "") for key in inner.members}

    def close(self) -> None:
        """Reports every member that nobody read."""
        for name in self.members:
            if name not in self._known:
                known = ", ".join(sorted(self._known))
                self.report(name, f"is not known here; known are {known}")

    def _get(self, name: str, kind: type, default: Any) -> Any:
        """The member if it is of that kind, else the default; no default: it is required."""
        if not self.has(name):
            if default is _ABSENT:
                self.report(name, "is missing")
            return default
        value = self.members[name]
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        hint = ', for example "0.25"' if kind is str and not isinstance(value, dict | list | bool) else ""
        self.report(name, f"must be {_KINDS[kind]}{hint}, but is {describe(value)}")
        return default


def describe(value: object) -> str:
    """What kind of thing somebody wrote, in words."""
    if isinstance(value, bool):
        return "a boolean"
    if value is None:
        return "null"
    return next((words for kind, words in _KINDS.items() if isinstance(value, kind)), "something else")
