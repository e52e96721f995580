"""Worked prices that systems which bill for a living have published. Each case cites its source.

Of twenty groups, those that this version has something to say to: weighted sums (10), credits (19) and the order of an
invoice (20) are for later, as is a correction after an invoice was made (17, second half).
"""

from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Any

import pytest

from billing.domain.limits import Threshold, access, due_alerts, reached
from billing.domain.meters import Meter, MeterDefinition
from billing.domain.money import parse_decimal, plain, round_amount
from billing.domain.periods import Window
from billing.domain.rate_reading import parse_rate
from billing.domain.rates import round_to
from billing.domain.spend import Usage, quantity_of
from engine import Aggregate, Reading, digest_of

Document = dict[str, Any]


def price(document: Document, quantity: str) -> str:
    return plain(parse_rate(document).price(parse_decimal(quantity)))


def tiers(model: str, *rows: tuple[str | None, str, str]) -> Document:
    return {"model": model, "tiers": [{"up_to": up_to, "unit": unit, "flat": flat} for up_to, unit, flat in rows]}


STRIPE_TIERS = (("5", "5", "0"), ("10", "4", "0"), ("15", "3", "0"), ("20", "2", "0"), (None, "1", "0"))
LAGO_GRADUATED = tiers("graduated", ("10", "10", "2"), ("20", "5", "3"), (None, "5", "3"))
LAGO_FRACTIONS = tiers("graduated", ("0.1", "10", "0"), ("1", "5", "0"))
OPENMETER = tiers("graduated", ("5", "0", "100"), ("10", "0", "50"), ("15", "5", "0"), (None, "1", "0"))
KILL_BILL = tiers("graduated", ("10", "1.5", "0"), ("110", "1.0", "0"), (None, "0.5", "0"))


@pytest.mark.parametrize(
    ("model", "quantity", "amount"),
    [
        *[("volume", *case) for case in (("1", "5"), ("5", "25"), ("6", "24"), ("20", "40"), ("25", "25"))],
        *[("graduated", *case) for case in (("6", "29"), ("20", "70"), ("25", "75"))],
    ],
)
def test_1_stripe_tiers(model: str, quantity: str, amount: str) -> None:
    assert price(tiers(model, *STRIPE_TIERS), quantity) == amount


def test_2_stripe_transform_and_package() -> None:
    by_minute = {"model": "per_unit", "unit": "10", "transform": {"divide": "60", "round": "up"}}
    assert price(by_minute, "150") == "30"
    package = {"model": "package", "size": "5", "amount": "10"}
    assert (price(package, "5"), price(package, "6")) == ("10", "20")


def test_3_stripe_rounds_a_line_once_then_sums() -> None:
    line = parse_rate({"model": "per_unit", "unit": "0.0005"}).price(Fraction(30))
    assert line == Fraction(15, 1000), "1.5 cents, exactly"
    assert round_amount(line, "USD") == Decimal("0.02")
    assert round_amount(line, "USD") + round_amount(line, "USD") == Decimal("0.04"), "and not 3 cents"


@pytest.mark.parametrize(
    ("quantity", "amount"), [("0", "2"), ("1", "12"), ("10", "102"), ("11", "110"), ("12", "115"), ("21", "163")]
)
def test_4_lago_graduated(quantity: str, amount: str) -> None:
    assert price(LAGO_GRADUATED, quantity) == amount


def test_4_lago_fractional_tiers() -> None:
    assert price(LAGO_FRACTIONS, "0.5") == "3"


@pytest.mark.parametrize(
    ("size", "amount", "included", "quantity", "charge"),
    [
        ("10", "100", "0", "121", "1300"),
        ("10", "100", "10", "121", "1200"),
        ("10", "100", "200", "121", "0"),
        ("100", "5", "100", "201", "10"),
    ],
)
def test_5_lago_package(size: str, amount: str, included: str, quantity: str, charge: str) -> None:
    assert price({"model": "package", "size": size, "amount": amount, "included": included}, quantity) == charge


@pytest.mark.parametrize(
    ("free", "charge"),
    [({"free_amount": "250", "free_events": 3}, "11.15"), ({"free_events": 3}, "7.2"), ({}, "18.4")],
)
def test_6_lago_percentage(free: Document, charge: str) -> None:
    rate = parse_rate({"model": "percentage", "rate": "1.3", "fixed": "2"} | free)
    assert plain(rate.price_each(Fraction(amount) for amount in (50, 100, 250, 400))) == charge


