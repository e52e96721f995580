"""Query parameters: read as text, checked here, refused by name."""

from typing import Annotated
from urllib.parse import unquote

from litestar.params import PathParameter, QueryParameter

from billing.api.problems import invalid
from billing.domain.timestamps import parse_time_us

CUSTOMERS = "/v1/customers/"
"""Below this a customer's name is a part of the address, percent-encoded as it came until `read_customer_id`."""

CustomerId = Annotated[str, PathParameter(description="the subject of the customer's events")]
RestOfPath = Annotated[str, PathParameter(description="the rest of the address")]
OfCustomer = Annotated[str | None, QueryParameter(name="customer", description="only of this customer")]
Limit = Annotated[str | None, QueryParameter(name="limit", description="how many at most")]
Period = Annotated[str | None, QueryParameter(name="period", description="YYYY-MM; the current month if absent")]
From = Annotated[str | None, QueryParameter(name="from", description="RFC 3339; the current month's start if absent")]
To = Annotated[str | None, QueryParameter(name="to", description="RFC 3339; the current month's end if absent")]
State = Annotated[str | None, QueryParameter(name="state", description="near, at, none (no limit) or unpriced")]

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
