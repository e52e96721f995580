"""The OpenAPI document: every answer has an example, and the examples are what the routes really say."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from decimal import Decimal
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from billing.api.description import examples
from billing.api.problem_types import PROBLEM_TYPES
from billing.domain.limits import due_alerts
from billing.domain.periods import Window
from billing.reaction import encode_alert
from tests.unit.billing.fakes import NOON, NOV, Record, history, record, usage_event
from tests.unit.billing.test_api import JSON, Bench
from tests.unit.billing.test_status import Counters, FakeSources, Part

Document = dict[str, Any]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Something is in every list."""
    found = Bench()
    found.use("acme", "tokens", ("m-large", "eu"), 0, 8_000)
    found.use("acme", "tokens", ("m-small", ""), 25, 7)
    found.clock.now = (NOV + 2 * 86_400) * 1_000
    found.facts._follower.known_until_ms = found.clock.now
    found.tail.records = [record(offset=0, id="2", data={}), record(offset=1)]
    customer = history().newest.customer("acme")
    due = due_alerts("acme", customer.thresholds, Decimal("60.00"), "USD", Window(NOV, NOV + 30 * 86_400))
    for offset, alert in enumerate(due):
        found.services.feed.add(0, offset, NOON * 1_000, encode_alert(alert, customer, NOON * 1_000, None))
    headers = [("error", b"bad"), ("attempts", b"1"), ("source-topic", b"usage-events"), ("source-partition", b"0")]
    found.services.letters.add(Record(b'{"id":"x"}', headers=[*headers, ("source-offset", b"7")]))
    found.services.last_audit = {"audit": "equal", "events": 1, "cells": 1, "time": "2026-11-01T12:00:00Z"}
    found.services.broker = {"transactions": True}
    async with found.client:
        yield found


@pytest.fixture
async def document(bench: Bench) -> Document:
    return dict((await bench.client.get("/openapi.json")).json())


def operations(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def validator(document: Document, schema: Mapping[str, Any], *, strict: bool = False) -> Draft202012Validator:
    """Strict: what the schema does not name is not there."""
    components = orjson.loads(orjson.dumps(document["components"]))
    if strict:
        for each in components["schemas"].values():
            each["additionalProperties"] = False
    return Draft202012Validator({"components": components, **schema}, format_checker=FormatChecker())


def test_every_answer_has_an_example_that_fits_its_schema(document: Document) -> None:
    seen = 0
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status == "304":
                continue
            for media_type, content in answer["content"].items():
                for example in content["examples"].values():
                    seen += 1
                    strict = "json" in media_type
                    problems = list(validator(document, content["schema"], strict=strict).iter_errors(example["value"]))
                    assert problems == [], (name, status, media_type)
    assert seen > 60


def test_every_operation_tells_what_it_answers(document: Document) -> None:
    for name, operation in operations(document):
        assert operation["description"], name
        statuses = set(operation["responses"])
        assert statuses & {"200", "202"}, name
        assert "500" in statuses, name
        assert ("422" in statuses) == bool(operation.get("parameters") or "requestBody" in operation), name
        for status, answer in operation["responses"].items():
            assert answer["description"], (name, status)


def test_problems_are_told_by_their_slugs(document: Document) -> None:
    told = set()
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/problem+json", {"examples": {}})
            for slug, example in content["examples"].items():
                told.add(slug)
                kind = PROBLEM_TYPES[slug]
                assert (example["value"]["status"], example["value"]["type"]) == (int(status), kind.uri), name
    assert told >= set(PROBLEM_TYPES) - {
        "not-found", "bad-request", "method-not-allowed", "key-not-parked", "invalid-settings",
    }  # fmt: skip


def test_parameters_say_what_they_allow(document: Document) -> None:
    for name, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            where = f"{name} {parameter['name']}"
            assert parameter["description"], where
            schema = parameter["schema"]
            assert schema["type"] in {"string", "integer"}, where
            if schema["type"] == "integer":
                assert schema["minimum"] == 1 <= schema["default"] <= schema["maximum"], where
            if parameter["name"] in {"order", "window", "state", "outcome"}:
                assert len(schema["enum"]) > 1, where
            for example in parameter.get("examples", {}).values():
                Draft202012Validator(schema).validate(example["value"])


def test_the_document_is_whole(document: Document) -> None:
    text = orjson.dumps(document).decode()
    for name in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
        schema = document["components"]["schemas"][name]
        Draft202012Validator.check_schema(schema)
    assert document["openapi"].startswith("3.1")
    body = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]
    assert set(body) == {
        "application/json", "application/cloudevents+json", "application/cloudevents-batch+json",
    }  # fmt: skip


