"""Query parameters: read as text, checked here, refused by name. Their descriptions say what the checks allow."""

from typing import Annotated, Any
from urllib.parse import unquote

from litestar.openapi.spec import Example
from litestar.params import PathParameter, QueryParameter

from billing.api.problems import invalid
from billing.domain.timestamps import parse_time_us

CUSTOMERS = "/v1/customers/"
"""Below this a customer's name is a part of the address, percent-encoded as it came until `read_customer_id`."""


def parameter(about: str, name: str | None = None, *, example: str | None = None, **schema: Any) -> QueryParameter:
    """One that may be absent; `schema` says what it may hold, to people and tools."""
    examples = None if example is None else [Example(value=example)]
    allowed = {"one_of": None, "type": "string"} | schema
    return QueryParameter(name=name, description=about, schema_extra=allowed, examples=examples)


def number(about: str, name: str | None = None, *, most: int, default: int) -> QueryParameter:
    """A whole number, for `read_limit`."""
    about = f"{about}: 1 to {most:,}, {default:,} if absent"
    return parameter(about, name, type="integer", minimum=1, maximum=most, default=default)


def cursor(name: str) -> QueryParameter:
    """A place that an earlier answer told."""
    return parameter(
        "the `next` of an earlier answer to the same question, opaque; empty or absent: the first page",
        name,
        max_length=4_096,
    )


CustomerId = Annotated[
    str,
    PathParameter(
        description="the subject of the customer's events, percent-encoded",
        schema_extra={"min_length": 1, "max_length": 256},
        examples=[Example(value="acme")],
    ),
]
RestOfPath = Annotated[str, PathParameter(description="the rest of the address")]
OfCustomer = Annotated[str | None, parameter("only of this customer", "customer", example="acme")]
Period = Annotated[
    str | None,
    parameter(
        "a month, YYYY-MM; the current one of the customer if absent",
        "period",
        example="2026-11",
        pattern="^[0-9]{4}-(0[1-9]|1[0-2])$",
    ),
]
From = Annotated[
    str | None,
    parameter(
        "RFC 3339, on an edge of the window; the current month's start if absent",
        "from",
        example="2026-11-01T00:00:00Z",
        format="date-time",
    ),
]
To = Annotated[
    str | None,
    parameter(
        "RFC 3339, on an edge of the window, after `from`; the current month's end if absent",
        "to",
        example="2026-12-01T00:00:00Z",
        format="date-time",
    ),
]
State = Annotated[
    str | None,
    parameter(
        "near (80 % of the limit or more, those at it too), at, none (no limit) or unpriced",
        "state",
        enum=["near", "at", "none", "unpriced"],
    ),
]

SECOND_US = 1_000_000
LAST_US = parse_time_us("9999-01-01T00:00:00Z")
"""No event is later."""


def read_customer_id(part: str) -> str:
    """The name that a part of an address stands for."""
    return unquote(part)


def read_limit(text: str | None, *, default: int, most: int, name: str = "limit") -> int:
    """A number of entries, 1 to `most`. Raises Problem."""
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:10]) <= most:
        raise invalid(name, f"must be a whole number from 1 to {most}")
    return int(text)


def read_instant_s(name: str, text: str) -> int:
    """An RFC 3339 time in whole seconds. Raises Problem."""
    try:
        instant_us = parse_time_us(text.replace(" ", "+"))  # a + that was not encoded arrives as a space
    except ValueError as error:
        raise invalid(name, str(error)) from error
    if instant_us % SECOND_US or not 0 <= instant_us <= LAST_US:
        raise invalid(name, "must be a whole second from 1970 to 9998")
    return instant_us // SECOND_US


def read_choice(name: str, text: str | None, options: frozenset[str]) -> str | None:
    """One of the options. Raises Problem."""
    if text is not None and text not in options:
        raise invalid(name, f"must be one of {', '.join(sorted(options))}")
    return text
