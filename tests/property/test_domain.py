"""The domain against models too simple to be wrong, on inputs that nobody thought of."""

import json
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from billing.domain.json_text import JsonProblem, parse
from billing.domain.meters import Meter, MeterDefinition
from billing.domain.money import (
    CURRENCY_EXPONENTS,
    SCALE,
    amount_text,
    parse_decimal,
    plain,
    round_amount,
    round_half_up,
)
from billing.domain.periods import QUARTER_S, WindowKind, time_zone, zone_names
from billing.domain.plans import Plan, PlanRate
from billing.domain.problems import InvalidEvent
from billing.domain.properties import Unreadable, scaled_quantity
from billing.domain.rates import (
    Graduated,
    Package,
    Percentage,
    PerUnit,
    Rate,
    Tier,
    Transform,
    Volume,
)
from billing.domain.spend import Usage, quantity_of, spend_of
from billing.domain.timestamps import parse_time_us, time_text
from billing.domain.usage import decode
from engine import Reading, merge

decimals = st.decimals(-(10**15) + 1, 10**15 - 1, places=12, allow_nan=False, allow_infinity=False)
amounts = st.fractions(0, 10**6, max_denominator=10**6)
prices = st.fractions(0, 100, max_denominator=1000)


@st.composite
def tier_lists(draw: st.DrawFn) -> tuple[Tier, ...]:
    ends = sorted(draw(st.sets(st.fractions("0.001", 10**6, max_denominator=1000), max_size=5)))
    return tuple(Tier(end, draw(prices), draw(prices)) for end in [*ends, None])


# ---------------------------------------------------------------- money


@given(decimals)
def test_a_quantity_survives_the_way_in_and_out(value: Decimal) -> None:
    text = f"{value:f}"
    assert parse_decimal(text) == Fraction(value)
    assert Fraction(plain(value)) == Fraction(value)
    assert scaled_quantity(text) == scaled_quantity(value) == Fraction(value) * SCALE


@given(st.fractions(), st.integers(-3, 15))
def test_rounding_is_nearest_with_halves_away_from_zero(value: Fraction, places: int) -> None:
    unit = Fraction(1, 10**places) if places >= 0 else Fraction(10**-places)
    rounded = round_half_up(value, places) * unit
    distance = abs(rounded - value)
    assert distance <= unit / 2
    if distance == unit / 2:
        assert abs(rounded) > abs(value)


@given(st.fractions(), st.sampled_from(sorted(CURRENCY_EXPONENTS)))
def test_an_amount_has_just_the_decimals_of_its_currency(value: Fraction, currency: str) -> None:
    amount = round_amount(value, currency)
    assert amount.as_tuple().exponent == -CURRENCY_EXPONENTS[currency]
    assert abs(Fraction(amount) - value) <= Fraction(1, 2 * 10 ** CURRENCY_EXPONENTS[currency])
    assert Decimal(amount_text(amount, currency)) == amount


@given(st.one_of(st.fractions(), st.integers(), decimals))
def test_plain_text_is_plain(value: Fraction | int | Decimal) -> None:
    text = plain(value)
    assert set(text) <= set("0123456789.-")
    assert text != "-0"
    whole, point, places = text.partition(".")
    assert len(places) <= 12
    assert bool(point) == bool(places)
    assert not places.endswith("0")
    assert str(int(whole)) == whole.replace("-0", "0")
    assert abs(Fraction(text) - Fraction(value)) <= Fraction(1, 2 * 10**12)


# ---------------------------------------------------------------- rates


@given(tier_lists(), amounts)
def test_graduated_is_the_sum_over_its_tiers(tiers: tuple[Tier, ...], quantity: Fraction) -> None:
    expected, below = Fraction(0), Fraction(0)
    for index, tier in enumerate(tiers):
        end = quantity if tier.up_to is None else tier.up_to
        if index == 0 or quantity > below:
            expected += tier.flat + max(min(quantity, end) - below, Fraction(0)) * tier.unit
        below = end
    assert Graduated(tiers).charge(quantity) == expected


@given(tier_lists(), amounts, amounts)
def test_graduated_never_falls(tiers: tuple[Tier, ...], first: Fraction, second: Fraction) -> None:
    low, high = min(first, second), max(first, second)
    assert Graduated(tiers).charge(low) <= Graduated(tiers).charge(high)


@given(tier_lists(), amounts)
def test_volume_is_one_tier_for_all(tiers: tuple[Tier, ...], quantity: Fraction) -> None:
    tier = [item for item in tiers if item.up_to is None or quantity <= item.up_to][0]  # noqa: RUF015
    assert Volume(tiers).charge(quantity) == tier.flat + tier.unit * quantity


@given(amounts, st.fractions("0.01", 1000, max_denominator=100), prices, amounts)
def test_a_package_is_paid_once_it_is_started(
    quantity: Fraction, size: Fraction, price: Fraction, included: Fraction
) -> None:
    assume(price)
    packages = Package(size, price, included).charge(quantity) / price
    beyond = max(quantity - included, Fraction(0))
    assert packages.denominator == 1
    assert (packages - 1) * size < beyond <= packages * size or (packages == 0 and beyond == 0)


