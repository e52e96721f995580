"""Tables as CSV (RFC 4180): the same figures as in the JSON, letter by letter, one row an entry of the list.

A header row, lines that end with CRLF, UTF-8. Null is an empty cell; what is an object or a list in JSON is its JSON.

A spreadsheet takes a cell that begins with one of = + - @ (or a tab or line break, or the wide forms of these) for a
formula, and ids are not ours. Such a text gets an apostrophe in front, and so does one that begins with an apostrophe:
whoever reads the file takes one apostrophe off the front, and has every text as it was. Numbers stay as they are.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

CSV_TYPE = "text/csv"
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
RISKY = tuple("=+-@\t\r\n＝＋－＠'")
FILE_NAME_MAX = 80
FILE_NAME_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How a list in an answer becomes rows.

    A column names a member of the row, or else of the whole answer; `period.start` is a member of a member.
    `spread`: the member of a row whose members are columns, and the parameter that names them.
    """

    name: str
    rows: str = "data"
    columns: tuple[str, ...]
    spread: tuple[str, str] | None = None
    cursor: str | None = None
    """The parameter that takes the answer's `next`."""

    def header(self, query: Mapping[str, str]) -> list[str]:
        if self.spread is None:
            return list(self.columns)
        member, parameter = self.spread
        return [*self.columns, *(f"{member}.{name}" for name in read_names(query.get(parameter)))]


def read_names(text: str | None) -> list[str]:
    """Names that are separated by commas, each once."""
    return list(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))


def render_csv(table: Table, content: Mapping[str, Any], query: Mapping[str, str]) -> bytes:
    """The list of an answer as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    header = table.header(query)
    writer.writerow([_cell(name) for name in header])
    for row in content[table.rows]:
        writer.writerow([_cell(_find(name, row, content)) for name in header])
    return text.getvalue().encode()


def file_name(table: Table, content: Mapping[str, Any]) -> str:
    """What the file is called where it is saved: letters, digits and little else."""
    parts = [table.name, *(str(content[name]) for name in ("customer", "meter") if content.get(name))]
    return FILE_NAME_UNSAFE.sub("_", "-".join(parts))[:FILE_NAME_MAX] + ".csv"


def next_link(path: str, query: Iterable[tuple[str, str]], cursor: str, place: str) -> str:
    """A `Link` header (RFC 8288) to the next page: the same question, further on."""
    kept = [(name, value) for name, value in query if name != cursor]
    return f'<{path}?{urlencode([*kept, (cursor, place)])}>; rel="next"'


def _find(column: str, row: Mapping[str, Any], content: Mapping[str, Any]) -> Any:
    outer, _, inner = column.partition(".")
    value = row[outer] if outer in row else content.get(outer)
    return value.get(inner) if inner and isinstance(value, Mapping) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return orjson.dumps(value).decode()
    risky = value.startswith(RISKY) and not NUMBER.fullmatch(value)
    return f"'{value}" if risky else value


CUSTOMERS = Table(
    name="customers",
    columns=(
        *("customer", "plan", "spend", "currency", "limit", "limit_share", "allowed", "time_zone", "resets_at"),
        "last_event",
    ),
    cursor="after",
)
USAGE = Table(
    name="usage", columns=("customer", "meter", "start", "end", "time_zone", "value"), spread=("group", "group_by")
)
SPEND = Table(
    name="spend",
    rows="lines",
    columns=(
        *("customer", "period.start", "period.end", "time_zone", "rate", "meter", "group", "quantity", "currency"),
        *("amount", "rate_text"),
    ),
)
SERIES = Table(name="spend-series", columns=("customer", "start", "end", "time_zone", "rate", "currency", "amount"))
EVENTS = Table(
    name="events",
    columns=("arrival", "time", "id", "type", "outcome", "error", "meters", "partition", "offset"),
)
ALERTS = Table(
    name="alerts",
    columns=(
        *("time", "type", "customer", "rule", "threshold", "spend", "limit", "currency", "period.start", "period.end"),
        *("latency_s", "id"),
    ),
    cursor="since",
)
LETTERS = Table(
    name="dead-letters",
    columns=("time", "customer", "error", "attempts", "topic", "partition", "offset", "event_id"),
    cursor="since",
)
