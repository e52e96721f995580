"""Strict JSON, exactly: numbers keep every digit, and what a lenient parser lets pass is refused.

The same bytes must get the same verdict in every process, so nothing may depend on how deep the caller's stack is or
on a setting of the interpreter: nesting is bounded before anything recurses, digits before anything is converted.
"""

import json
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from billing.domain.money import DIGITS_MAX

DEPTH_MAX = 64
SURELY_SHORT = 10**60
"""Whole numbers below this in size have few enough digits."""
_STRING = re.compile(
    rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)', re.DOTALL
)  # Also one that never ends: the scan is linear.
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_NO_MARKS = bytes(set(range(256)) - set(b'[]{}"'))
_EXPONENT_MAX = 400


class JsonProblem(ValueError):
    """The text is not JSON, or not JSON that means one thing to everybody."""


def check_depth(text: bytes) -> None:
    """Refuses text that nests deeper than DEPTH_MAX, without recursion. Cheap where there are few brackets at all.

    Raises:
        JsonProblem
    """
    if text.count(b"[") + text.count(b"{") <= DEPTH_MAX:
        return
    if b"\\" not in text:
        text = text.translate(None, _NO_MARKS).replace(b'""', b"")  # Two quotes in a row begin or end nothing.
    depth = 0
    for byte in _STRING.sub(b"", text).translate(None, _NO_BRACKETS):
        if byte in b"[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise JsonProblem(f"must not nest deeper than {DEPTH_MAX}")
        else:
            depth -= 1


def exact_number(text: str) -> Decimal:
    """A JSON number with a fraction or an exponent, every digit kept.

    Raises:
        JsonProblem: more digits than anybody needs, or an exponent that could blow up a sum.
    """
    if len(text) > DIGITS_MAX:
        raise JsonProblem(f"must not hold a number of more than {DIGITS_MAX} digits")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise JsonProblem(f"must not hold a number like {text}") from None
    if abs(number.adjusted()) > _EXPONENT_MAX:
        raise JsonProblem(f"must not hold a number like {text}")
    return number


def parse(text: bytes) -> Any:
    """The value of strict JSON text, numbers as int or Decimal. Slow: for what is wrong or unusual.

    Raises:
        JsonProblem: not UTF-8, not JSON, NaN, Infinity, a member twice, nested or numbered beyond all bounds.
    """
    check_depth(text)
    try:
        value = json.loads(
            text.decode("utf-8"),
            parse_int=_exact_int,
            parse_float=exact_number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique_members,
        )
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False, default=str).encode()
        return value
    except UnicodeDecodeError as error:
        raise JsonProblem(f"must be UTF-8, but byte {error.start} is not") from None
    except UnicodeEncodeError:
        raise JsonProblem("must not hold half of a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise JsonProblem(
            f"must be JSON: {error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}"
        ) from None


def _exact_int(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise JsonProblem(f"must not hold a number of more than {DIGITS_MAX} digits")
    return int(text)


def _refuse_constant(text: str) -> Any:
    raise JsonProblem(f"must not hold {text}, which is no JSON number")


def _unique_members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JsonProblem(f"must not hold the member {twice[:64]!r} twice")
    return members
