"""A record of the log read again: which event it is, or that it can never count. Plain `json`, plain arithmetic."""

import json
import re
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from billing.audit.recount import LogRecord

VALUE_BYTES_MAX = 256 * 1024
SUBJECT_BYTES_MAX = 256
NAME_BYTES_MAX = 512
DEPTH_MAX = 64
NUMBER_CHARACTERS_MAX = 64
EXPONENT_MAX = 400
HOUR_US = 3_600 * 1_000_000
DAY_US = 24 * HOUR_US
AHEAD_MAX_US = DAY_US
GRACE_US = HOUR_US
"""In the log, a time dies from so far beyond what the door refuses."""
YEAR_9999_US = 253_370_764_800 * 1_000_000

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,40}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII | re.IGNORECASE
)
_EPOCH = date(1970, 1, 1)


class CannotCount(Exception):
    """The event is dead: for a reason that follows from its bytes, its arrival and the facts."""


class Usage(NamedTuple):
    source: str
    id: str
    type: str
    subject: str
    time_us: int
    members: dict[str, Any]
    """The whole event; numbers are int or Decimal."""


def read_usage(record: LogRecord, *, horizon_d: int) -> Usage:
    """Raises CannotCount."""
    members = _parse(record.value)
    if members.get("specversion") != "1.0":
        raise CannotCount("specversion")
    source = _text(members, "source", NAME_BYTES_MAX)
    id_ = _text(members, "id", NAME_BYTES_MAX)
    type_ = _text(members, "type", VALUE_BYTES_MAX)
    subject = _text(members, "subject", SUBJECT_BYTES_MAX)
    if not isinstance(members.get("datacontenttype"), str | None):
        raise CannotCount("datacontenttype")
    if subject.encode() != record.key:
        raise CannotCount("the key is not the subject")
    time_us = _moment_us(members.get("time"), record.timestamp * 1_000, horizon_d)
    return Usage(source, id_, type_, subject, time_us, members)


def _parse(value: bytes | None) -> dict[str, Any]:
    if not value or len(value) > VALUE_BYTES_MAX:
        raise CannotCount("no value, or one that is too large")
    try:
        members = _decoder.decode(value.decode("utf-8", errors="strict"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise CannotCount(str(error)) from error
    if not isinstance(members, dict):
        raise CannotCount("not an object")
    if value.count(b"{") + value.count(b"[") > DEPTH_MAX or b"\\u" in value:
        _check_nesting(members)
    return members


def _check_nesting(members: dict[str, Any]) -> None:
    """No deeper than DEPTH_MAX, and every text is one that UTF-8 can hold."""
    level: list[Any] = [members]
    for _ in range(DEPTH_MAX):
        names = [name for one in level if isinstance(one, dict) for name in one]
        inner = [one for outer in level for one in (outer.values() if isinstance(outer, dict) else outer)]
        try:
            "".join(one for one in (*names, *inner) if isinstance(one, str)).encode()
        except UnicodeEncodeError as error:
            raise CannotCount("half of a surrogate pair") from error
        level = [one for one in inner if isinstance(one, dict | list)]
        if not level:
            return
    raise CannotCount("nested too deeply")


def _text(members: dict[str, Any], name: str, bytes_max: int) -> str:
    text = members.get(name)
    if not isinstance(text, str):
        raise CannotCount(f"{name} is not text")
    size = len(text.encode())
    if not 0 < size <= bytes_max:
        raise CannotCount(f"{name} has {size} bytes")
    return text


def _moment_us(text: object, arrival_us: int, horizon_d: int) -> int:
    time_us = arrival_us if text is None else _time_us(text)
    too_old = time_us <= arrival_us - horizon_d * DAY_US - GRACE_US
    too_new = time_us >= arrival_us + AHEAD_MAX_US + GRACE_US
    if too_old or too_new or not 0 <= time_us < YEAR_9999_US:
        raise CannotCount("time is too far from the arrival")
    return time_us


def _time_us(text: object) -> int:
    """RFC 3339 by calendar arithmetic. A leap second is the second after it; what is finer than 1 us is cut."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise CannotCount("time is not RFC 3339")
    day, hour, minute, second, fraction, sign, zone_hour, zone_minute = match.groups()
    if int(hour) > 23 or int(minute) > 59 or int(second) > 60 or int(zone_hour or 0) > 23 or int(zone_minute or 0) > 59:
        raise CannotCount("time does not exist")
    try:
        since = date.fromisoformat(day) - _EPOCH
    except ValueError as error:
        raise CannotCount("time is not a day") from error
    since += timedelta(hours=int(hour), minutes=int(minute), seconds=int(second))
    ahead = timedelta(hours=int(zone_hour or 0), minutes=int(zone_minute or 0))
    since += ahead if sign == "-" else -ahead
    return since // timedelta(microseconds=1) + int(((fraction or "") + "000000")[:6])


def _whole_number(text: str) -> int:
    if len(text) > NUMBER_CHARACTERS_MAX:
        raise CannotCount("a number is too long")
    return int(text)


def _number(text: str) -> Decimal:
    if len(text) > NUMBER_CHARACTERS_MAX:
        raise CannotCount("a number is too long")
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise CannotCount("a number is too large") from error
    if abs(number.adjusted()) > EXPONENT_MAX:
        raise CannotCount("a number is too large")
    return number


def _no_constant(text: str) -> object:
    raise CannotCount(f"{text} is not a number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise CannotCount("a member stands twice")
    return members


_decoder = json.JSONDecoder(
    parse_int=_whole_number, parse_float=_number, parse_constant=_no_constant, object_pairs_hook=_object
)
