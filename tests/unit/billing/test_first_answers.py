"""The document's first answers: the API's own, by the paths that the page asks."""

import re
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

import orjson
import pytest

from billing.api.first_answers import first_paths
from tests.unit.billing.test_api import Bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
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
