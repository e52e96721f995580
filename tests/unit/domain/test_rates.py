"""Rates as they are written: every model, its defaults, its edges, and every mistake in one list."""

from fractions import Fraction
from typing import Any

import pytest

from billing.domain.money import plain
from billing.domain.problems import InvalidRate
from billing.domain.rate_reading import parse_rate
from billing.domain.rate_words import rate_text

Document = dict[str, Any]
TIERS = [{"up_to": "10", "unit": "2"}, {"up_to": "20", "unit": "1"}]


def price(document: Document, quantity: int | str | Fraction, group: dict[str, str] | None = None) -> str:
    return plain(parse_rate(document).price(Fraction(quantity), group))


def places(document: object) -> list[str]:
    with pytest.raises(InvalidRate) as caught:
        parse_rate(document, "rate")
    assert all(problem.message for problem in caught.value.problems)
    return [problem.field for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("document", "quantity", "amount"),
    [
        ({"model": "per_unit"}, 5, "0"),
        ({"model": "per_unit", "unit": "0.00002"}, 4821, "0.09642"),
        ({"model": "per_unit", "unit": "2", "included": "10"}, 10, "0"),
        ({"model": "per_unit", "unit": "2", "included": "10"}, "10.5", "1"),
        ({"model": "package", "size": "10", "amount": "3"}, 0, "0"),
        ({"model": "package", "size": "10", "amount": "3"}, "0.000000000001", "3"),
        ({"model": "package", "size": "0.1", "amount": "3"}, "0.3", "9"),
        ({"model": "volume", "tiers": [{"up_to": "5", "unit": "1", "flat": "7"}, {"unit": "2"}]}, 0, "7"),
        ({"model": "volume", "tiers": [{"up_to": "5", "unit": "1", "flat": "7"}, {"unit": "2"}]}, 5, "12"),
        ({"model": "volume", "tiers": [{"up_to": "5", "unit": "1", "flat": "7"}, {"unit": "2"}]}, "5.5", "11"),
        ({"model": "graduated", "tiers": [{"unit": "2", "flat": "1"}]}, -1, "0"),
        ({"model": "graduated", "tiers": [{"unit": "2", "flat": "1"}], "minimum": "9"}, -1, "9"),
        (
            {"model": "graduated_percentage", "tiers": [{"up_to": "10", "rate": "1", "flat": "200"}, {"rate": "2"}]},
            110,
            "202.1",
        ),
        ({"model": "per_unit", "unit": "1", "transform": {"divide": "3"}}, 1, "0.333333333333"),
        ({"model": "per_unit", "unit": "1", "transform": {"divide": "60", "round": "down"}}, 119, "1"),
        ({"model": "per_unit", "unit": "1", "transform": {"divide": "60", "round": "half_up"}}, 90, "2"),
        ({"model": "per_unit", "unit": "1", "transform": {"round": "up"}}, "1.1", "2"),
        ({"model": "per_unit", "unit": "1", "minimum": "5", "maximum": "10"}, 0, "5"),
        ({"model": "per_unit", "unit": "1", "minimum": "5", "maximum": "10"}, 11, "10"),
        ({"model": "per_unit", "unit": "1", "maximum": None}, 11, "11"),
    ],
)
def test_prices(document: Document, quantity: int | str, amount: str) -> None:
    assert price(document, quantity) == amount


def test_a_matrix_looks_its_price_up_by_group() -> None:
    matrix = {
        "model": "matrix",
        "dimensions": ["model", "region"],
        "cells": [{"match": {"model": "m", "region": "eu"}, "unit": "3"}, {"match": {"model": "m"}, "unit": "2"}],
    }
    assert price(matrix, 10, {"model": "m", "region": "eu"}) == "30"
    assert price(matrix, 10, {"model": "m", "region": "us", "other": "x"}) == "20"
    with pytest.raises(InvalidRate, match="no cell prices"):
        price(matrix, 10, {"model": "x"})
    with_default = matrix | {"default": "1"}
    assert price(with_default, 10, {"model": "x"}) == "10"
    assert price(with_default, 10) == "10", "without a group: the default"


@pytest.mark.parametrize(
    ("more", "transactions", "amount"),
    [
        ({"free_events": 1, "free_amount": "250"}, (50, 100), "3"),
        ({"free_amount": "250"}, (250, 100), "3"),
        ({"free_amount": "250"}, (250, 0), "2"),
        ({"free_amount": "250"}, (), "0"),
        ({"event_min": "5"}, (100, 1000), "17"),
        ({"event_max": "5"}, (100, 1000), "8"),
        ({"transform": {"divide": "100", "round": "down"}, "fixed": "0"}, (199, 250), "0.03"),
        ({"minimum": "50"}, (100,), "50"),
    ],
)
def test_percentages_price_transaction_by_transaction(
    more: Document, transactions: tuple[int, ...], amount: str
) -> None:
    rate = parse_rate({"model": "percentage", "rate": "1", "fixed": "2"} | more)
    assert plain(rate.price_each(map(Fraction, transactions))) == amount


