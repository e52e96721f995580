"""Exact decimals in and out, and the one rounding."""

from decimal import Decimal
from fractions import Fraction

import pytest

from billing.domain.money import (
    CURRENCY_EXPONENTS,
    amount_text,
    parse_decimal,
    plain,
    round_amount,
    round_half_up,
    to_amount,
)


@pytest.mark.parametrize("text", ["0", "-0", "12.50", "007", "999999999999999.999999999999", "-1.000000000001"])
def test_decimal_texts_are_exact(text: str) -> None:
    assert parse_decimal(text) == Fraction(Decimal(text))


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "+1", "1.", ".5", "1e5", "NaN", "Infinity", "-", "0x1", "1_000", "1,5", "١", "9" * 65, "9" * 4000],
)
def test_what_is_no_decimal_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_decimal(text)


def test_currencies_have_the_exponents_of_iso_4217() -> None:
    codes = ("USD", "EUR", "JPY", "BHD", "CLF", "CLP")
    assert [CURRENCY_EXPONENTS[code] for code in codes] == [2, 2, 0, 3, 4, 0]
    assert len(CURRENCY_EXPONENTS) > 150


@pytest.mark.parametrize(
    ("value", "places", "whole"),
    [("0.5", 0, 1), ("-0.5", 0, -1), ("2.5", 0, 3), ("0.499999999999999999", 0, 0), ("1.005", 2, 101), ("150", -2, 2)],
)
def test_halves_go_away_from_zero(value: str, places: int, whole: int) -> None:
    assert round_half_up(Fraction(value), places) == whole


def test_amounts_have_the_decimals_of_their_currency() -> None:
    assert str(round_amount(Fraction(1, 3), "USD")) == "0.33"
    assert str(round_amount(Fraction(3, 2), "JPY")) == "2"
    assert str(round_amount(Fraction(1, 3), "BHD")) == "0.333"
    assert str(to_amount(-5, 2)) == "-0.05"
    huge = round_amount(Fraction(10**30 + 1) / 100, "USD")
    assert str(huge) == "10000000000000000000000000000.01", "no context may round it"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("163.00"), "163"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0E-12"), "0"),
        (Fraction(1, 3), "0.333333333333"),
        (Fraction(2, 3), "0.666666666667"),
        (Fraction("0.000000000001"), "0.000000000001"),
        (Fraction(-1, 2), "-0.5"),
        (Fraction(-1, 10**13), "0"),
        (10**30, "1" + "0" * 30),
    ],
)
def test_plain_text_has_no_exponent_and_no_needless_zero(value: Decimal | Fraction | int, text: str) -> None:
    assert plain(value) == text


def test_amount_texts_keep_small_prices_and_show_the_currencys_decimals() -> None:
    assert amount_text(Fraction("12.3"), "USD") == "12.30"
    assert amount_text(Fraction("0.00002"), "USD") == "0.00002"
    assert amount_text(Decimal(5), "JPY") == "5"
    assert amount_text(Fraction("0.5"), "JPY") == "0.5"
