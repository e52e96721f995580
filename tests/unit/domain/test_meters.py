"""What an event adds to meters, and when the whole event is refused."""

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest

from billing.domain.meters import Filter, Measure, Meter, MeterDefinition, MeterSet
from billing.domain.problems import InvalidEvent
from billing.domain.properties import Unreadable, group_text, path_problem, scaled_quantity, text_digest
from billing.domain.usage import UsageEvent, decode
from engine import digest_of

TIME_US = 1_795_777_200_000_000


def event(data: object, **attributes: str) -> UsageEvent:
    members: dict[str, Any] = {"specversion": "1.0", "id": "a", "source": "s", "type": "t", "subject": "acme"}
    return decode(json.dumps(members | attributes | {"data": data}).encode())


def meter(aggregation: str = "sum", path: str | None = "data.tokens", **more: Any) -> Meter:
    return Meter(MeterDefinition("m", "t", aggregation, path, **more))


def read(definition: Meter, data: object) -> Measure | None:
    return MeterSet([definition], 0, 1).meters["m"].read(event(data), TIME_US)


def measured(definition: Meter, data: object) -> object:
    found = read(definition, data)
    assert found is not None
    return found.value


@pytest.mark.parametrize(
    ("value", "scaled"),
    [
        (0, 0),
        (-3, -3 * 10**12),
        (999_999_999_999_999, 999_999_999_999_999 * 10**12),
        (Decimal("0.000000000001"), 1),
        (Decimal("-0.0"), 0),
        (Decimal("1e5"), 10**17),
        (Decimal("1.50000000000000000"), 15 * 10**11),
        (Decimal("999999999999999.999999999999"), 10**27 - 1),
        (Decimal("9007199254740.05"), 9_007_199_254_740_050_000_000_000),
        (Decimal("0e300"), 0),
        ("12.5", 125 * 10**11),
        ("-999999999999999.999999999999", 1 - 10**27),
        ("1.0000000000000", 10**12),
    ],
)
def test_quantities_are_exact(value: object, scaled: int) -> None:
    assert scaled_quantity(value) == scaled


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, [], {}, "", "x", "1e5", " 1", "+1", "NaN", 10**15, -(10**15), 2**63, "1000000000000000"),
        *(Decimal("1e15"), Decimal("0.0000000000001"), "0.0000000000001", Decimal("1e-400"), Decimal("1e400")),
        Decimal("1." + "0" * 40 + "1"),
    ],
)
def test_what_is_no_quantity_is_unreadable(value: object) -> None:
    with pytest.raises(Unreadable, match=r"must|missing"):
        scaled_quantity(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *(
            (None, ""),
            ("", ""),
            ("eu", "eu"),
            (5, "5"),
            (-5, "-5"),
            (True, "true"),
            (False, "false"),
            ("x" * 256, "x" * 256),
        ),
        *((Decimal("1.50"), "1.5"), (Decimal("1e3"), "1000"), (Decimal("-0.0"), "0"), (Decimal("1e-7"), "0.0000001")),
    ],
)
def test_groups_are_texts(value: object, text: str) -> None:
    assert group_text(value) == text


@pytest.mark.parametrize("value", [[], {}, "x" * 257, "ü" * 129, Decimal("1e300")])
def test_what_is_no_group_is_unreadable(value: object) -> None:
    with pytest.raises(Unreadable, match="must"):
        group_text(value)


def test_each_aggregation_gets_the_value_that_the_engine_wants() -> None:
    data = {"tokens": 7}
    for aggregation in ("sum", "average", "min", "max"):
        assert measured(meter(aggregation), data) == 7 * 10**12
    assert measured(meter("latest"), data) == (TIME_US, 7 * 10**12)
    assert measured(meter("unique"), data) == digest_of(b"7") == text_digest("7")
    assert measured(meter("count", None), data) is None


