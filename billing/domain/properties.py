"""Members of an event by their path (`data.usage.tokens`), and what their values mean as quantities and groups.

A member whose name holds a dot cannot be named. `null` is the same as absent, as CloudEvents has it.
"""

from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from functools import lru_cache
from typing import Any, Final

from billing.domain.money import PLACES, SCALE, parse_decimal
from billing.domain.usage import UsageEvent
from engine import digest_of

ATTRIBUTES = ("id", "source", "type", "subject")
"""What a path may name outside of `data`."""
QUANTITY_MAX: Final[int] = 10**15
GROUP_BYTES_MAX = 256

_EXACT = Context(prec=80, traps=[Inexact, InvalidOperation, Overflow])


class Unreadable(ValueError):
    """A property does not hold what is needed. The message says what it must be."""


def path_problem(path: str) -> str | None:
    """Why a path names nothing that an event can hold, or None."""
    first, *rest = path.split(".")
    if first in ATTRIBUTES:
        return f"{first} has no members" if rest else None
    if first == "data" and rest and all(rest):
        return None
    return f'is {path!r}, but must be "data." and the name of a member, or one of {", ".join(ATTRIBUTES)}'


def getter(path: str) -> Callable[[UsageEvent], Any]:
    """Reads the member at `path`; what is absent, or lies within something that is no object, is None."""
    first, *names = path.split(".")
    if first != "data":
        return lambda event: getattr(event, first)
    if len(names) == 1:
        only = names[0]

        def look(event: UsageEvent) -> Any:
            data = event.data
            return data.get(only) if type(data) is dict else None

        return look

    def walk(event: UsageEvent) -> Any:
        value: Any = event.data
        for name in names:
            if type(value) is not dict:
                return None
            value = value.get(name)
        return value

    return walk


def scaled_quantity(value: object) -> int:
    """A quantity times 10**12, exactly: of a JSON integer, a JSON number or a decimal text.

    Raises:
        Unreadable: not a number, more than 12 decimals, or not below 10**15 in size.
    """
    if type(value) is int:
        if -QUANTITY_MAX < value < QUANTITY_MAX:
            return value * SCALE
        raise Unreadable("must be below 10^15 in size")
    if isinstance(value, Decimal):
        return _scaled_decimal(value)
    if isinstance(value, str):
        return _scaled_text(value)
    raise Unreadable("is missing" if value is None else "must be a number, or a decimal number as text")


def _scaled_decimal(value: Decimal) -> int:
    if value and value.adjusted() >= 15:
        raise Unreadable("must be below 10^15 in size")
    try:
        return int(_EXACT.to_integral_exact(_EXACT.scaleb(value, PLACES)))
    except Inexact:
        raise Unreadable(f"must have at most {PLACES} decimals") from None


def _scaled_text(text: str) -> int:
    try:
        exact = parse_decimal(text) * SCALE
    except ValueError as error:
        raise Unreadable(str(error)) from None
    if abs(exact) >= QUANTITY_MAX * SCALE:
        raise Unreadable("must be below 10^15 in size")
    if exact.denominator != 1:
        raise Unreadable(f"must have at most {PLACES} decimals")
    return exact.numerator


def group_text(value: object) -> str:
    """A group property as text: numbers plainly (1.50 is `1.5`), booleans as in JSON, absent or null as "".

    Raises:
        Unreadable: an object or a list, or more than 256 bytes.
    """
    text = value if type(value) is str else scalar_text(value)
    if text is None:
        raise Unreadable("must be text, a number or a boolean")
    if len(text) > GROUP_BYTES_MAX // 4 and len(text.encode()) > GROUP_BYTES_MAX:
        raise Unreadable(f"must have at most {GROUP_BYTES_MAX} bytes")
    return text


def scalar_text(value: object) -> str | None:
    """The text of a string, number or boolean, "" for what is absent or null; None for an object or a list."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return _number_text(value) if isinstance(value, Decimal) else None


def text_digest(value: object) -> bytes:
    """The 16 bytes by which a `unique` meter knows a value; 1 and "1" are the same.

    Raises:
        Unreadable: absent, an object or a list.
    """
    text = scalar_text(value)
    if value is None or text is None:
        raise Unreadable("is missing" if value is None else "must be text, a number or a boolean")
    return _digest(text)


def _number_text(value: Decimal) -> str:
    """Every digit, without exponent, without zeros at the end: equal numbers have equal texts."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


@lru_cache(maxsize=65_536)
def _digest(text: str) -> bytes:
    return digest_of(text.encode())
