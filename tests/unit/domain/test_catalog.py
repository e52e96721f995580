"""A catalog is checked as a whole: every problem at once, each with its place and line."""

import json
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from billing.catalog import InvalidCatalog, load_catalog, parse_catalog, read_catalog
from billing.check import check_catalog
from billing.domain.meters import Filter, MeterDefinition

EXAMPLES = Path(__file__).parents[3] / "examples"

GOOD = """
version = 1

[defaults]
plan = "pay-as-you-go"
currency = "USD"
time_zone = "UTC"

[[meters]]
name = "tokens"
event_type = "llm.tokens"
aggregation = "sum"
property = "data.tokens"
group_by = { region = "data.region", model = "data.model" }
filter = { "data.region" = ["eu", "us"] }

[[plans]]
name = "pay-as-you-go"

[[plans.rates]]
name = "large model tokens"
meter = "tokens"
match = { model = "m-large" }
rate = { model = "per_unit", unit = "0.00002" }

[[customers]]
id = "acme"
plan = "pay-as-you-go"
currency = "USD"
time_zone = "Europe/Berlin"
limit = "500.00"
thresholds = ["50%", "80%", "100%", "250.00"]
"""


def catalog_problems(text: str) -> dict[str, str]:
    """Place -> message."""
    with pytest.raises(InvalidCatalog) as caught:
        parse_catalog(text.encode(), json=False)
    return {problem.field: problem.message for problem in caught.value.problems}


def changed(old: str, new: str) -> dict[str, str]:
    assert old in GOOD
    return catalog_problems(GOOD.replace(old, new, 1))


def test_the_contracts_example_is_read() -> None:
    catalog = parse_catalog(GOOD.encode(), json=False)
    assert catalog.meters["tokens"] == MeterDefinition(
        "tokens",
        "llm.tokens",
        "sum",
        "data.tokens",
        (("model", "data.model"), ("region", "data.region")),
        (Filter("data.region", frozenset({"eu", "us"})),),
    )
    acme = catalog.customer("acme")
    assert acme.plan is catalog.plans["pay-as-you-go"]
    assert (acme.currency, acme.time_zone.name, acme.limit) == ("USD", "Europe/Berlin", Fraction(500))
    assert [(item.rule, item.amount) for item in acme.thresholds][1] == ("80%", Fraction(400))
    assert (acme.named, acme.priced, acme.watched) == (True, True, True)


def test_whoever_is_not_named_has_the_defaults() -> None:
    somebody = parse_catalog(GOOD.encode(), json=False).customer("somebody")
    assert (somebody.id, somebody.named, somebody.currency, somebody.watched) == ("somebody", False, "USD", False)
    assert somebody.plan is not None
    nobody = read_catalog({}).customer("x")
    assert (nobody.plan, nobody.currency, nobody.time_zone.name, nobody.priced) == (None, None, "UTC", False)


def test_an_entry_takes_from_the_defaults_what_it_does_not_name() -> None:
    catalog = parse_catalog((GOOD + '[[customers]]\nid = "b"\nlimit = "5"\n').encode(), json=False)
    found = catalog.customer("b")
    assert found.plan is not None
    assert (found.currency, found.time_zone.name, found.limit) == ("USD", "UTC", Fraction(5))


def test_json_of_the_same_shape_means_the_same() -> None:
    catalog = parse_catalog(GOOD.encode(), json=False)
    again = parse_catalog(catalog.to_json(), json=True)
    assert again == catalog
    assert again.to_json() == catalog.to_json()
    reordered = json.dumps(dict(reversed(json.loads(catalog.to_json()).items()))).encode()
    assert parse_catalog(reordered, json=True).to_json() == catalog.to_json()