ROUTES = {
    "usage": ("/v1/customers/{customer_id}/usage", {"meter": "tokens", "window": "day", "group_by": "model"}),
    "spend": ("/v1/customers/{customer_id}/spend", {}),
    "spend-series": ("/v1/customers/{customer_id}/spend/series", {}),
    "access": ("/v1/customers/{customer_id}/access", {}),
    "events": ("/v1/customers/{customer_id}/events", {}),
    "customers": ("/v1/customers", {}),
    "alerts": ("/v1/alerts", {}),
    "dead-letters": ("/v1/dead-letters", {}),
    "overview": ("/v1/overview", {}),
    "pipeline": ("/v1/pipeline", {}),
    "pipeline-history": ("/v1/pipeline/history", {}),
    "healthz": ("/healthz", {}),
    "readyz": ("/readyz", {}),
}


@pytest.mark.parametrize("example", ROUTES)
async def test_an_answer_is_of_the_shape_of_its_example(bench: Bench, document: Document, example: str) -> None:
    await show_a_pipeline(bench)
    path, query = ROUTES[example]
    answer = await bench.client.get(path.format(customer_id="acme"), params=query)
    assert answer.status_code == 200, answer.text
    content = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    assert content["examples"] == {example: {"value": examples()[example]}}
    problems = list(validator(document, content["schema"], strict=True).iter_errors(answer.json()))
    assert problems == []
    assert missing(examples()[example], answer.json()) == []


async def show_a_pipeline(bench: Bench) -> None:
    """Two partitions, one with a worker, as a sample leaves it."""
    sources = FakeSources(bench.clock, parts=[Part(0, 0, 8, 8, Counters(7, 1)), Part(0, 1, 0, 0)])
    held = {"offset": 8, "key_hash": "ab", "age_s": 3.0, "attempts": 2, "reason": "retrying"}
    parked = {"offset": 9, "key_hash": "cd", "events": 2, "reason": "parked after 6 attempts"}
    sources.post(
        "w1",
        {"partition": 0, "watermark": 8, "in_flight": 2, "held_back_by": held, "parked": [parked], "unstarted": 0}
        | {"state": "running", "oldest_in_flight_ms": bench.clock.now - 3_000},
        events_per_s=12.5, latency_ms={"p50": 20, "p99": 90},
        lanes={"running": 1, "ready": 0, "limit": 9, "deferred": 0, "breaker_open": False}, durability="aof",
    )  # fmt: skip
    bench.status._sources = sources
    await bench.status._sample()


def missing(example: Any, answer: Any, place: str = "") -> list[str]:
    """Members that the one has and the other has not; lists by their first entries, and null has no members."""
    if isinstance(example, dict) and isinstance(answer, dict):
        if example.keys() != answer.keys() and place.rpartition(".")[2] not in {"group", "broker"}:
            return [f"{place}: {sorted(example.keys() ^ answer.keys())}"]
        shared = example.keys() & answer.keys()
        return [each for name in shared for each in missing(example[name], answer[name], f"{place}.{name}")]
    if isinstance(example, list) and isinstance(answer, list):
        assert example == [] or answer != [], f"{place}: the example has entries, the answer has none"
        return missing(example[0], answer[0], f"{place}[]") if example and answer else []
    return []


async def test_events_are_taken_as_described(bench: Bench, document: Document) -> None:
    operation = document["paths"]["/v1/events"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    for body in (usage_event(), [usage_event()], examples()["event"]):
        assert list(validator(document, schema).iter_errors(body)) == []
    answer = await bench.client.post("/v1/events", content=orjson.dumps(examples()["event"]), headers=JSON)
    assert (answer.status_code, answer.json()) == (202, examples()["accepted"])


async def test_what_waits_is_described(bench: Bench, document: Document) -> None:
    found = Bench(registered=False)
    async with found.client:
        answer = await found.client.get("/readyz")
    content = document["paths"]["/readyz"]["get"]["responses"]["503"]["content"]["application/json"]
    assert answer.status_code == 503
    assert list(validator(document, content["schema"], strict=True).iter_errors(answer.json())) == []
