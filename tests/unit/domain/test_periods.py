"""Hours, days and months by a customer's clock (oracle group 15: half-open, days of 23 and 25 hours, half hours)."""

import pickle
from datetime import datetime
from importlib import resources
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from billing.domain.periods import QUARTER_S, TimeZone, Window, WindowKind, time_zone, zone_names
from billing.domain.timestamps import instant_text, parse_time_us


def at(text: str) -> int:
    return parse_time_us(text) // 1_000_000


def shown(window: Window) -> tuple[str, str]:
    return instant_text(window.start_s), instant_text(window.end_s)


def rules_of(name: str) -> ZoneInfo:
    """The same data as the zone's, read by the standard library alone."""
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file)


def windows(zone: TimeZone, kind: WindowKind, from_: str, to: str) -> list[Window]:
    return list(zone.windows(kind, at(from_), at(to)))


@pytest.mark.parametrize(
    ("zone", "instant", "start"),
    [
        ("UTC", "2026-11-23T11:59:59Z", "2026-11-23T11:00:00Z"),
        ("Europe/Berlin", "2026-11-23T11:59:59Z", "2026-11-23T11:00:00Z"),
        ("Asia/Kolkata", "2026-11-23T11:29:59Z", "2026-11-23T10:30:00Z"),
        ("Asia/Kolkata", "2026-11-23T11:30:00Z", "2026-11-23T11:30:00Z"),
        ("Asia/Kathmandu", "2026-11-23T11:14:59Z", "2026-11-23T10:15:00Z"),
        ("Asia/Kathmandu", "2026-11-23T11:15:00Z", "2026-11-23T11:15:00Z"),
        ("Australia/Eucla", "2026-11-23T11:20:00Z", "2026-11-23T11:15:00Z"),
    ],
)
def test_a_cell_begins_with_the_local_hour(zone: str, instant: str, start: str) -> None:
    assert instant_text(time_zone(zone).hour_start_s(at(instant))) == start


def test_an_hour_that_exists_twice_is_two_hours() -> None:
    found = windows(time_zone("Europe/Berlin"), "hour", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z")
    assert [window.start_s for window in found] == [at("2026-10-25T00:00:00Z"), at("2026-10-25T01:00:00Z")]
    texts = [time_zone("Europe/Berlin").local_text(window.start_s) for window in found]
    assert texts == ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]


def test_a_clock_that_is_put_back_by_half_an_hour_cuts_the_hour_there() -> None:
    """Lord Howe, 5 April 2026: at 2:00 (+11) it is 1:30 (+10:30) again."""
    found = windows(time_zone("Australia/Lord_Howe"), "hour", "2026-04-04T14:00:00Z", "2026-04-04T16:30:00Z")
    assert [shown(window) for window in found] == [
        ("2026-04-04T14:00:00Z", "2026-04-04T15:00:00Z"),
        ("2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z"),
        ("2026-04-04T15:30:00Z", "2026-04-04T16:30:00Z"),
    ]


@pytest.mark.parametrize(
    ("zone", "noon", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00:00Z", 23),
        ("Europe/Berlin", "2026-10-25T12:00:00Z", 25),
        ("America/New_York", "2026-03-08T16:00:00Z", 23),
        ("Europe/Berlin", "2026-11-23T12:00:00Z", 24),
        ("Australia/Lord_Howe", "2026-04-05T02:00:00Z", 24.5),
    ],
)
def test_days_have_23_24_or_25_hours(zone: str, noon: str, hours: float) -> None:
    day = time_zone(zone).day(at(noon))
    assert (day.end_s - day.start_s) / 3600 == hours


def test_a_day_whose_midnight_is_skipped_begins_at_the_change() -> None:
    """Beirut, 29 March 2026: after 23:59:59 it is 1:00."""
    day = time_zone("Asia/Beirut").day(at("2026-03-29T12:00:00Z"))
    assert time_zone("Asia/Beirut").local_text(day.start_s) == "2026-03-29T01:00:00+03:00"
    assert shown(day) == ("2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z")