@pytest.mark.parametrize(
    ("old", "new", "place", "word"),
    [
        ("version = 1", "version = 2", "version", "must be 1"),
        ("version = 1", 'version = "1"', "version", "whole number"),
        ("version = 1", "version = 1\nextra = 1", "extra", "not known"),
        ('plan = "pay-as-you-go"', 'plan = "none"', "defaults.plan", "no such plan"),
        ('currency = "USD"', 'currency = "usd"', "defaults.currency", "ISO 4217"),
        ('time_zone = "UTC"', 'time_zone = "Mars"', "defaults.time_zone", "no time zone"),
        ('name = "tokens"', 'name = ""', "meters[0].name", "empty"),
        ('name = "tokens"', f'name = "{"x" * 129}"', "meters[0].name", "128 bytes"),
        ('event_type = "llm.tokens"\n', "", "meters[0].event_type", "missing"),
        ('"sum"', '"total"', "meters[0].aggregation", "must be one of"),
        ('property = "data.tokens"\n', "", "meters[0].property", "missing"),
        ('aggregation = "sum"', 'aggregation = "count"', "meters[0].property", "absent"),
        ('"data.tokens"', '"tokens"', "meters[0].property", "data."),
        ('"data.model"', '"model"', "meters[0].group_by.model", "data."),
        ('"data.model"', "5", "meters[0].group_by.model", "text"),
        ('["eu", "us"]', "[]", "meters[0].filter.data.region", "values that pass"),
        ('["eu", "us"]', '"eu"', "meters[0].filter.data.region", "list"),
        ('["eu", "us"]', '["eu", 5]', "meters[0].filter.data.region[1]", "text"),
        ('"data.region" = [', 'region = [', "meters[0].filter.region", "data."),
        ('meter = "tokens"', 'meter = "minutes"', "plans[0].rates[0].meter", "no such meter"),
        ('match = { model', 'match = { kind', "plans[0].rates[0].match.kind", "no group"),
        ('match = { model = "m-large" }', 'match = { region = "ap" }', "plans[0].rates[0].match.region", "filter"),
        ('match = { model = "m-large" }', "match = { model = 5 }", "plans[0].rates[0].match.model", "text"),
        ('unit = "0.00002"', "unit = 0.00002", "plans[0].rates[0].rate.unit", "must be text"),
        ('rate = { model = "per_unit", unit = "0.00002" }', "", "plans[0].rates[0].rate", "missing"),
        ('"per_unit", unit = "0.00002"', '"graduated", tiers = [{up_to = "5"}]',
         "plans[0].rates[0].rate.tiers[0].up_to", "absent"),
        ('"per_unit", unit = "0.00002"', '"percentage", rate = "1", free_events = 3',
         "plans[0].rates[0].rate", "transaction"),
        ('"per_unit", unit = "0.00002"', '"percentage", rate = "1", fixed = "1", free_amount = "9"',
         "plans[0].rates[0].rate", "transaction"),
        ('"per_unit", unit = "0.00002"', '"matrix", dimensions = ["kind"], default = "1"',
         "plans[0].rates[0].rate.dimensions[0]", "no group"),
        ('"per_unit", unit = "0.00002"',
         '"matrix", dimensions = ["model"], cells = [{match = {model = "m-small"}, unit = "1"}]',
         "plans[0].rates[0].rate.cells[0].match.model", "nothing"),
        ('"per_unit", unit = "0.00002"',
         '"matrix", dimensions = ["region"], cells = [{match = {region = "ap"}, unit = "1"}]',
         "plans[0].rates[0].rate.cells[0].match.region", "filter"),
        ('id = "acme"\n', "", "customers[0].id", "missing"),
        ('id = "acme"', f'id = "{"ü" * 129}"', "customers[0].id", "256 bytes"),
        ('limit = "500.00"', 'limit = "-1"', "customers[0].limit", "at least 0"),
        ('limit = "500.00"', "limit = 500", "customers[0].limit", "text"),
        ('limit = "500.00"\n', "", "customers[0].thresholds[0]", "needs a limit"),
        ('"80%"', '"50%"', "customers[0].thresholds[1]", "as one before"),
        ('"80%"', '"0"', "customers[0].thresholds[1]", "above 0"),
        ('"80%"', "80", "customers[0].thresholds[1]", "text"),
    ],
)  # fmt: skip
def test_every_mistake_has_its_place(old: str, new: str, place: str, word: str) -> None:
    problems = changed(old, new)
    assert place in problems
    assert word in problems[place]


def extended(addition: str) -> dict[str, str]:
    return catalog_problems(GOOD + addition)


RATE = '[[plans]]\nname = "p"\n'


