"""Where in a TOML text a member of its document stands: good enough to find the line in an editor.

Members that begin a line are found exactly; what stands inside of an inline table or a list of several lines is found
at the line where that begins.
"""

import re
from collections.abc import Iterable, Sequence

from billing.domain.problems import Problem

QUOTES = "\"' "
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_MEMBER = re.compile(r"""\s*("[^"]*"|'[^']*'|[A-Za-z0-9_-]+)\s*=""")


def with_lines(problems: Iterable[Problem], text: str) -> list[Problem]:
    """The problems, each with the line of its place."""
    lines = line_numbers(text)
    return [problem._replace(line=_line_of(problem.field, lines)) for problem in problems]


def line_numbers(text: str) -> dict[str, int]:
    """Line numbers, from 1, by place (`plans[0].rates[1].name`)."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.fullmatch(line):
            table = _place(header[2].split("."), counts, is_entry=header[1] == "[[")
            lines.setdefault(table, number)
        elif member := _MEMBER.match(line):
            lines.setdefault(_joined(table, member[1]), number)
    return lines


def _place(names: Sequence[str], counts: dict[str, int], *, is_entry: bool) -> str:
    """The place of a table; `counts` holds how many entries each list has had so far."""
    place = ""
    for index, name in enumerate(names):
        place = _joined(place, name)
        if is_entry and index == len(names) - 1:
            counts[place] = counts.get(place, 0) + 1
        if place in counts:
            place = f"{place}[{counts[place] - 1}]"
    return place


def _joined(place: str, name: str) -> str:
    return f"{place}.{name.strip(QUOTES)}".lstrip(".")


def _line_of(place: str, lines: dict[str, int]) -> int | None:
    """The line of the place, or of what it lies within."""
    while place and place not in lines:
        place = place[: max(place.rfind("."), place.rfind("["), 0)]
    return lines.get(place)
