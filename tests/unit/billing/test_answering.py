"""How answers leave: representations, tags, and that no 304 hides that data is late."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from billing.api.answering import chosen_type, is_late, tag_of
from billing.api.described import Described
from billing.api.tables import CUSTOMERS
from tests.unit.billing.fakes import NOON, Record, record
from tests.unit.billing.test_api import Bench

CSV = {"accept": "text/csv"}
POLLED = (
    "/v1/customers/acme/spend", "/v1/customers/acme/access", "/v1/customers/acme/usage?meter=tokens",
    "/v1/customers/acme/spend/series", "/v1/customers", "/v1/alerts", "/v1/dead-letters",
)  # fmt: skip
TABLES = (*(path for path in POLLED if "access" not in path), "/v1/customers/acme/events")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    found = Bench()
    found.use("acme", "tokens", ("m-large", "eu"), 0, 2_100)
    found.use("=cmd", "tokens", ("m-large", "eu"), 0, 50)
    found.tail.records = [record(offset=0)]
    for offset in range(3):
        alert = {"id": str(offset), "customer": "acme", "type": "t", "period": {"start": "s", "end": "e"}}
        found.services.feed.add(0, offset, offset, orjson.dumps(alert))
        headers = [("error", b"=bad"), ("source-partition", b"0"), ("source-offset", b"%d" % offset)]
        found.services.letters.add(Record(b"{}", offset=offset, headers=headers))
    async with found.client:
        yield found


# ------------------------------------------------------------------ tags
@pytest.mark.parametrize("path", POLLED)
async def test_the_same_again_is_not_sent_again(bench: Bench, path: str) -> None:
    first = await bench.client.get(path)
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    for asked in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = await bench.client.get(path, headers={"if-none-match": asked})
        assert (again.status_code, again.content) == (304, b"")
        for name in ("etag", "cache-control", "vary", "keylane-as-of", "keylane-lag-s"):
            assert again.headers.get(name) == first.headers.get(name)
    assert (await bench.client.get(path, headers={"if-none-match": '"other"'})).status_code == 200


async def test_a_change_has_another_tag(bench: Bench) -> None:
    path = "/v1/customers/acme/access"
    before = await bench.client.get(path)
    bench.use("acme", "tokens", ("m-large", "ap"), 2, 1)
    after = await bench.client.get(path, headers={"if-none-match": before.headers["etag"]})
    assert (after.status_code, after.json()["spend"]) == (200, "21.01")
    assert after.headers["etag"] != before.headers["etag"]


async def test_what_is_the_same_later_says_how_late_it_is(bench: Bench) -> None:
    path = "/v1/customers/acme/spend"
    tag = (await bench.client.get(path)).headers["etag"]
    bench.clock.now += 60_000
    bench.status.known_lag_s = 1.25
    again = await bench.client.get(path, headers={"if-none-match": tag})
    assert again.status_code == 304
    assert again.headers["keylane-as-of"] == "2026-11-01T12:01:00Z"
    assert again.headers["keylane-lag-s"] == "1.250"


async def test_a_first_page_is_the_same_though_its_cursor_names_another_moment(bench: Bench) -> None:
    first = await bench.client.get("/v1/customers?limit=1")
    bench.clock.now += 60_000
    again = await bench.client.get("/v1/customers?limit=1", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["keylane-as-of"] == "2026-11-01T12:01:00Z"


@pytest.mark.parametrize("lag_s", [2.001, 300.0, None])
async def test_what_is_late_is_told_whole(bench: Bench, lag_s: float | None) -> None:
    path = "/v1/customers/acme/access"
    tag = (await bench.client.get(path)).headers["etag"]
    bench.status.known_lag_s = lag_s
    again = await bench.client.get(path, headers={"if-none-match": tag})
    assert (again.status_code, again.json()["lag_s"]) == (200, lag_s)


@pytest.mark.parametrize(
    ("content", "late"),
    [
        ({}, False),
        ({"lag_s": 2.0}, False),
        ({"freshness_s": 2.1}, True),
        ({"freshness_s": None}, True),
        ({"as_of": None}, True),
        ({"as_of": "2026-11-01T11:59:58Z"}, False),
        ({"as_of": "2026-11-01T11:59:57.999Z", "lag_s": 0.0}, True),
    ],
)
def test_late(content: dict[str, Any], late: bool) -> None:
    assert is_late(content, NOON * 1_000) is late


def test_a_tag_is_of_the_content_and_its_form() -> None:
    content = {"total": "1.00", "lag_s": 0.1, "as_of": "a"}
    assert tag_of(content, "application/json") == tag_of(content | {"lag_s": 9.0, "as_of": "b"}, "application/json")
    assert tag_of(content, "application/json") != tag_of(content, "text/csv")
    assert tag_of(content, "application/json") != tag_of(content | {"total": "1.01"}, "application/json")


async def test_what_is_asked_once_has_no_tag(bench: Bench) -> None:
    answer = await bench.client.get("/healthz", headers={"if-none-match": "*"})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert "etag" not in answer.headers


async def test_problems_have_no_tag(bench: Bench) -> None:
    answer = await bench.client.get("/v1/customers/nobody/spend", headers={"if-none-match": "*"})
    assert answer.status_code == 404
    assert "etag" not in answer.headers


# ------------------------------------------------------------------ representations
@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV ; charset=utf-8", "text/csv"),
        ("text/*", "text/csv"),
        ("text/csv, application/json", "application/json"),
        ("text/csv, application/json;q=0.5", "text/csv"),
        ("text/csv;q=0.2, */*;q=0.1", "text/csv"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("application/json;q=0, */*", "text/csv"),
        ("text/csv;q=0", None),
        ("text/csv;q=much", None),
        ("image/png", None),
        ("application/xml, text/html", None),
    ],
)
def test_the_client_chooses(accept: str | None, chosen: str | None) -> None:
    assert chosen_type(accept, Described(table=CUSTOMERS)) == chosen


def test_where_there_is_no_table_there_is_nothing_to_choose() -> None:
    assert chosen_type("image/png", Described()) == "application/json"


@pytest.mark.parametrize("path", TABLES)
async def test_a_table_holds_the_figures_of_the_answer(bench: Bench, path: str) -> None:
    content = (await bench.client.get(path)).json()
    answer = await bench.client.get(path, headers=CSV)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["vary"] == "accept"
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode(), newline=""), strict=True))
    listed = content["lines" if "lines" in content else "data"]
    assert len(rows) == len(listed) > 0
    for row, entry in zip(rows, listed, strict=True):
        for name in row.keys() & entry.keys():
            if isinstance(entry[name], str):
                assert row[name].removeprefix("'") == entry[name]
    assert not any(cell.startswith("=") for row in rows for cell in row.values())


@pytest.mark.parametrize("path", TABLES)
async def test_other_types_are_refused(bench: Bench, path: str) -> None:
    answer = await bench.client.get(path, headers={"accept": "image/png"})
    assert (answer.status_code, answer.json()["type"]) == (406, "/problems#not-acceptable")


@pytest.mark.parametrize(
    ("path", "column"), [("/v1/customers", "customer"), ("/v1/alerts", "id"), ("/v1/dead-letters", "offset")]
)
async def test_pages_of_a_table_follow_its_links(bench: Bench, path: str, column: str) -> None:
    wanted = [str(row[column]) for row in (await bench.client.get(path)).json()["data"]]
    seen: list[str] = []
    url: Any = f"{path}?limit=1"
    while url:
        answer = await bench.client.get(url, headers=CSV)
        rows = list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))
        assert len(rows) == 1
        seen.append(rows[0][column].removeprefix("'"))
        url = answer.links["next"]["url"] if "next" in answer.links else None
    assert seen == wanted


async def test_a_table_has_a_tag_of_its_own(bench: Bench) -> None:
    path = "/v1/customers/acme/spend"
    json_tag = (await bench.client.get(path)).headers["etag"]
    answer = await bench.client.get(path, headers=CSV | {"if-none-match": json_tag})
    assert answer.status_code == 200
    again = await bench.client.get(path, headers=CSV | {"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