def test_a_day_that_was_skipped_is_no_window() -> None:
    """Samoa had no 30 December 2011."""
    zone = time_zone("Pacific/Apia")
    found = windows(zone, "day", "2011-12-29T12:00:00Z", "2011-12-31T12:00:00Z")
    assert [zone.local_text(window.start_s)[:10] for window in found] == ["2011-12-29", "2011-12-31", "2012-01-01"]
    assert all(first.end_s == second.start_s for first, second in pairwise(found))


def test_months_follow_the_local_calendar() -> None:
    kathmandu = time_zone("Asia/Kathmandu")
    assert shown(kathmandu.named_month("2026-11")) == ("2026-10-31T18:15:00Z", "2026-11-30T18:15:00Z")
    assert kathmandu.month(at("2026-10-31T18:14:59Z")) == kathmandu.named_month("2026-10")
    assert kathmandu.month(at("2026-10-31T18:15:00Z")) == kathmandu.named_month("2026-11")
    assert kathmandu.month_name(at("2026-11-30T18:15:00Z")) == "2026-12"
    berlin = time_zone("Europe/Berlin").named_month("2026-10")
    assert (berlin.end_s - berlin.start_s) / 3600 == 31 * 24 + 1


def test_months_do_not_drift_and_february_has_its_day() -> None:
    """From 31 January on, quarter by quarter: windows are found by the calendar, never by adding days."""
    zone = time_zone("America/Sao_Paulo")
    lengths = [
        (found.end_s - found.start_s) // 86_400 for found in map(zone.named_month, ("2024-02", "2026-02", "2026-04"))
    ]
    assert lengths == [29, 28, 30]


@pytest.mark.parametrize(
    "text", ["", "2026-13", "2026-00", "2026-1", "26-01", "2026-01-01", "1969-12", "9999-01", "２026-01"]
)
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="month"):
        time_zone("UTC").named_month(text)


def test_edges_are_where_windows_begin() -> None:
    zone = time_zone("Asia/Kolkata")
    assert zone.is_edge("hour", at("2026-11-23T11:30:00Z"))
    assert not zone.is_edge("hour", at("2026-11-23T11:00:00Z"))
    assert zone.is_edge("day", at("2026-11-22T18:30:00Z"))
    assert zone.is_edge("month", at("2026-10-31T18:30:00Z"))
    assert not zone.is_edge("day", at("2026-11-22T18:30:01Z"))


def test_the_answer_does_not_depend_on_what_was_asked_before() -> None:
    """Guards the memory by quarter of an hour: instants of one quarter must have one answer."""
    asked, fresh = time_zone("Africa/Monrovia"), TimeZone("Africa/Monrovia", rules_of("Africa/Monrovia"))
    change_s = at("1972-01-07T00:44:30Z")
    first = [asked.hour(change_s + offset_s) for offset_s in range(-2000, 2000, 7)]
    again = [fresh.hour(change_s + offset_s) for offset_s in reversed(range(-2000, 2000, 7))]
    assert first == again[::-1]
    assert all(window.start_s % QUARTER_S == 0 for window in first)


def test_zones_are_those_of_the_pinned_data_and_one_object_a_name() -> None:
    assert len(zone_names()) > 500
    assert time_zone("Europe/Berlin") is time_zone("Europe/Berlin")
    assert pickle.loads(pickle.dumps(time_zone("Europe/Berlin"))) is time_zone("Europe/Berlin")
    for name in ("Mars/Olympus", "", "../etc/passwd", "europe/berlin", "/etc/localtime"):
        with pytest.raises(ValueError, match="no time zone"):
            time_zone(name)


def test_every_zone_agrees_with_the_standard_library() -> None:
    for name in sorted(zone_names()):
        zone, rules = time_zone(name), rules_of(name)
        for text in ("2026-01-15T10:07:00Z", "2026-07-15T22:40:00Z"):
            local = datetime.fromtimestamp(at(text), rules)
            start = local.replace(minute=0, second=0)
            assert zone.hour_start_s(at(text)) == start.timestamp(), name
            midnight = local.replace(hour=0, minute=0, second=0)
            assert zone.day(at(text)).start_s == midnight.timestamp(), name
            assert zone.month(at(text)).start_s == midnight.replace(day=1).timestamp(), name