def test_what_a_rate_cannot_price_is_said() -> None:
    ended = parse_rate({"model": "graduated", "tiers": TIERS})
    assert ended.price(Fraction(20)) == 30
    with pytest.raises(InvalidRate, match="above 20"):
        ended.price(Fraction(21))
    with pytest.raises(InvalidRate, match="only a percentage"):
        ended.price_each([Fraction(1)])
    percentage = parse_rate({"model": "percentage", "rate": "1"})
    with pytest.raises(InvalidRate, match="transactions"):
        percentage.price(Fraction(1))
    with pytest.raises(InvalidRate, match="negative"):
        percentage.price_each([Fraction(-1)])


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ([], ["rate", "rate.model"]),
        ({}, ["rate.model"]),
        ({"model": "perunit"}, ["rate.model"]),
        ({"model": "per_unit", "unit": 0.5, "x": 1}, ["rate.unit", "rate.x"]),
        ({"model": "per_unit", "unit": 5}, ["rate.unit"]),
        ({"model": "per_unit", "unit": "-1", "included": "abc"}, ["rate.unit", "rate.included"]),
        ({"model": "per_unit", "unit": "1e5"}, ["rate.unit"]),
        ({"model": "per_unit", "tiers": []}, ["rate.tiers"]),
        ({"model": "per_unit", "transform": {"divide": "0", "round": "sideways", "x": 1}},
         ["rate.transform.divide", "rate.transform.round", "rate.transform.x"]),
        ({"model": "per_unit", "transform": []}, ["rate.transform"]),
        ({"model": "per_unit", "minimum": "2", "maximum": "1"}, ["rate.maximum"]),
        ({"model": "graduated"}, ["rate.tiers"]),
        ({"model": "volume", "tiers": []}, ["rate.tiers"]),
        ({"model": "volume", "tiers": ["x"]}, ["rate.tiers[0]"]),
        ({"model": "graduated", "tiers": [{"unit": "1"}, {"up_to": "5"}]}, ["rate.tiers[0].up_to"]),
        ({"model": "graduated", "tiers": [{"up_to": "5"}, {"up_to": "5"}, {"unit": "x"}]},
         ["rate.tiers[1].up_to", "rate.tiers[2].unit"]),
        ({"model": "graduated", "tiers": [{"up_to": "0"}, {"rate": "1"}]},
         ["rate.tiers[0].up_to", "rate.tiers[1].rate"]),
        ({"model": "package"}, ["rate.size"]),
        ({"model": "package", "size": "0"}, ["rate.size"]),
        ({"model": "percentage"}, ["rate.rate"]),
        ({"model": "percentage", "rate": "1", "free_events": "3", "event_min": "2", "event_max": "1"},
         ["rate.free_events", "rate.event_max"]),
        ({"model": "percentage", "rate": "1", "free_events": -1}, ["rate.free_events"]),
        ({"model": "percentage", "rate": "1", "free_events": True}, ["rate.free_events"]),
        ({"model": "matrix", "dimensions": []}, ["rate.dimensions", "rate.cells"]),
        ({"model": "matrix", "dimensions": ["a", "a"], "default": "1"}, ["rate.dimensions"]),
        ({"model": "matrix", "dimensions": ["a"], "default": "1",
          "cells": [{"match": {"a": "1"}, "unit": "1"}, {"match": {"a": "1"}, "unit": "2"}]},
         ["rate.cells[1].match"]),
        ({"model": "matrix", "dimensions": ["a"], "cells": [{"match": {"b": "1"}}]},
         ["rate.cells[0].match.b", "rate.cells[0].unit"]),
        ({"model": "matrix", "dimensions": ["a"], "cells": [{"match": {}, "unit": "1"}]}, ["rate.cells[0].match"]),
    ],
)  # fmt: skip
def test_every_mistake_is_listed_with_its_place(document: object, fields: list[str]) -> None:
    assert places(document) == fields


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"model": "per_unit", "unit": "0.00002"}, "$0.00002 per token"),
        ({"model": "per_unit", "unit": "2", "included": "1000"}, "$2.00 per token, 1,000 included"),
        ({"model": "per_unit"}, "free"),
        ({"model": "package", "size": "1000000", "amount": "0.3"}, "$0.30 per started 1,000,000 tokens"),
        ({"model": "graduated", "tiers": [{"up_to": "1000", "unit": "2", "flat": "1"}, {"unit": "0.5"}]},
         "in steps: to 1,000 $2.00 per token + $1.00; then $0.50 per token"),
        ({"model": "volume", "tiers": [{"unit": "0.5"}]}, "by volume: $0.50 per token"),
        ({"model": "volume", "tiers": [{"up_to": str(n), "unit": "1"} for n in (1, 2, 3, 4, 5)]},
         "by volume: " + "".join(f"to {n} $1.00 per token; " for n in (1, 2, 3, 4)) + "and 1 more"),
        ({"model": "percentage", "rate": "1.3", "fixed": "0.2", "free_events": 3, "free_amount": "250"},
         "1.3 % + $0.20 per transaction, 3 transactions or $250.00 free"),
        ({"model": "graduated_percentage", "tiers": [{"rate": "2.5"}]}, "in steps: 2.5 %"),
        ({"model": "matrix", "dimensions": ["a", "b"], "cells": [{"match": {"a": "1"}, "unit": "2"}], "default": "1"},
         "$1.00 to $2.00 per token, by a and b"),
        ({"model": "per_unit", "unit": "1", "minimum": "5", "maximum": "9",
          "transform": {"divide": "1000", "round": "up"}},
         "$1.00 per token, where one unit is 1,000 tokens, rounded up, at least $5.00, at most $9.00"),
    ],
)  # fmt: skip
def test_a_rate_says_in_words_what_it_asks_for(document: Document, words: str) -> None:
    assert rate_text(parse_rate(document), "tokens", "USD") == words


def test_words_use_the_code_of_a_currency_without_a_common_sign() -> None:
    assert rate_text(parse_rate({"model": "per_unit", "unit": "0.5"}), "status", "CHF") == "CHF 0.50 per status"
    assert rate_text(parse_rate({"model": "per_unit", "unit": "3"}), "users", "JPY") == "¥3 per user"
