"""`billing price`: exact lines for people and scripts."""

import json
from pathlib import Path

import pytest

from billing.domain.problems import Invalid
from billing.price import price_lines

RATES = Path(__file__).parents[2] / "examples" / "rates"


def amounts(name: str, *quantities: str, **options: object) -> list[str]:
    return [json.loads(line)["amount"] for line in price_lines(RATES / f"{name}.json", quantities, **options)]  # type: ignore[arg-type]


def test_one_json_line_a_quantity() -> None:
    assert price_lines(RATES / "graduated.json", ["21", "0.50"]) == [
        '{"quantity":"21","amount":"163"}',
        '{"quantity":"0.5","amount":"7"}',
    ]


@pytest.mark.parametrize(
    ("name", "quantity", "amount"),
    [
        ("per-unit", "30", "1.5"),
        ("graduated", "11", "110"),
        ("volume", "6", "24"),
        ("package", "121", "1200"),
        ("graduated-percentage", "110", "202.1"),
        ("matrix", "10", "0.1"),
        ("transform", "150", "30"),
    ],
)
def test_every_example_rate_prices(name: str, quantity: str, amount: str) -> None:
    assert amounts(name, quantity) == [amount]


def test_every_example_is_priced_by_a_test() -> None:
    assert {path.stem for path in RATES.iterdir()} == {
        *("per-unit", "graduated", "volume", "package", "percentage", "graduated-percentage", "matrix", "transform")
    }


def test_a_percentage_takes_transactions() -> None:
    lines = price_lines(RATES / "percentage.json", (), "50,100, 250,400")
    assert lines == ['{"quantity":"800","amount":"11.15"}']


def test_a_matrix_takes_a_group() -> None:
    assert amounts("matrix", "10", group={"model": "m-large", "region": "eu"}) == ["0.2"]


def test_a_toml_file_will_do(tmp_path: Path) -> None:
    path = tmp_path / "rate.toml"
    path.write_text('model = "per_unit"\nunit = "0.333333333333333333"\n')
    assert price_lines(path, ["1"]) == ['{"quantity":"1","amount":"0.333333333333"}']


@pytest.mark.parametrize(
    ("name", "quantities", "transactions", "word"),
    [
        ("percentage", ["5"], None, "--transactions"),
        ("percentage", ["5"], "5", "--transactions"),
        ("percentage", [], "5,-1", "negative"),
        ("percentage", [], "5,x", "--transactions"),
        ("volume", [], None, "--quantity"),
        ("volume", ["5"], "5", "--quantity"),
        ("volume", ["1e5", "NaN"], None, "1e5.*NaN"),
    ],
)
def test_what_cannot_be_priced_is_said(name: str, quantities: list[str], transactions: str | None, word: str) -> None:
    with pytest.raises(Invalid, match=word):
        price_lines(RATES / f"{name}.json", quantities, transactions)


def test_a_broken_file_names_every_problem(tmp_path: Path) -> None:
    path = tmp_path / "rate.json"
    path.write_text('{"model":"per_unit","unit":"x","minimum":5,"extra":1}')
    with pytest.raises(Invalid) as caught:
        price_lines(path, ["1"])
    assert [problem.field for problem in caught.value.problems] == ["unit", "minimum", "extra"]
    path.write_text("{")
    with pytest.raises(Invalid, match="JSON"):
        price_lines(path, ["1"])