def test_group_values_stand_in_the_sorted_order_of_their_names() -> None:
    grouped = meter(group_by=(("a", "data.z"), ("b", "data.y"), ("c", "subject"), ("d", "data.in.deep")))
    found = read(grouped, {"tokens": 1, "z": "zed", "y": True, "in": {"deep": 1.50}})
    assert found is not None
    assert grouped.group_names == ("a", "b", "c", "d")
    assert found.group == ("zed", "true", "acme", "1.5")
    absent = read(grouped, {"tokens": 1, "z": None, "in": "shallow"})
    assert absent is not None
    assert absent.group == ("", "", "acme", "")


def test_equal_looking_groups_stay_apart() -> None:
    """Guards the memory of groups: to a dict 1 and true are one key."""
    grouped = meter(group_by=(("g", "data.g"),))
    groups = []
    for value in ("1", 1, True, 1.0, "true", 1, "1"):
        found = read(grouped, {"tokens": 1, "g": value})
        assert found is not None
        groups.append(found.group)
    assert groups == [("1",), ("1",), ("true",), ("1",), ("true",), ("1",), ("1",)]


def test_filters_let_pass_what_has_one_of_their_texts() -> None:
    filtered = meter(
        filters=(Filter("data.region", frozenset({"eu", "us"})), Filter("data.paid", frozenset({"true", ""})))
    )
    assert read(filtered, {"tokens": 1, "region": "eu", "paid": True})
    assert read(filtered, {"tokens": 1, "region": "us"})
    assert read(filtered, {"tokens": 1, "region": "ap"}) is None
    assert read(filtered, {"tokens": 1}) is None
    assert read(filtered, {"tokens": 1, "region": ["eu"]}) is None
    assert read(filtered, {"tokens": "unreadable", "region": "ap"}) is None, "what does not match is not read"


def test_one_meter_that_cannot_read_its_property_refuses_the_whole_event() -> None:
    count = Meter(MeterDefinition("requests", "t", "count"))
    broken = Meter(MeterDefinition("broken", "t", "sum", "data.tokens", (("model", "data.model"),)))
    elsewhere = Meter(MeterDefinition("elsewhere", "other", "sum", "data.nothing"))
    meters = MeterSet([count, broken, elsewhere], 0, 1)
    assert [item.meter for item in meters.measure(event({"tokens": 1}), TIME_US)] == [count, broken]
    with pytest.raises(InvalidEvent) as caught:
        meters.measure(event({"tokens": "many", "model": []}), TIME_US)
    assert [problem.field for problem in caught.value.problems] == ["data.tokens", "data.model"]
    assert all("broken" in problem.message for problem in caught.value.problems)


def test_an_event_that_no_meter_matches_is_measured_as_nothing() -> None:
    assert MeterSet([meter()], 0, 1).measure(event({}, type="unknown"), TIME_US) == []


def test_groups_that_are_too_long_together_are_refused() -> None:
    grouped = meter("count", None, group_by=tuple((name, f"data.{name}") for name in "abcd"))
    assert read(grouped, dict.fromkeys("abc", "x" * 256))
    with pytest.raises(InvalidEvent, match="too long together"):
        read(grouped, dict.fromkeys("abcd", "x" * 256))
    with pytest.raises(InvalidEvent, match="too long together"):
        read(grouped, {"a": "\x01" * 256})
    longest = 1024 - len(orjson.dumps(["m", 1, "x" * 256, "x" * 256, "x" * 256, ""]))
    assert read(grouped, dict.fromkeys("abc", "x" * 256) | {"d": "x" * longest})
    with pytest.raises(InvalidEvent, match="too long together"):
        read(grouped, dict.fromkeys("abc", "x" * 256) | {"d": "x" * (longest + 1)})


@pytest.mark.parametrize("path", ["data.x", "data.x.y", "subject", "type", "source", "id"])
def test_paths_that_can_be(path: str) -> None:
    assert path_problem(path) is None


@pytest.mark.parametrize("path", ["", "data", "data.", "data..x", "tokens", "subject.x", "time", ".data.x"])
def test_paths_that_cannot_be(path: str) -> None:
    assert path_problem(path)