@given(
    st.lists(amounts, max_size=12),
    st.builds(Percentage, rate=prices, fixed=prices, free_events=st.integers(0, 5), free_amount=amounts),
)
def test_a_percentage_against_one_that_follows_the_allowance(amounts_: list[Fraction], rate: Percentage) -> None:
    bounded = [limit for limit in (rate.free_events, rate.free_amount) if limit]
    events_left = rate.free_events or len(amounts_)
    amount_left = rate.free_amount or sum(amounts_) + 1
    is_free = bool(bounded)
    expected = Fraction(0)
    for amount in amounts_:
        is_free = is_free and events_left > 0 and amount_left > 0
        if is_free and amount <= amount_left:
            events_left, amount_left = events_left - 1, amount_left - amount
            continue
        excess = amount - amount_left if is_free else amount
        is_free = False
        expected += excess * rate.rate / 100 + rate.fixed
    assert rate.charge_each(amounts_) == expected


@given(st.lists(amounts, max_size=8), prices, prices, amounts)
def test_where_a_percentage_needs_no_transactions_the_sum_says_the_same(
    each: list[Fraction], share: Fraction, fixed: Fraction, free: Fraction
) -> None:
    for rate in (Percentage(share, fixed), Percentage(share, free_amount=free)):
        assert not rate.needs_transactions
        assert rate.charge_sum(len(each), sum(each, Fraction(0))) == rate.charge_each(each)


@given(st.one_of(st.builds(PerUnit, prices, amounts), st.builds(Graduated, tier_lists())), amounts, prices, prices)
def test_a_charge_stays_within_its_bounds(
    model: PerUnit | Graduated, quantity: Fraction, minimum: Fraction, more: Fraction
) -> None:
    rate = Rate(model, minimum=minimum, maximum=minimum + more)
    assert minimum <= rate.price(quantity) <= minimum + more


@given(amounts, st.fractions("0.01", 1000, max_denominator=100))
def test_transforms_round_the_way_they_say(quantity: Fraction, divide: Fraction) -> None:
    exact = quantity / divide
    down, half, up = (Transform(divide, rounding).apply(quantity) for rounding in ("down", "half_up", "up"))
    assert down <= exact <= up
    assert up - down == (exact.denominator != 1)
    assert abs(half - exact) <= Fraction(1, 2)
    assert Transform(divide).apply(quantity) == exact


# ---------------------------------------------------------------- spend

AGGREGATIONS = ("count", "sum", "average", "min", "max", "latest", "unique")


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    members = draw(st.frozensets(st.sampled_from([bytes([n]) * 16 for n in range(5)]), min_size=1))
    return Reading(
        len(members),
        draw(st.integers(-(10**27), 10**27)),
        (draw(st.integers(0, 9)), 0, 0, draw(st.integers(0, 10**9))),
        members,
    )


@given(
    st.sampled_from(AGGREGATIONS),
    st.lists(readings(), min_size=1, max_size=6, unique_by=lambda one: one.rank),
    st.data(),
)
def test_how_usage_is_split_into_groups_changes_no_line(
    aggregation: str, parts: list[Reading], data: st.DataObject
) -> None:
    path = None if aggregation == "count" else "data.x"
    split = Meter(MeterDefinition("m", "t", aggregation, path, (("g", "data.g"),)))
    whole = Meter(MeterDefinition("m", "t", aggregation, path))
    together = parts[0]
    for part in parts[1:]:
        together = merge(whole.aggregate, together, part)
    usage = [Usage(split, (str(index),), part) for index, part in enumerate(data.draw(st.permutations(parts)))]
    assert quantity_of(usage) == quantity_of([Usage(whole, (), together)])
    plan = Plan(
        "p", (PlanRate("r", "m", {}, Rate(Graduated((Tier(Fraction(5), Fraction(2)), Tier(None, Fraction(1)))))),)
    )
    assert spend_of(plan, "USD", usage) == spend_of(plan, "USD", [Usage(whole, (), together)])


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 10**20)), max_size=8),
    st.sampled_from(["USD", "JPY", "BHD"]),
)
def test_totals_are_the_sum_of_rounded_lines(rows: list[tuple[str, int]], currency: str) -> None:
    meter = Meter(MeterDefinition("m", "t", "sum", "data.x", (("g", "data.g"),)))
    plan = Plan("p", tuple(PlanRate(g, "m", {"g": g}, Rate(PerUnit(Fraction(1, 7)))) for g in "ab"))
    found = spend_of(plan, currency, [Usage(meter, (group,), Reading(1, number)) for group, number in rows])
    with localcontext(prec=100):
        assert found.total == sum((line.amount for line in found.lines), Decimal(0))
    for group in "ab":
        exact = Fraction(sum(number for name, number in rows if name == group), 7 * SCALE)
        lines = [line.amount for line in found.lines if line.rate == group]
        assert lines == ([round_amount(exact, currency)] if any(name == group for name, _ in rows) else [])
    assert {item.group["g"] for item in found.unpriced} == {name for name, _ in rows} & {"c"}


# ---------------------------------------------------------------- periods

