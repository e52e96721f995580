"""The stand-in for the API says what the real one says: every answer and frame fits the OpenAPI document, no more."""

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.browser import fake_answers as answers
from tests.browser.fake_api import FakeApi
from tests.unit.billing.test_api import Bench
from tests.unit.billing.test_description import validator

WHOLE = (
    *("/readyz", "/v1/overview", "/v1/customers?limit=500", "/v1/alerts", "/v1/pipeline", "/v1/pipeline/history"),
    *("/v1/dead-letters", "/v1/alerts?customer=acme"),
)
OF_CUSTOMER = ("spend", "access", "events?limit=10", "spend/series?window=day", "usage?meter=tokens&window=hour")
CUSTOMERS = ("acme", "initech", "massive-dynamic", "globex", "untouched")
PATHS = (*WHOLE, *(f"/v1/customers/{customer}/{what}" for customer in CUSTOMERS for what in OF_CUSTOMER))


@pytest.mark.parametrize("state", ["load", "no_events", "delayed", "part_failed", "unconfigured"])
async def test_what_the_stand_in_says_is_described(state: str) -> None:
    async with (bench := Bench()).client:
        document = (await bench.client.get("/openapi.json")).json()
    api = FakeApi(state)
    api.world.step(1.0)
    refused = {"part_failed": r"/v1/alerts", "unconfigured": r"/v1/(?!pipeline$)"}.get(state, "nothing")
    asked = [path for path in PATHS if not re.match(refused, path)]
    assert asked
    for path in asked:
        parts = urlsplit(path)
        told = re.sub(r"(?<=/customers/)[^/]+", "{customer_id}", parts.path)
        schema = document["paths"][told]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert problems(document, schema, api.answer(parts.path, dict(parse_qsl(parts.query)))) == [], path


async def test_the_frames_of_the_stand_in_hold_what_is_described() -> None:
    async with (bench := Bench()).client:
        document = (await bench.client.get("/openapi.json")).json()
    api = FakeApi("load")
    rows, _ = api.world.step(1.0)
    frame = answers.totals(api.world, rows, api.freshness_s)
    assert frame["rows"]
    for row in frame["rows"]:
        assert (
            problems(document, of("CustomerRow"), row | {"last_event": None, "resets_at": "2026-12-01T00:00:00Z"}) == []
        )
    for total in frame["currencies"]:
        assert problems(document, of("CurrencyTotals"), total) == []
    for alert in api.world.alerts:
        assert problems(document, of("AlertRow"), alert) == []
    assert problems(document, of("PipelineAnswer"), api.pipeline()) == []


def of(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def problems(document: dict[str, Any], schema: dict[str, Any], value: object) -> list[str]:
    found = validator(document, schema, strict=True).iter_errors(value)
    return [f"{'/'.join(map(str, problem.absolute_path))}: {problem.message}" for problem in found]
