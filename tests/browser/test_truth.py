"""What the page shows of a system at rest is what the API says, what an audit says, and what a recount here says."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from selenium import webdriver

from tests.browser.customer_view import open_customer
from tests.browser.reading import open_view
from tests.browser.truth_system import Known, known_system
from tests.browser.truth_texts import differs, pace_differs
from tests.browser.truth_world import Customer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def known(browser: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    with known_system(tmp_path_factory.mktemp("truth")) as one:
        open_view(browser, one.system.address, "/")
        yield one


def test_every_figure_of_every_customer_is_true(browser: webdriver.Chrome, known: Known) -> None:
    """Page, API and recount say the same, digit by digit."""
    assert len(known.world.customers) > 50
    wrong = {}
    for customer in known.world.customers.values():
        asked = datetime.now(UTC)
        shown = open_customer(browser, customer.name)
        found = [*differs(shown, customer, known.now), *pace_differs(shown, customer, known.now, asked)]
        if found := [*found, *api_differs(known, customer)]:
            wrong[customer.name] = found
    assert wrong == {}


def api_differs(known: Known, customer: Customer) -> list[str]:
    """What the API says otherwise than the recount."""
    spend, access = known.answer(customer, "spend"), known.answer(customer, "access")
    total = customer.total(known.now)
    start, end = customer.month(known.now)
    days = known.answer(customer, "spend/series")
    lines = {line["rate"]: (Decimal(line["quantity"]), Decimal(line["amount"])) for line in spend["lines"]}
    left = customer.remaining(known.now)
    pairs: list[tuple[object, object]] = [
        (spend["total"], None if total is None else f"{total:f}"),
        (access["spend"], spend["total"]),
        (access["reason"], customer.reason(known.now)),
        (access["allowed"], customer.reason(known.now) != "limit reached"),
        (access["remaining"], None if left is None else f"{left:f}"),
        (lines, customer.lines(known.now)),
        (instant(spend["period"]["start"]), start),
        (instant(spend["period"]["end"]), end),
        (instant(access["resets_at"]), end),
        (spend["time_zone"], customer.zone.key),
        (days["total"], spend["total"]),
        (by_day(days, customer), customer.days(known.now)),
    ]
    return [f"the API says {said!r}, {true!r} is true" for said, true in pairs if said != true]


def instant(time: str) -> datetime:
    return datetime.fromisoformat(time)


def by_day(series: dict[str, Any], customer: Customer) -> dict[datetime, dict[str, Decimal]]:
    found: dict[datetime, dict[str, Decimal]] = {}
    for row in series["data"]:
        start = instant(row["start"]).astimezone(customer.zone)
        assert instant(row["end"]).astimezone(customer.zone) == start + timedelta(days=1)
        found.setdefault(start, {})[row["rate"]] = Decimal(row["amount"])
    return found