@pytest.mark.parametrize(
    ("addition", "place", "word"),
    [
        ('[[customers]]\nid = "acme"\n', "customers[1].id", "earlier"),
        ('[[plans]]\nname = "pay-as-you-go"\n', "plans[1].name", "earlier"),
        ('[[meters]]\nname = "tokens"\nevent_type = "t"\naggregation = "count"\n', "meters[1].name", "earlier"),
        ('[[customers]]\nid = "b"\nplan = "none"\nlimit = "5"\n', "customers[1].plan", "no such plan"),
        (RATE + '[[plans.rates]]\nname = "a"\nmeter = "tokens"\nrate = { model = "per_unit" }\n' * 2,
         "plans[1].rates[1].name", "another rate"),
    ],
)  # fmt: skip
def test_names_are_used_once(addition: str, place: str, word: str) -> None:
    problems = extended(addition)
    assert word in problems[place]


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("{}", "{}", True),
        ("{}", '{ model = "m" }', True),
        ('{ model = "m" }', '{ region = "eu" }', True),
        ('{ model = "m", region = "us" }', '{ region = "eu" }', False),
        ('{ model = "m" }', '{ model = "n" }', False),
    ],
)
def test_two_rates_that_can_price_the_same_group_are_a_problem(first: str, second: str, clash: bool) -> None:
    rates = [
        f'[[plans.rates]]\nname = "{name}"\nmeter = "tokens"\nmatch = {match}\nrate = {{ model = "per_unit" }}\n'
        for name, match in (("a", first), ("b", second))
    ]
    text = GOOD + RATE + "".join(rates)
    if clash:
        assert catalog_problems(text) == {"plans[1].rates[1].match": "can price the same group as plans[1].rates[0]"}
    else:
        assert len(parse_catalog(text.encode(), json=False).plans["p"].rates) == 2


def test_a_limit_needs_a_plan_and_a_plan_needs_a_currency() -> None:
    without = GOOD[: GOOD.index("[defaults]")] + GOOD[GOOD.index("[[meters]]") :]
    problems = catalog_problems(
        without + '[[customers]]\nid = "b"\nlimit = "5"\n[[customers]]\nid = "c"\nplan = "pay-as-you-go"\n'
    )
    assert problems.keys() == {"customers[1].limit", "customers[2].currency"}


def test_all_problems_are_listed_at_once_with_their_lines(tmp_path: Path) -> None:
    broken = GOOD.replace("version = 1", "version = 3").replace('"0.00002"', '"x"').replace('"80%"', '"-1"')
    path = tmp_path / "broken.toml"
    path.write_text(broken)
    lines, code = check_catalog(path)
    assert code == 2
    assert len(lines) == 3
    numbers = {
        name: next(index for index, line in enumerate(broken.splitlines(), 1) if line.startswith(start))
        for name, start in (
            ("version", "version"),
            ("plans[0].rates[0].rate", "rate ="),
            ("customers[0].th", "thresholds"),
        )
    }
    for name, number in numbers.items():
        assert any(f"line {number}: {name}" in line and str(path) in line for line in lines), (name, lines)


@pytest.mark.parametrize(
    ("text", "json_", "word"),
    [
        (b"a = \nb = 1", False, "line 1"),
        (b"a = " + b"[" * 100_000, False, "TOML"),
        (b"a = 1\na = 2", False, "TOML"),
        (b"\xff", False, "UTF-8"),
        (b"{", True, "JSON"),
        (b'{"version":1,"version":1}', True, "twice"),
        (b'{"version":NaN}', True, "NaN"),
        (b"[]", True, "table"),
        (b"[" * 100_000, True, "nest"),
    ],
)
def test_what_is_neither_toml_nor_json_is_refused(text: bytes, json_: bool, word: str) -> None:
    with pytest.raises(InvalidCatalog, match=word):
        parse_catalog(text, json=json_)


def test_values_of_every_wrong_type_are_problems_and_never_a_crash() -> None:
    document = json.loads(parse_catalog(GOOD.encode(), json=False).to_json())

    def spoil(value: Any, wrong: Any) -> list[Any]:
        """Copies of the value with one thing in it replaced by `wrong`."""
        spoiled = [wrong]
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            for changed_inner in spoil(inner, wrong):
                copy = dict(value) if isinstance(value, dict) else list(value)
                copy[key] = changed_inner
                spoiled.append(copy)
        return spoiled

    checked = 0
    mistakes: tuple[object, ...] = (5, -1, True, "", "\x00", [], {}, [[]], {"": {}}, [{"a": 1}], 10**30)
    for wrong in mistakes:
        for variant in spoil(document, wrong):
            checked += 1
            with suppress(InvalidCatalog):
                read_catalog(variant)
    assert checked > 300


@pytest.mark.parametrize("name", ["catalog.toml", "catalog-2.toml"])
def test_the_examples_are_valid(name: str) -> None:
    lines, code = check_catalog(EXAMPLES / name)
    assert (code, len(lines)) == (0, 1)
    catalog = load_catalog(EXAMPLES / name)
    assert {item.currency for item in catalog.customers.values()} == {"USD", "EUR", "JPY"}
    assert len({item.time_zone.name for item in catalog.customers.values()}) >= 5
