"""What is due at totals that move, against the bill computed anew each time."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalog import CatalogHistory, read_catalog
from billing.domain.customers import Customer
from billing.domain.limits import DueAlert, Threshold, due_alerts
from billing.domain.meters import AGGREGATIONS
from billing.domain.periods import Window, time_zone
from billing.domain.plans import Plan, PlanRate
from billing.domain.problems import InvalidRate
from billing.domain.rates import Matrix, MatrixCell, PerUnit, Rate, Tier, Volume
from billing.domain.spend import Usage, spend_of
from billing.reaction import Reactions, find_rate, largest_set
from billing.series import parse_series_name, series_name
from engine import Period, Reading, Series, Totals
from tests.unit.domain.test_linear_rates import amounts, prices, rates, transforms

PERIOD = Period.of(0, 900 * 96, keep=True, watched=True)
GROUPS = ("a", "b", "c")

matrices = st.builds(
    lambda units, default: Matrix(
        ("g",), tuple(MatrixCell({"g": g}, unit) for g, unit in zip(GROUPS, units, strict=False)), default
    ),
    st.lists(prices, max_size=2),
    st.none() | prices,
)
any_rate = rates | st.builds(Rate, matrices, transforms, amounts, st.none() | amounts)
any_reading = st.builds(
    Reading,
    st.integers(0, 9),
    st.integers(-(10**15), 10**15) | st.integers(-3, 3).map(lambda whole: whole * 10**12),
    st.tuples(st.integers(0, 9), st.just(0), st.just(0), st.integers(0, 9)),
)


def meter_document(name: str, aggregation: str) -> dict[str, Any]:
    document = {"name": name, "event_type": "t", "aggregation": aggregation, "group_by": {"g": "data.g"}}
    return document if aggregation == "count" else {**document, "property": "data.x"}


@st.composite
def histories(draw: st.DrawFn) -> CatalogHistory:
    """Two meters; the versions of the first may differ in their aggregation."""
    found = CatalogHistory()
    usual = st.lists(st.sampled_from(["sum", "count"]), min_size=1, max_size=3)
    other = draw(st.sampled_from(sorted(AGGREGATIONS)))
    for aggregation in draw(usual | st.lists(st.sampled_from(sorted(AGGREGATIONS)), min_size=1, max_size=3)):
        meters = [meter_document("m", aggregation), meter_document("n", other)]
        found = found.with_version(read_catalog({"version": 1, "meters": meters}), 0)
    return found


@st.composite
def customers(draw: st.DrawFn) -> Customer:
    choices: list[list[dict[str, str]]] = [[{}], [{"g": "a"}], [{"g": "a"}, {"g": "b"}]]
    matches = draw(st.sampled_from(choices))
    plan = Plan(
        "p",
        (
            *(PlanRate(f"m{number}", "m", match, draw(any_rate)) for number, match in enumerate(matches)),
            PlanRate("n", "n", {}, draw(any_rate)),
        ),
    )
    thresholds = [Fraction(1, 10**6), *draw(st.lists(amounts.filter(bool), max_size=3))]
    return Customer(
        draw(st.sampled_from(["one", "two"])),
        plan,
        draw(st.sampled_from(["USD", "JPY", "BHD", "CLF"])),
        time_zone("UTC"),
        thresholds=tuple(Threshold(str(number), amount) for number, amount in enumerate(thresholds)),
    )


def usage_in(found: CatalogHistory, totals: Totals) -> list[Usage]:
    usage = []
    for series, reading in totals.values.items():
        name = parse_series_name(series.name)
        meter = found.meter(name.meter, name.version)
        assert meter is not None
        usage.append(Usage(meter, name.group, reading))
    return usage


def expected(found: CatalogHistory, customer: Customer, totals: Totals) -> list[DueAlert]:
    """By the bill, where of the sets that a rate joins only the largest stands."""
    assert customer.plan is not None
    assert customer.currency is not None
    by_rate: dict[int | None, list[Usage]] = {}
    for item in usage_in(found, totals):
        by_rate.setdefault(find_rate(customer.plan, item), []).append(item)
    joined = [item for rate, items in by_rate.items() if rate is not None for item in largest_set(items)]
    spend = spend_of(customer.plan, customer.currency, joined).total
    window = Window(totals.period.start_s, totals.period.end_s)
    return due_alerts(customer.id, customer.thresholds, spend, customer.currency, window)


@given(histories(), customers(), st.data())
def test_what_is_due_is_what_the_bill_says(found: CatalogHistory, customer: Customer, data: st.DataObject) -> None:
    """Totals of two keys move, fall back, lose series and bring them in another order."""
    meters = [*found.meter_versions("m"), *found.meter_versions("n")]
    series = [Series(meter.aggregate, series_name(meter, (group,))) for meter in meters for group in GROUPS]
    moves = st.dictionaries(st.sampled_from(series), any_reading, max_size=4)
    reactions = Reactions(found)
    known: dict[bytes, dict[Series, Reading]] = {b"one": {}, b"two": {}}
    for key, again, moved in data.draw(
        st.lists(st.tuples(st.sampled_from(sorted(known)), st.integers(0, 9), moves), min_size=1, max_size=8)
    ):
        known[key] = moved if again == 0 else known[key] | moved if again < 8 else moved | known[key]
        totals = Totals(key, PERIOD, dict(known[key]), frozenset())
        assert reactions.due(customer, totals) == expected(found, customer, totals)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_groups_that_a_rate_joins_come_together_as_their_meter_says(aggregation: str) -> None:
    found = CatalogHistory().with_version(read_catalog({"version": 1, "meters": [meter_document("m", aggregation)]}), 0)
    (meter,) = found.meter_versions("m")
    first, second = (Series(meter.aggregate, series_name(meter, (group,))) for group in "ab")
    plan = Plan("p", (PlanRate("r", "m", {}, Rate(PerUnit(Fraction("0.35")))),))
    customer = Customer("one", plan, "USD", time_zone("UTC"), thresholds=(Threshold("0.01", Fraction("0.01")),))
    reactions = Reactions(found)
    for number in (1, 2, 5):
        values = {first: Reading(number, number * 10**12, (number, 0, 0, 0)), second: Reading(2, 3 * 10**12)}
        totals = Totals(b"one", PERIOD, values, frozenset())
        due = reactions.due(customer, totals)
        assert due == expected(found, customer, totals)
        assert len(due) == 1


def test_a_customer_whose_terms_differ_is_not_taken_for_the_one_before() -> None:
    found = CatalogHistory().with_version(read_catalog({"version": 1, "meters": [meter_document("m", "sum")]}), 0)
    (meter,) = found.meter_versions("m")
    totals = Totals(
        b"one", PERIOD, {Series(meter.aggregate, series_name(meter, ("a",))): Reading(1, 10**13)}, frozenset()
    )
    plan = Plan("p", (PlanRate("r", "m", {}, Rate(PerUnit(Fraction(1)))),))
    reactions = Reactions(found)
    for currency, limit, due in (("USD", "10.001", 0), ("USD", "10", 1), ("JPY", "9.5", 1)):
        customer = Customer("one", plan, currency, time_zone("UTC"), thresholds=(Threshold(limit, Fraction(limit)),))
        assert len(reactions.due(customer, totals)) == due


def test_a_total_that_cannot_be_priced_leaves_nothing_behind() -> None:
    found = CatalogHistory().with_version(read_catalog({"version": 1, "meters": [meter_document("m", "sum")]}), 0)
    (meter,) = found.meter_versions("m")
    plan = Plan("p", (PlanRate("r", "m", {}, Rate(Volume((Tier(Fraction(5), Fraction(1)),)))),))
    customer = Customer("one", plan, "USD", time_zone("UTC"), thresholds=(Threshold("4", Fraction(4)),))
    series = Series(meter.aggregate, series_name(meter, ("a",)))
    reactions = Reactions(found)

    def rules(number: int) -> list[str]:
        totals = Totals(b"one", PERIOD, {series: Reading(1, number * 10**12)}, frozenset())
        return [alert.rule for alert in reactions.due(customer, totals)]

    assert rules(3) == []
    for _ in range(2):
        with pytest.raises(InvalidRate):
            rules(6)
    assert rules(4) == ["4"]
