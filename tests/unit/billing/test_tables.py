import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api import tables
from billing.api.description import examples
from billing.api.tables import Table, file_name, next_link, render_csv

TEXTS = Table(name="texts", columns=("text", "number", "nothing", "list"))


def parsed(rendered: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(rendered.decode(), newline=""), strict=True))


def cells(**row: Any) -> list[str]:
    return parsed(render_csv(TEXTS, {"data": [row]}, {}))[1]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=5))
def test_every_text_comes_back(texts: list[str]) -> None:
    """With the apostrophe taken off the front, whatever it held: quotes, commas, line ends of any kind."""
    rendered = render_csv(TEXTS, {"data": [{"text": text} for text in texts]}, {})
    rows = parsed(rendered)[1:]
    assert [row[0].removeprefix("'") for row in rows] == texts
    assert all(not row[0].startswith(tuple("=+-@\t\r\n＝＋－＠")) or tables.NUMBER.fullmatch(row[0]) for row in rows)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("acme", "acme"),
        ("=1+1", "'=1+1"),
        ("+49 30", "'+49 30"),
        ("-cmd", "'-cmd"),
        ("@sum(a1)", "'@sum(a1)"),
        ("\tx", "'\tx"),
        ("＝1", "'＝1"),
        ("'quoted", "''quoted"),
        ("-12.50", "-12.50"),
        ("-1-1", "'-1-1"),
        ("-1\n", "'-1\n"),
        ("", ""),
    ],
)
def test_no_text_is_a_formula(text: str, cell: str) -> None:
    assert cells(text=text)[0] == cell


def test_rows_are_as_the_format_wants_them() -> None:
    rendered = render_csv(TEXTS, {"data": [{"text": 'a,"b"', "number": 1.5, "nothing": None, "list": ["x", "y"]}]}, {})
    assert rendered == b'text,number,nothing,list\r\n"a,""b""",1.5,,"[""x"",""y""]"\r\n'
    assert render_csv(TEXTS, {"data": []}, {}) == b"text,number,nothing,list\r\n"
    assert cells(text=True)[0] == "true"


def test_a_column_is_a_member_of_the_row_or_of_the_answer() -> None:
    rows = parsed(render_csv(tables.SPEND, examples()["spend"], {}))
    line = dict(zip(*rows, strict=True))
    assert (line["customer"], line["currency"], line["amount"], line["period.start"]) == (
        "acme", "USD", "410.00", "2026-11-01T00:00:00Z",
    )  # fmt: skip
    assert line["group"] == '{"model":"m-large"}'


def test_named_groups_are_columns() -> None:
    rows = parsed(render_csv(tables.USAGE, examples()["usage"], {"group_by": "model, model"}))
    assert rows[0] == ["customer", "meter", "start", "end", "time_zone", "value", "group.model"]
    assert [row[-2:] for row in rows[1:]] == [["2000000", "m-large"], ["150000.5", "m-small"]]
    assert parsed(render_csv(tables.USAGE, {"data": []}, {"group_by": "=x"}))[0][-1] == "group.=x"


def test_file_names_are_harmless() -> None:
    assert file_name(tables.USAGE, {"customer": 'a/b"\r\n\\..', "meter": "tokens"}) == "usage-a_b____..-tokens.csv"
    assert file_name(tables.CUSTOMERS, {}) == "customers.csv"
    assert len(file_name(tables.SPEND, {"customer": "x" * 256})) == tables.FILE_NAME_MAX + 4


def test_the_next_page_is_the_same_question() -> None:
    link = next_link("/v1/customers", [("limit", "2"), ("after", "old"), ("q", "a&b ü")], "after", "new")
    assert link == '</v1/customers?limit=2&q=a%26b+%C3%BC&after=new>; rel="next"'
