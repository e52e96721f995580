"""Places in an order of rows as opaque text: where the next page of a list begins, wherever its rows have gone."""

import base64
import binascii
from fractions import Fraction

import orjson

from billing.api.problems import Problem, invalid
from billing.standings import Place


def place_text(order: str, place: Place) -> str:
    """The text for a place in that order."""
    parts = [[str(part.numerator), str(part.denominator)] if isinstance(part, Fraction) else part for part in place]
    return base64.urlsafe_b64encode(orjson.dumps([order, *parts])).decode().rstrip("=")


def read_place(text: str, order: str) -> Place:
    """What `place_text` wrote for this order. Raises Problem."""
    try:
        named, *parts = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        place = tuple(Fraction(int(part[0]), int(part[1])) if isinstance(part, list) else part for part in parts)
    except (binascii.Error, ValueError, TypeError, LookupError, ZeroDivisionError) as error:
        raise _refused() from error
    if named != order:
        raise _refused()
    return place


def _refused() -> Problem:
    return invalid("after", "must be the next of an earlier answer in the same order")
