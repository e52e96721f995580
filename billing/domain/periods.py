"""Hours, days and months as a customer's clock shows them, as half-open windows of instants.

An instant is seconds since 1970 in UTC. A window begins at the first instant that the local clock shows its hour,
day or month, so a day may have 23 or 25 hours and a local hour that comes twice is two windows. The rules are those
of the pinned `tzdata` package, not of the machine: two workers must cut the same hours.

Windows are cut at quarters of an hour, the finest step between the time zones in use.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime
from functools import lru_cache
from importlib import resources
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

QUARTER_S = 900
HOUR_S = 3600
REMEMBERED_MAX = 50_000
"""Quarters of an hour whose windows a zone remembers."""

WindowKind = Literal["hour", "day", "month"]
_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")


class Window(NamedTuple):
    """Half-open: [start_s, end_s), instants in seconds since 1970 in UTC."""

    start_s: int
    end_s: int


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every time zone that a customer can have."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


@lru_cache(maxsize=1024)
def time_zone(name: str) -> "TimeZone":
    """The zone of that IANA name, one object a name.

    Raises:
        ValueError: there is no such zone.
    """
    if name not in zone_names():
        raise ValueError(f"there is no time zone {name!r}")
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return TimeZone(name, ZoneInfo.from_file(file, key=name))


class TimeZone:
    """A time zone that knows its windows. Answers depend on the instant alone, never on what was asked before."""

    def __init__(self, name: str, rules: ZoneInfo) -> None:
        self.name = name
        self._rules = rules
        self._hours: dict[int, Window] = {}
        self._longer: dict[tuple[WindowKind, int], Window] = {}
        self._days: dict[date, int] = {}

    def __repr__(self) -> str:
        return f"time_zone({self.name!r})"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return time_zone, (self.name,)

    def hour(self, instant_s: int) -> Window:
        """The local hour that holds the instant: what a cell covers. At most 3,600 seconds long."""
        quarter = instant_s // QUARTER_S
        found = self._hours.get(quarter)
        if found is None:
            if len(self._hours) >= REMEMBERED_MAX:
                self._hours.clear()
            found = self._hours[quarter] = self._find_hour(quarter * QUARTER_S)
        return found

    def hour_start_s(self, instant_s: int) -> int:
        return self.hour(instant_s).start_s

    def day(self, instant_s: int) -> Window:
        """The local day that holds the instant."""
        return self.window("day", instant_s)

    def month(self, instant_s: int) -> Window:
        """The calendar month that holds the instant."""
        return self.window("month", instant_s)

    def window(self, kind: WindowKind, instant_s: int) -> Window:
        """The window of that kind that holds the instant."""
        if kind == "hour":
            return self.hour(instant_s)
        place = kind, instant_s // QUARTER_S
        found = self._longer.get(place)
        if found is None:
            if len(self._longer) >= REMEMBERED_MAX:
                self._longer.clear()
            found = self._longer[place] = self._around(instant_s, kind)
        return found

    def windows(self, kind: WindowKind, from_s: int, to_s: int) -> Iterator[Window]:
        """The windows that hold instants of [from_s, to_s), in order; the outer ones may reach beyond it."""
        while from_s < to_s:
            window = self.window(kind, from_s)
            yield window
            from_s = window.end_s

    def is_edge(self, kind: WindowKind, instant_s: int) -> bool:
        """Whether a window of that kind begins (and so another ends) at the instant."""
        return self.window(kind, instant_s).start_s == instant_s

    def named_month(self, text: str) -> Window:
        """The month written as `YYYY-MM`.

        Raises:
            ValueError: not a month from 1970-01 to 9998-12.
        """
        match = _MONTH.fullmatch(text)
        if not match or not 1970 <= int(match[1]) <= 9998 or not 1 <= int(match[2]) <= 12:
            raise ValueError("must be a month like 2026-11")
        first = date(int(match[1]), int(match[2]), 1)
        return Window(self._day_start_s(first), self._day_start_s(_next(first, "month")))

    def month_name(self, instant_s: int) -> str:
        """The month that holds the instant, as `YYYY-MM`."""
        window = self.month(instant_s)
        return self._local(window.start_s).strftime("%Y-%m")

    def local_text(self, instant_s: int) -> str:
        """The instant as RFC 3339 on the local clock, with its offset."""
        return self._local(instant_s).isoformat()

    def _local(self, instant_s: int) -> datetime:
        return datetime.fromtimestamp(instant_s, self._rules)

    def _offset_s(self, instant_s: int) -> int:
        offset = self._local(instant_s).utcoffset()
        assert offset is not None
        return offset.days * 86_400 + offset.seconds

    def _find_hour(self, quarter_s: int) -> Window:
        """Walks quarter by quarter from the one that begins at `quarter_s`, to the clock's change or the hour's end."""
        offset_s = self._offset_s(quarter_s)
        past_s = (quarter_s + offset_s) % HOUR_S
        first_s = -(-(quarter_s - past_s) // QUARTER_S) * QUARTER_S
        start_s = quarter_s
        while start_s > first_s and self._offset_s(start_s - QUARTER_S) == offset_s:
            start_s -= QUARTER_S
        last_s = -(-(quarter_s - past_s + HOUR_S) // QUARTER_S) * QUARTER_S
        end_s = quarter_s + QUARTER_S
        while end_s < last_s and self._offset_s(end_s) == offset_s:
            end_s += QUARTER_S
        return Window(start_s, end_s)

    def _around(self, instant_s: int, kind: Literal["day", "month"]) -> Window:
        day = self._local(instant_s).date()
        first = day if kind == "day" else day.replace(day=1)
        start_s, end_s = self._day_start_s(first), self._day_start_s(_next(first, kind))
        if instant_s < start_s:  # Midnight fell within a quarter of an hour, which is all of the day before.
            return self._around(start_s - QUARTER_S, kind)
        while instant_s >= end_s:  # The clock went back over midnight: the later window goes on.
            first = _next(first, kind)
            start_s, end_s = end_s, self._day_start_s(_next(first, kind))
        return Window(start_s, end_s)

    def _day_start_s(self, day: date) -> int:
        """The first quarter of an hour in which the local date is `day` or later."""
        found = self._days.get(day)
        if found is None:
            if len(self._days) >= REMEMBERED_MAX:
                self._days.clear()
            found = self._days[day] = self._find_day_start(day)
        return found

    def _find_day_start(self, day: date) -> int:
        guess = datetime(day.year, day.month, day.day, tzinfo=self._rules)
        start_s = int(guess.timestamp()) // QUARTER_S * QUARTER_S
        while self._local(start_s).date() < day:
            start_s += QUARTER_S
        while self._local(start_s - QUARTER_S).date() >= day:  # Midnight was skipped: the day began at the change.
            start_s -= QUARTER_S
        return start_s


def _next(first: date, kind: Literal["day", "month"]) -> date:
    if kind == "day":
        return date.fromordinal(first.toordinal() + 1)
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)
