"""The start of a customer's local hour as an instant in UTC, with the time zone rules of the `tzdata` package."""

from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

QUARTER_S = 900
HOUR_S = 3_600


@cache
def zone(name: str) -> ZoneInfo:
    """Not the machine's own rules: every reader must cut the same hours. Raises OSError: there is no such zone."""
    with resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@lru_cache(maxsize=100_000)
def hour_start_s(zone_name: str, quarter: int) -> int:
    """The start of the local hour that holds a quarter of an hour (counted since 1970).

    An hour is what the clock shows without being changed: where it is put forward or back, another hour begins.
    """
    shown = _shown(zone_name, quarter)
    while _shown(zone_name, quarter - 1) == shown:
        quarter -= 1
    return quarter * QUARTER_S


def _shown(zone_name: str, quarter: int) -> tuple[int, int]:
    """The local hour (counted since 1970) and the offset in seconds, at the start of a quarter of an hour."""
    instant_s = quarter * QUARTER_S
    offset = datetime.fromtimestamp(instant_s, UTC).astimezone(zone(zone_name)).utcoffset()
    assert offset is not None
    offset_s = offset.days * 86_400 + offset.seconds
    return (instant_s + offset_s) // HOUR_S, offset_s
