"""The document's first answers: the API's own, by the paths that the page asks."""

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

import orjson
import pytest

from billing.api.first_answers import first_paths
from tests.unit.billing.test_api import Bench


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """Its documents have time for all of their answers."""
    monkeypatch.setattr("billing.api.first_answers.WITHIN_S", 60.0)
    found = Bench()
    found.use("acme", "tokens", ("m-large", "eu"), 0, 100)
    async with found.client:
        yield found


def carried(document: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="snapshot">(.*?)</script>', document)
    assert found
    answers: dict[str, object] = orjson.loads(found[1])
    return answers


@pytest.mark.parametrize("address", ["/", "/?state=near&q=ac", "/alerts?customer=acme", "/pipeline", "/customers/acme"])
async def test_a_document_carries_what_the_api_answers(bench: Bench, address: str) -> None:
    document = await bench.client.get(address)
    path, _, query = address.partition("?")
    paths = first_paths(path, dict(parse_qsl(query)))
    answers = carried(document.text)
    for one in paths:
        answer = await bench.client.get(one)
        if answer.status_code == 200:
            assert same(answers[one], answer.json()), one
        else:
            assert one not in answers
    assert "/readyz" in paths
    assert answers


def same(carried_one: object, asked_one: object) -> bool:
    assert isinstance(carried_one, dict)
    assert isinstance(asked_one, dict)
    return {**carried_one, "as_of": None} == {**asked_one, "as_of": None}


async def test_a_name_that_needs_escapes_is_asked_for_as_the_page_does(bench: Bench) -> None:
    bench.use("a/b <", "tokens", ("m-large", "eu"), 0, 100)
    answers = carried((await bench.client.get("/customers/a%2Fb%20%3C")).text)
    spend = answers["/v1/customers/a%2Fb%20%3C/spend"]
    assert isinstance(spend, dict)
    assert spend["customer"] == "a/b <"


async def test_it_is_packed_where_the_reader_can(bench: Bench) -> None:
    packed = await bench.client.get("/", headers={"accept-encoding": "gzip"})
    plain = await bench.client.get("/", headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert carried(packed.text).keys() == carried(plain.text).keys()


async def test_a_document_does_not_wait_for_an_answer_that_takes_long(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(timeout_s: float = 2.0) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("billing.api.first_answers.WITHIN_S", 1.0)
    monkeypatch.setattr(bench.services.standings, "fresh", never)
    answers = carried((await bench.client.get("/")).text)
    assert "/readyz" in answers
    assert not [path for path in answers if path.startswith(("/v1/overview", "/v1/customers"))]
