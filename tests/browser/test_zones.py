"""Whose clock a time is on: bills follow the customer's, what happens to the system the viewer's; nobody cuts a day.

The windows of a chart are the server's, also where a day has 25 hours or 23.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from tests.browser.customer_view import open_customer
from tests.browser.reading import amount, open_view, text, texts, wait
from tests.browser.zone_answers import HOUR, Days, Window, serving_days

BERLIN = "Europe/Berlin"
KATHMANDU = "Asia/Kathmandu"
HUGE = Decimal("9007199254740993.05")
FIRST_OF_25 = datetime(2026, 10, 24, 22, tzinfo=UTC)
FIRST_OF_23 = datetime(2026, 3, 28, 23, tzinfo=UTC)


@contextmanager
def viewed_from(browser: webdriver.Chrome, zone: str) -> Iterator[None]:
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": zone})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


def hours(first: datetime, count: int) -> list[tuple[Window, Decimal]]:
    """One amount an hour, each its own; the first is beyond what a float holds."""
    starts = [first + HOUR * place for place in range(count)]
    amounts = [HUGE, *(Decimal(place) + Decimal(place) / 100 for place in range(1, count))]
    return [((start, start + HOUR), part) for start, part in zip(starts, amounts, strict=True)]


@pytest.mark.parametrize("viewer", ["America/Los_Angeles", "Pacific/Auckland"])
@pytest.mark.parametrize(
    ("first", "day", "clocks"),
    [
        pytest.param(
            FIRST_OF_25,
            "25 Oct",
            ["00:00", "01:00", "02:00 GMT+2", "02:00 GMT+1", *(f"{hour:02}:00" for hour in range(3, 24))],
            id="25 hours",
        ),
        pytest.param(
            FIRST_OF_23, "29 Mar", ["00:00", "01:00", *(f"{hour:02}:00" for hour in range(3, 24))], id="23 hours"
        ),
    ],
)
def test_a_day_on_which_the_clock_turns_has_its_hours(
    browser: webdriver.Chrome, viewer: str, first: datetime, day: str, clocks: list[str]
) -> None:
    """Each once, and each with a name of its own."""
    sold = hours(first, len(clocks))
    days = Days(BERLIN, sold[-1][0][1] + HOUR, sold)
    with viewed_from(browser, viewer), serving_days({"turned": days}) as address:
        open_view(browser, address, "/customers/turned?show=hour")
        browser.find_element("xpath", "//button[text()='Show as table']").click()
        wait(browser, "no table", lambda: texts(browser, ".chart .rows tbody tr"))
        cells = texts(browser, ".chart .rows tbody td")
        shown = list(zip(cells[::2], cells[1::2], strict=True))
        assert [(label, amount(cell)) for label, cell in shown] == [
            (f"{day} {clock}", part) for clock, (_, part) in zip(clocks, sold, strict=True)
        ]
        assert sum(amount(cell) for _, cell in shown) == days.total == amount(text(browser, ".figure .amount"))
        plot = browser.find_element("css selector", ".plot")
        for label, _ in shown:
            plot.send_keys(Keys.ARROW_RIGHT)
            wait_for_cursor(browser, label)


def wait_for_cursor(browser: webdriver.Chrome, label: str) -> None:
    wait(browser, f"the cursor is not at {label}", lambda: text(browser, ".chart .at") == label)


@pytest.mark.parametrize("viewer", ["America/Los_Angeles", "Pacific/Auckland"])
def test_days_are_those_of_the_server(browser: webdriver.Chrome, viewer: str) -> None:
    """None is doubled and none is lost around a day of 25 hours, and each stands on its customer's clock."""
    starts = [datetime(2026, 10, 24, tzinfo=ZoneInfo(BERLIN)) + timedelta(days=place) for place in range(4)]
    edges = [start.astimezone(UTC) for start in starts]
    assert [(end - begin) / HOUR for begin, end in pairwise(edges)] == [24, 25, 24]
    sold = [((begin, end), Decimal(place)) for place, (begin, end) in enumerate(pairwise(edges), 1)]
    days = Days(BERLIN, edges[-1] - HOUR, sold)
    with viewed_from(browser, viewer), serving_days({"turned": days}) as address:
        open_view(browser, address, "/")
        shown = open_customer(browser, "turned")
    assert shown.chart == [
        ["Time", "large"],
        ["24 Oct 00:00", "€1.00"],
        ["25 Oct 00:00", "€2.00"],
        ["26 Oct 00:00, so far", "€3.00"],
    ]
    assert shown.sentence == "Spend per day, 24 Oct to 26 Oct, highest €3.00 on 26 Oct"
    assert (shown.label, shown.facts["Resets"]) == ("Spend, 1–31 Oct 2026", f"1 Nov 00:00 {BERLIN}")


@pytest.mark.parametrize("viewer", ["America/Los_Angeles", "Pacific/Auckland"])
def test_a_customer_lives_by_its_own_clock(browser: webdriver.Chrome, viewer: str) -> None:
    """Period, reset, days, events and alerts: one zone, named once."""
    midnight = datetime(2026, 11, 9, 18, 15, tzinfo=UTC)  # the 10th begins in Kathmandu
    happened = [midnight - timedelta(minutes=1), midnight + timedelta(minutes=1)]
    days = Days(KATHMANDU, midnight + 3 * HOUR, [((midnight, midnight + 24 * HOUR), Decimal(5))], happened)
    with viewed_from(browser, viewer), serving_days({"himal": days}) as address:
        open_view(browser, address, "/")
        shown = open_customer(browser, "himal")
        assert (shown.label, shown.facts["Resets"]) == ("Spend, 1–30 Nov 2026", f"1 Dec 00:00 {KATHMANDU}")
        assert shown.chart[1:] == [["10 Nov 00:00, so far", "€5.00"]]
        assert shown.facts["At this pace"] == "€5.00 by 30 Nov (estimate)"
        assert texts(browser, ".events .when") == ["9 Nov 23:59", "10 Nov 00:01"]
        assert texts(browser, ".alert-list .when") == ["10 Nov 00:01", "9 Nov 23:59"]
        assert text(browser, "main").count(KATHMANDU) == 1
        assert viewer not in text(browser, "main")


@pytest.mark.parametrize("viewer", ["America/Los_Angeles", "Pacific/Auckland"])
def test_what_happens_to_the_system_is_on_the_viewers_clock(browser: webdriver.Chrome, viewer: str) -> None:
    """On every view of more than one customer, with its zone named once."""
    moment = datetime(2026, 11, 9, 18, 14, 5, tzinfo=UTC)
    local = moment.astimezone(ZoneInfo(viewer))
    days = Days(KATHMANDU, moment + HOUR, (), [moment])
    with viewed_from(browser, viewer), serving_days({"himal": days}) as address:
        for path in ("/", "/alerts", "/pipeline"):
            open_view(browser, address, path)
            assert text(browser, "main").count(viewer) == 1, path
        open_view(browser, address, "/alerts")
        assert texts(browser, ".alerts-table .when time") == [f"{local.day} Nov {local:%H:%M:%S}"]
        stated = browser.find_element("css selector", ".alerts-table time").get_attribute("datetime")
        assert stated == "2026-11-09T18:14:05Z"
        open_view(browser, address, "/")
        assert texts(browser, ".alert-list .when") == [f"{local.day} Nov {local:%H:%M}"]
