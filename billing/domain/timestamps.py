"""RFC 3339 times as microseconds since 1970 in UTC, and back. Whole seconds are remembered, so a time costs little."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,40}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time_us(text: str) -> int:
    """Microseconds since 1970. Finer fractions are cut; a leap second is the first second of the next minute.

    Raises:
        ValueError: `text` is not an RFC 3339 time.
    """
    if len(text) >= 20 and text[-1] == "Z":
        whole_us = _second_us(text[:19])
        if len(text) == 20:
            return whole_us
        fraction = text[20:-1]
        if text[19] == "." and fraction.isascii() and fraction.isdecimal() and len(fraction) <= 40:
            return whole_us + int(fraction[:6].ljust(6, "0"))
    return _parse(text)


@lru_cache(maxsize=16_384)
def _second_us(text: str) -> int:
    return _parse(text + "Z")


def _parse(text: str) -> int:
    match = _TIME.fullmatch(text)
    if not match:
        raise ValueError("must be an RFC 3339 time, for example 2026-11-23T11:00:00Z")
    year, month, day, hour, minute, second, fraction, sign, offset_hour, offset_minute = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        raise ValueError("must be a day that exists") from None
    if int(hour) > 23 or int(minute) > 59 or int(second) > 60:
        raise ValueError("must be a time of day that exists")
    seconds = days * 86_400 + int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            raise ValueError("must have an offset below 24 hours")
        offset_s = int(offset_hour) * 3600 + int(offset_minute) * 60
        seconds += offset_s if sign == "-" else -offset_s
    return seconds * 1_000_000 + int((fraction or "")[:6].ljust(6, "0"))


def time_text(instant_us: int) -> str:
    """RFC 3339 in UTC with `Z`; a fraction only where there is one. `instant_us` must lie in the years 1 to 9999."""
    moment = _EPOCH + timedelta(microseconds=instant_us)
    return moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


def instant_text(instant_s: int) -> str:
    """RFC 3339 in UTC with `Z`, of whole seconds since 1970."""
    return time_text(instant_s * 1_000_000)
