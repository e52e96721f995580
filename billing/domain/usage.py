"""The usage event: one CloudEvent as structured JSON, decoded and checked in one pass.

The fast path is one typed decode. A typed decoder keeps the last of two equal members and skips what it does not
know, so one more look follows: every string has two quotes, so where the quotes of the text are just those of what
was decoded, nothing was dropped. Everything else (escapes, unknown members, anything wrong) takes the strict path,
which also names every problem.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from billing.domain.json_text import DEPTH_MAX, SURELY_SHORT, JsonProblem, exact_number, parse
from billing.domain.problems import InvalidEvent, Problem
from billing.domain.timestamps import parse_time_us, time_text

EVENT_BYTES_MAX = 256 * 1024
SUBJECT_BYTES_MAX = 256
NAME_BYTES_MAX = 512
"""Bytes of `id` and of `source`."""
AHEAD_MAX_S = 24 * 3600
DOOR_GRACE_S = 0
LOG_GRACE_S = 3600
"""In the log an event dies only this far beyond what the door refuses, so that nothing that was accepted dies."""

_DAY_US = 86_400 * 1_000_000
_LAST_US = parse_time_us("9999-01-01T00:00:00Z")
_TEXT_LIMITS = {"id": NAME_BYTES_MAX, "source": NAME_BYTES_MAX, "type": EVENT_BYTES_MAX, "subject": SUBJECT_BYTES_MAX}


Short = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
"""Characters that make at most 256 bytes, whatever they are: no need to count bytes. Longer texts take longer."""


class UsageEvent(msgspec.Struct, gc=False, frozen=True):
    """A valid usage event. `time` as it was given; `data` is JSON with numbers as int or Decimal."""

    specversion: Literal["1.0"]
    id: Short
    source: Short
    type: Short
    subject: Short
    time: str | None = None
    data: Any = None
    datacontenttype: str | None = None


_decode = msgspec.json.Decoder(UsageEvent, float_hook=exact_number).decode


def decode(value: bytes | None) -> UsageEvent:
    """The event that the bytes hold.

    Raises:
        InvalidEvent: every problem, by field.
    """
    if value is None or len(value) > EVENT_BYTES_MAX:
        raise InvalidEvent([_size_problem(value)])
    try:
        event = _decode(value)
    except (JsonProblem, RecursionError, UnicodeDecodeError, msgspec.MsgspecError):
        return _decode_strictly(value)
    if b"\\" in value or value.count(b'"') != _quotes(event):
        return _decode_strictly(value)
    return event


def _quotes(event: UsageEvent) -> int:
    """Quotes in the text that `event` was decoded from, if nothing was dropped; -1 where it takes longer to know."""
    quotes = 20 if event.time is None else 24
    if event.datacontenttype is not None:
        quotes += 4
    if event.data is None:
        return quotes
    inner = _quotes_in(event.data, 1)
    return -1 if inner < 0 else quotes + 2 + inner


def _quotes_in(value: Any, depth: int) -> int:
    """Quotes of a JSON value that stands `depth` deep; -1: too deep, or a number that may be too long."""
    if depth >= DEPTH_MAX:
        return -1
    quotes = 0
    items = value
    if type(value) is dict:
        quotes = 2 * len(value)
        items = value.values()
    elif type(value) is not list:
        items = (value,)
    for item in items:
        kind = type(item)
        if kind is str:
            quotes += 2
        elif kind is int:
            if not -SURELY_SHORT < item < SURELY_SHORT:
                return -1
        elif kind is dict or kind is list:
            inner = _quotes_in(item, depth + 1)
            if inner < 0:
                return -1
            quotes += inner
    return quotes


def _decode_strictly(value: bytes) -> UsageEvent:
    """Slow and thorough. Raises InvalidEvent with every problem that can be seen."""
    try:
        members = parse(value) if value else {}
    except JsonProblem as error:
        raise InvalidEvent([Problem("", str(error))]) from None
    if not value:
        raise InvalidEvent([_size_problem(None)])
    if not isinstance(members, dict):
        raise InvalidEvent([Problem("", "must be a JSON object: one CloudEvent")])
    if problems := _member_problems(members):
        raise InvalidEvent(problems)
    return UsageEvent(**{name: members[name] for name in UsageEvent.__struct_fields__ if name in members})


def decode_what_fits(value: bytes) -> UsageEvent | None:
    """Of an event that `decode` refuses the members that are right, with stand-ins, so that they can be checked too.

    None if the bytes hold no event at all.
    """
    if not value or len(value) > EVENT_BYTES_MAX:
        return None
    try:
        members = parse(value)
    except JsonProblem:
        return None
    if not isinstance(members, dict):
        return None
    wrong = {problem.field for problem in _member_problems(members)}
    fit = {name: members[name] for name in UsageEvent.__struct_fields__ if name in members and name not in wrong}
    return UsageEvent(**{"specversion": "1.0", "id": "-", "source": "-", "type": "", "subject": "-"} | fit)


def _member_problems(members: Mapping[str, Any]) -> list[Problem]:
    problems = []
    if members.get("specversion") != "1.0":
        problems.append(Problem("specversion", 'must be "1.0"'))
    for name, bytes_max in _TEXT_LIMITS.items():
        if message := _text_problem(members.get(name), bytes_max):
            problems.append(Problem(name, message))
    optional = ("time", "datacontenttype")
    problems += [Problem(name, "must be text") for name in optional if not isinstance(members.get(name), str | None)]
    return problems


def _size_problem(value: bytes | None) -> Problem:
    if not value:
        return Problem("", "must not be empty")
    return Problem("", f"must have at most {EVENT_BYTES_MAX} bytes, but has {len(value)}")


def _text_problem(text: object, bytes_max: int) -> str | None:
    if text is None:
        return "is missing"
    if not isinstance(text, str):
        return "must be text"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "must be text without lone surrogates"
    return None if 0 < size <= bytes_max else f"must have 1 to {bytes_max} bytes"


def check_key(event: UsageEvent, key: bytes | None) -> None:
    """The record's key must be the event's subject.

    Raises:
        InvalidEvent
    """
    if event.subject.encode() != key:
        raise InvalidEvent([Problem("subject", "must be the record's key")])


def moment_us(event: UsageEvent, arrival_ms: int, *, horizon_d: int, grace_s: int) -> int:
    """When the usage happened, in microseconds since 1970: its `time`, or else its arrival.

    `grace_s`: DOOR_GRACE_S, or LOG_GRACE_S for what is in the log already.

    Raises:
        InvalidEvent: `time` is none, or more than the horizon before or 24 hours after the arrival; in the log: an
            hour beyond that, or more.
    """
    arrival_us = arrival_ms * 1000
    try:
        instant_us = arrival_us if event.time is None else parse_time_us(event.time)
    except ValueError as error:
        raise InvalidEvent([Problem("time", str(error))]) from None
    grace_us = grace_s * 1_000_000 - 1 if grace_s else 0
    if instant_us < arrival_us - horizon_d * _DAY_US - grace_us:
        raise InvalidEvent([Problem("time", f"must not be more than {horizon_d} days before its arrival")])
    if instant_us > arrival_us + AHEAD_MAX_S * 1_000_000 + grace_us:
        raise InvalidEvent([Problem("time", "must not be more than 24 hours after its arrival")])
    if not 0 <= instant_us < _LAST_US:
        raise InvalidEvent([Problem("time", f"must be from 1970 to {time_text(_LAST_US - 1_000_000)}")])
    return instant_us
