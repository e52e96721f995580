"""Rates in whole numbers against the bill's own arithmetic: every model, bound and transform, and edges of tiers."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.domain.linear_rates import linear_rate
from billing.domain.meters import Meter, MeterDefinition
from billing.domain.money import SCALE
from billing.domain.plans import PlanRate
from billing.domain.rate_reading import parse_rate
from billing.domain.rates import (
    Graduated,
    GraduatedPercentage,
    Package,
    Percentage,
    PerUnit,
    Rate,
    Tier,
    Transform,
    Volume,
)
from billing.domain.spend import Usage, line_minor
from engine import Reading

METER = Meter(MeterDefinition("m", "t", "sum", "data.x"))
EXPONENTS = (0, 2, 3, 4)
EDGES = [Fraction(text) for text in ("0.001", "0.5", "1", "1.25", "3", "10", "1000")]

amounts = st.one_of(st.sampled_from([Fraction(0), *EDGES]), st.fractions(0, 10**6, max_denominator=10**6))
prices = st.one_of(st.sampled_from([Fraction(0), *EDGES]), st.fractions(0, 100, max_denominator=1000))
above_nothing = st.one_of(st.sampled_from(EDGES), st.fractions("0.001", 1000, max_denominator=1000))


@st.composite
def tier_lists(draw: st.DrawFn) -> tuple[Tier, ...]:
    ends = sorted(draw(st.sets(above_nothing, max_size=4)))
    return tuple(Tier(end, draw(prices), draw(prices)) for end in [*ends, None])


@st.composite
def percentages(draw: st.DrawFn) -> Percentage:
    """Those whose transactions need not be known."""
    fixed, free = draw(st.sampled_from([(False, False), (True, False), (False, True)]))
    return Percentage(
        draw(prices), fixed=draw(prices) if fixed else Fraction(0), free_amount=draw(amounts) if free else Fraction(0)
    )


models = st.one_of(
    st.builds(PerUnit, prices, amounts),
    st.builds(Graduated, tier_lists()),
    st.builds(Volume, tier_lists()),
    st.builds(GraduatedPercentage, tier_lists()),
    st.builds(Package, above_nothing, prices, amounts),
    percentages(),
)
transforms = st.none() | st.builds(Transform, above_nothing, st.sampled_from(["up", "down", "half_up", "none"]))
rates = st.builds(Rate, models, transforms, amounts, st.none() | amounts)
near_edges = st.builds(
    lambda edge, times, by: int(edge * times * SCALE) + by,
    st.sampled_from(EDGES),
    st.sampled_from([1, 2, 1000]),
    st.integers(-2, 2),
)
quantities = near_edges | st.integers(-(10**14), 10**14) | st.integers(-(10**30), 10**30)


def line(rate: Rate, quantity: int, exponent: int) -> int:
    return line_minor(PlanRate("r", "m", {}, rate), [Usage(METER, (), Reading(1, quantity))], exponent)


@given(rates, quantities, st.sampled_from(EXPONENTS))
@example(Rate(PerUnit(Fraction("0.005"))), SCALE, 2)
@example(Rate(PerUnit(Fraction("0.005"))), SCALE - 1, 2)
@example(Rate(PerUnit(Fraction(1)), minimum=Fraction("0.005")), -1, 2)
@example(Rate(PerUnit(Fraction(1)), minimum=Fraction(9), maximum=Fraction(5)), SCALE, 2)
@example(Rate(Package(Fraction(10), Fraction(3), Fraction(5))), 15 * SCALE, 2)
@example(Rate(Package(Fraction(10), Fraction(3), Fraction(5))), 15 * SCALE + 1, 2)
@example(Rate(Package(Fraction(10), Fraction(3), Fraction(50))), 15 * SCALE, 2)
@example(Rate(PerUnit(Fraction(1)), Transform(Fraction(2), "half_up")), SCALE, 2)
@example(Rate(PerUnit(Fraction(1)), Transform(Fraction(2), "half_up")), SCALE - 1, 2)
def test_a_line_in_whole_numbers_is_the_line_of_the_bill(rate: Rate, quantity: int, exponent: int) -> None:
    linear = linear_rate(rate, exponent)
    if linear is not None:
        assert linear.charge_minor(quantity) == line(rate, quantity, exponent)


@given(tier_lists(), st.data(), st.booleans())
def test_an_end_belongs_to_its_tier(tiers: tuple[Tier, ...], data: st.DataObject, volume: bool) -> None:
    rate = Rate(Volume(tiers) if volume else Graduated(tiers))
    ends = [tier.up_to for tier in tiers if tier.up_to is not None] or [Fraction(0)]
    quantity = int(data.draw(st.sampled_from(ends)) * SCALE) + data.draw(st.integers(-1, 1))
    linear = linear_rate(rate, 3)
    assert linear is not None
    assert linear.charge_minor(quantity) == line(rate, quantity, 3)


@pytest.mark.parametrize(
    ("document", "straight"),
    [
        ({"model": "per_unit", "unit": "0.01", "included": "5", "minimum": "1", "maximum": "2"}, True),
        ({"model": "graduated", "tiers": [{"up_to": "5", "unit": "1"}, {"flat": "2"}]}, True),
        ({"model": "volume", "tiers": [{"up_to": "5", "unit": "1"}, {"flat": "2"}]}, True),
        ({"model": "graduated_percentage", "tiers": [{"up_to": "5", "rate": "1"}, {"flat": "2"}]}, True),
        ({"model": "per_unit", "unit": "1", "transform": {"divide": "1000", "round": "up"}}, True),
        ({"model": "package", "size": "10", "amount": "3", "transform": {"divide": "1000"}}, True),
        ({"model": "percentage", "rate": "2.9", "free_amount": "100"}, True),
        ({"model": "package", "size": "10", "transform": {"divide": "1000", "round": "up"}}, False),
        ({"model": "percentage", "rate": "2.9", "fixed": "0.30"}, False),
        ({"model": "volume", "tiers": [{"up_to": "5", "unit": "1"}]}, False),
        ({"model": "matrix", "dimensions": ["g"], "default": "1"}, False),
    ],
)
def test_which_rates_are_straight(document: dict[str, object], straight: bool) -> None:
    assert (linear_rate(parse_rate(document), 2) is not None) is straight


def test_a_negative_minimum_is_left_to_the_bill() -> None:
    assert linear_rate(Rate(PerUnit(), minimum=Fraction(-1)), 2) is None
