"""From readings to lines: groups and versions joined, each line rounded once, the rest listed as unpriced."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from billing.domain.meters import Meter, MeterDefinition
from billing.domain.plans import Plan, PlanRate
from billing.domain.rate_reading import parse_rate
from billing.domain.spend import Line, Unpriced, Usage, needs_members, quantity_of, spend_of
from engine import Reading, digest_of

ONE = 10**12
TOKENS = Meter(MeterDefinition("tokens", "t", "sum", "data.tokens", (("model", "data.m"), ("region", "data.r"))))
USERS = Meter(MeterDefinition("users", "t", "unique", "data.user", (("model", "data.m"),)))


def rate(name: str, meter: str = "tokens", match: dict[str, str] | None = None, **document: Any) -> PlanRate:
    return PlanRate(name, meter, match or {}, parse_rate(document))


def tokens(model: str, region: str, quantity: int, count: int = 1) -> Usage:
    return Usage(TOKENS, (model, region), Reading(count, quantity * ONE))


def users(model: str, *names: str) -> Usage:
    members = frozenset(digest_of(name.encode()) for name in names)
    return Usage(USERS, (model,), Reading(len(members), members=members))


def lines_of(plan: Plan, *usage: Usage, currency: str = "USD") -> list[tuple[str, object, str]]:
    return [(line.rate, line.quantity, str(line.amount)) for line in spend_of(plan, currency, usage).lines]


def test_a_rate_prices_all_the_groups_it_matches_as_one_line() -> None:
    tiered: dict[str, Any] = {"model": "graduated", "tiers": [{"up_to": "10", "unit": "2"}, {"unit": "1"}]}
    plan = Plan("p", (rate("large", match={"model": "l"}, **tiered),))
    found = spend_of(plan, "USD", [tokens("l", "eu", 6), tokens("l", "us", 6), tokens("s", "eu", 5)])
    assert found.lines == (Line("large", "tokens", {"model": "l"}, Fraction(12), Decimal("22.00")),)
    assert found.total == Decimal("22.00")
    assert found.unpriced == (Unpriced("tokens", {"model": "s", "region": "eu"}, Fraction(5)),)


def test_lines_are_rounded_once_and_totals_add_rounded_lines() -> None:
    cents = {"model": "per_unit", "unit": "0.005"}
    plan = Plan("p", (rate("a", match={"region": "eu"}, **cents), rate("b", match={"region": "us"}, **cents)))
    usage = [tokens("l", "eu", 1), tokens("s", "eu", 2), tokens("l", "us", 1)]
    found = spend_of(plan, "USD", usage)
    assert [str(line.amount) for line in found.lines] == ["0.02", "0.01"]
    assert str(found.total) == "0.03"
    assert str(spend_of(plan, "JPY", usage).total) == "0"


def test_a_rate_without_usage_makes_a_line_only_if_it_charges() -> None:
    plan = Plan(
        "p",
        (
            rate("used", match={"region": "eu"}, model="per_unit", unit="1"),
            rate("idle", match={"region": "us"}, model="per_unit", unit="1"),
            rate("minimum", match={"region": "ap"}, model="per_unit", unit="1", minimum="7"),
            rate("flat", "users", model="graduated", tiers=[{"unit": "1", "flat": "3"}]),
        ),
    )
    assert lines_of(plan) == [("minimum", 0, "7.00"), ("flat", 0, "3.00")]
    assert lines_of(plan, tokens("l", "eu", 0))[0] == ("used", 0, "0.00")


def test_a_matrix_prices_each_of_its_groups_and_leaves_those_without_a_price() -> None:
    cells = [{"match": {"region": "eu"}, "unit": "2"}, {"match": {"region": "us"}, "unit": "1"}]
    matrix = rate("all", match={"model": "l"}, model="matrix", dimensions=["region"], cells=cells, maximum="30")
    found = spend_of(Plan("p", (matrix,)), "USD", [tokens("l", "eu", 5), tokens("l", "us", 7), tokens("l", "ap", 1)])
    assert [(line.quantity, line.amount) for line in found.lines] == [(Fraction(12), Decimal("17.00"))]
    assert [item.group["region"] for item in found.unpriced] == ["ap"]
    more = spend_of(Plan("p", (matrix,)), "USD", [tokens("l", "eu", 50), tokens("l", "us", -7)])
    assert more.total == Decimal("30.00")


def test_unions_count_nobody_twice() -> None:
    plan = Plan("p", (rate("seats", "users", model="per_unit", unit="1"),))
    assert lines_of(plan, users("l", "ann", "bob"), users("s", "bob", "cy")) == [("seats", 3, "3.00")]
    lost = Usage(USERS, ("s",), Reading(2))
    assert lines_of(plan, lost) == [("seats", 2, "2.00")], "a single set needs no members"
    with pytest.raises(ValueError, match="need their members"):
        spend_of(plan, "USD", [users("l", "ann"), lost])
    meters = {"users": USERS, "tokens": TOKENS}
    assert needs_members(plan, meters) == {"users"}
    assert needs_members(Plan("p", (rate("l", "users", {"model": "l"}, model="per_unit"),)), meters) == set()


@pytest.mark.parametrize(
    ("aggregation", "quantity"),
    [("sum", 9), ("average", Fraction(9, 4)), ("min", 2), ("max", 7), ("latest", 2), ("count", 4)],
)
def test_groups_are_joined_as_their_aggregation_says(aggregation: str, quantity: Fraction | int) -> None:
    meter = Meter(MeterDefinition("m", "t", aggregation, None if aggregation == "count" else "data.x"))
    readings = (Reading(3, 7 * ONE, (1, 0, 0, 0)), Reading(1, 2 * ONE, (2, 0, 0, 0)))
    assert quantity_of(Usage(meter, (), reading) for reading in readings) == quantity


def test_versions_of_a_meter_are_one_meter() -> None:
    regrouped = Meter(MeterDefinition("tokens", "t", "sum", "data.tokens", (("model", "data.m"),)), version=2)
    recounted = Meter(MeterDefinition("tokens", "t", "count"), version=3)
    plan = Plan("p", (rate("large", match={"model": "l"}, model="per_unit", unit="1"),))
    usage = [
        tokens("l", "eu", 5),
        Usage(regrouped, ("l",), Reading(1, 3 * ONE)),
        Usage(regrouped, ("s",), Reading(1, 9 * ONE)),
        Usage(recounted, (), Reading(4)),
    ]
    found = spend_of(plan, "USD", usage)
    assert found.lines[0].quantity == 8
    assert [(dict(item.group), item.quantity) for item in found.unpriced] == [
        ({"model": "s"}, Fraction(9)),
        ({}, Fraction(4)),
    ]
    everything = Plan("p", (rate("all", model="per_unit", unit="1"),))
    assert spend_of(everything, "USD", usage).lines[0].quantity == 21, "a changed aggregation adds up"


def test_percentages_price_number_and_sum() -> None:
    share = Plan("p", (rate("fee", model="percentage", rate="1", fixed="0.5"),))
    assert lines_of(share, tokens("l", "eu", 100, count=2), tokens("l", "us", 100, count=1)) == [("fee", 200, "3.50")]
    assert lines_of(share, tokens("l", "eu", -100, count=2)) == [("fee", -100, "0.00")]
    free = Plan("p", (rate("fee", model="percentage", rate="1", free_amount="150"),))
    assert lines_of(free, tokens("l", "eu", 200)) == [("fee", 200, "0.50")]


def test_huge_amounts_are_exact() -> None:
    plan = Plan("p", (rate("big", model="per_unit", unit="999999999.999999999999"),))
    found = spend_of(plan, "USD", [Usage(TOKENS, ("l", "eu"), Reading(1, 10**27 - 1))] * 3)
    exact = 3 * Fraction(10**27 - 1, ONE) * Fraction("999999999.999999999999")
    assert abs(Fraction(found.total) - exact) <= Fraction(1, 200)
    assert found.total == found.lines[0].amount