def test_7_openmeter_bills_splits_as_the_cumulative_price_minus_what_was_billed() -> None:
    assert price(OPENMETER, "22") == "182"
    assert Fraction(price(OPENMETER, "22")) - Fraction(price(OPENMETER, "12")) == 22
    with_maximum = OPENMETER | {"maximum": "170"}
    assert price(with_maximum, "12") == "160"
    assert Fraction(price(with_maximum, "22")) - Fraction(price(with_maximum, "12")) == 10


def test_8_openmeter_package_in_use() -> None:
    package = {"model": "package", "size": "10", "amount": "15"}
    assert Fraction(price(package, "22")) - Fraction(price(package, "17")) == 15


def test_9_kill_bill_graduated() -> None:
    assert price(KILL_BILL, "111") == "115.5"


def test_11_metronome_latest_value_bills_its_changes() -> None:
    meter = Meter(MeterDefinition("seats", "seat", "latest", "data.seats"))
    rate = parse_rate({"model": "per_unit", "unit": "1"})
    seen, billed = [], []
    for at, seats in enumerate((7, 9, 10, 5)):
        seen.append(Usage(meter, (), Reading(number=seats * 10**12, rank=(at, at, 0, at))))
        billed.append(rate.price(quantity_of(seen)))
    changes = [now - before for before, now in zip([Fraction(0), *billed], billed, strict=False)]
    assert changes == [7, 2, 1, -5]
    assert list(accumulate(changes)) == billed


def test_12_lago_four_aggregations_of_two_events_of_one_user() -> None:
    pageviews = (10, 20)
    readings = {
        "count": [Reading(count=1) for _ in pageviews],
        "sum": [Reading(count=1, number=views * 10**12) for views in pageviews],
        "max": [Reading(number=views * 10**12) for views in pageviews],
        "unique": [Reading(count=1, members=frozenset({digest_of(b"user")})) for _ in pageviews],
    }
    found = {}
    for aggregation, events in readings.items():
        meter = Meter(MeterDefinition("pageviews", "page", aggregation, None if aggregation == "count" else "data.x"))
        assert isinstance(meter.aggregate, Aggregate)
        found[aggregation] = quantity_of(Usage(meter, (), reading) for reading in events)
    assert found == {"count": 2, "sum": 30, "max": 20, "unique": 1}


def test_13_lago_minimum_trues_up() -> None:
    rate = parse_rate({"model": "per_unit", "unit": "1", "minimum": "100"})
    assert rate.price(Fraction(50)) - rate.charge(Fraction(50)) == 50
    assert rate.price(Fraction(101)) == 101


def test_14_lago_rounds_a_quantity() -> None:
    quantity = Fraction("123.456")
    assert round_to(quantity, "half_up", 2) == Fraction("123.46")
    assert round_to(quantity, "up", -2) == 200
    assert round_to(quantity, "down", -2) == 100


def test_17_a_negative_total_bills_nothing() -> None:
    for document in (LAGO_GRADUATED, tiers("volume", *STRIPE_TIERS), {"model": "package", "size": "5", "amount": "10"}):
        assert price(document, "-3") == "0"


def test_18_thresholds_fire_inclusively_and_once() -> None:
    """10, 30, 50 and then every hundred; a dip and a second crossing fire nothing; a new period arms all again."""
    thresholds = [Threshold(str(amount), Fraction(amount)) for amount in (10, 30, 50, 150, 250)]
    november, december = Window(1, 2), Window(2, 3)
    standing: set[str] = set()

    def newly_due(spend: str, period: Window) -> list[str]:
        due = due_alerts("acme", thresholds, Decimal(spend), "USD", period)
        new = [alert.rule for alert in due if alert.id not in standing]
        standing.update(alert.id for alert in due)
        return new

    assert newly_due("8", november) == []
    assert newly_due("30", november) == ["10", "30"]
    assert newly_due("29", november) == []
    assert newly_due("31", november) == []
    assert newly_due("30", december) == ["10", "30"]
    assert newly_due("250", november) == ["50", "150", "250"]
    assert [item.rule for item in reached(thresholds, Decimal("49.99"))] == ["10", "30"]


def test_18_spend_that_equals_the_limit_has_reached_it() -> None:
    assert access(Decimal("499.99"), Fraction(500)).allowed
    assert not access(Decimal("500.00"), Fraction(500)).allowed