zones = st.sampled_from(sorted(zone_names())).map(time_zone)
instants = st.integers(parse_time_us("1975-01-01T00:00:00Z") // 10**6, parse_time_us("2037-12-31T00:00:00Z") // 10**6)
KINDS: tuple[WindowKind, ...] = ("hour", "day", "month")


@settings(max_examples=300)
@given(zones, instants, st.sampled_from(KINDS))
@example(time_zone("Pacific/Kiritimati"), 157_766_400, "day")  # 10 h 40 min behind until 1979
def test_every_instant_is_in_its_window_and_windows_meet(zone: Any, instant_s: int, kind: WindowKind) -> None:
    window = zone.window(kind, instant_s)
    assert window.start_s <= instant_s < window.end_s
    assert window.start_s % QUARTER_S == window.end_s % QUARTER_S == 0
    assert zone.window(kind, window.start_s) == window == zone.window(kind, window.end_s - 1)
    assert zone.window(kind, window.end_s).start_s == window.end_s
    assert zone.window(kind, window.start_s - 1).end_s == window.start_s
    assert zone.is_edge(kind, window.start_s)


@settings(max_examples=60, deadline=None)
@given(zones, st.integers(1975, 2037), st.integers(1, 12))
def test_days_and_hours_cover_a_month_without_overlap(zone: Any, year: int, month: int) -> None:
    period = zone.named_month(f"{year}-{month:02}")
    days = list(zone.windows("day", *period))
    hours = list(zone.windows("hour", *period))
    for windows in (days, hours):
        assert windows[0].start_s == period.start_s
        assert windows[-1].end_s == period.end_s
        assert all(first.end_s == second.start_s for first, second in pairwise(windows))
    assert {day.start_s for day in days} <= {hour.start_s for hour in hours}, "every day begins with an hour"
    assert all(hour.end_s - hour.start_s <= 3600 for hour in hours)


# ---------------------------------------------------------------- times and events


@given(st.integers(parse_time_us("0001-01-01T00:00:00Z"), parse_time_us("9999-12-31T23:59:59.999999Z")))
def test_times_survive_the_way_out_and_in(instant_us: int) -> None:
    assert parse_time_us(time_text(instant_us)) == instant_us


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**20), 10**20),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=10,
)


@given(st.dictionaries(names, values, max_size=4), values, names, names, st.booleans(), st.booleans())
def test_an_event_reads_as_plain_json_reads_it(
    extensions: dict[str, Any], data: Any, id_: str, subject: str, is_ascii: bool, is_spaced: bool
) -> None:
    members = extensions | {
        "specversion": "1.0",
        "id": id_,
        "source": "s",
        "type": "t",
        "subject": subject,
        "data": data,
    }
    members.pop("time", None)
    members.pop("datacontenttype", None)
    text = json.dumps(members, ensure_ascii=is_ascii, indent=1 if is_spaced else None).encode()
    found = decode(text)
    assert (found.id, found.subject, found.data) == (id_, subject, data)


@given(st.data())
def test_a_doubled_member_is_always_refused(data: st.DataObject) -> None:
    """Guards the count of quotes: the fast decoder alone keeps the last of two equal members."""
    inner = data.draw(st.dictionaries(names, st.one_of(st.integers(0, 9), names), min_size=1, max_size=4))
    members = {"specversion": "1.0", "id": "i", "source": "s", "type": "t", "subject": "x", "data": inner}
    where = data.draw(st.sampled_from(["data", "top"]))
    chosen = inner if where == "data" else members
    name = data.draw(st.sampled_from(sorted(chosen)))
    is_ascii = data.draw(st.booleans())
    space = data.draw(st.sampled_from(["", " ", "\t"]))
    once = json.dumps(chosen, ensure_ascii=is_ascii, separators=(",", f"{space}:"))
    again = json.dumps({name: chosen[name]}, ensure_ascii=is_ascii, separators=(",", f"{space}:"))
    twice = f"{once[:-1]},{again[1:]}"
    if where == "data":
        decode(json.dumps(members).encode())
        twice = json.dumps(members | {"data": 5}, separators=(",", ":")).replace('"data":5', f'"data":{twice}')
    with pytest.raises(InvalidEvent, match="twice"):
        decode(twice.encode())


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_event_have_a_problem(value: bytes) -> None:
    with pytest.raises(InvalidEvent) as caught:
        decode(value)
    assert caught.value.problems


@given(st.text(st.sampled_from('{}[]",:\\u0d81eE.+-NaInfity tr\n'), max_size=60))
def test_strict_json_is_a_part_of_json(text: str) -> None:
    try:
        found = parse(text.encode())
    except JsonProblem:
        return
    assert json.loads(text, parse_float=Decimal) == found


@given(st.one_of(st.integers(), st.decimals(allow_nan=False, allow_infinity=False), st.text(max_size=30)))
def test_a_quantity_is_exact_or_refused(value: int | Decimal | str) -> None:
    try:
        scaled = scaled_quantity(value)
    except Unreadable:
        return
    assert Fraction(scaled, SCALE) == Fraction(value)
    assert abs(scaled) < 10**27
