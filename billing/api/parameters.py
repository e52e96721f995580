"""Query parameters: read as text, checked here, refused by name."""

from billing.api.problems import invalid
from billing.domain.timestamps import parse_time_us

SECOND_US = 1_000_000


def read_limit(text: str | None, *, default: int, most: int) -> int:
    """A number of entries, 1 to `most`. Raises Problem."""
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:10]) <= most:
        raise invalid("limit", f"must be a whole number from 1 to {most}")
    return int(text)


def read_instant_s(name: str, text: str) -> int:
    """An RFC 3339 time in whole seconds. Raises Problem."""
    try:
        instant_us = parse_time_us(text.replace(" ", "+"))  # a + that was not encoded arrives as a space
    except ValueError as error:
        raise invalid(name, str(error)) from error
    if instant_us % SECOND_US or instant_us < 0:
        raise invalid(name, "must be a whole second from 1970 on")
    return instant_us // SECOND_US


def read_choice(name: str, text: str | None, options: frozenset[str]) -> str | None:
    """One of the options. Raises Problem."""
    if text is not None and text not in options:
        raise invalid(name, f"must be one of {', '.join(sorted(options))}")
    return text
