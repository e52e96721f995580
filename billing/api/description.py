"""The OpenAPI document: routes and parameters from the framework, answers from what each route says of itself.

Every answer has a schema and an example, every problem an example by its slug. Examples stand in `examples.json`.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import orjson
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from billing.api import shapes
from billing.api.described import DESCRIBED, Described
from billing.api.problem_types import INTERNAL_ERROR, INVALID_PARAMETER, NOT_ACCEPTABLE, PROBLEM_TYPES, ProblemType
from billing.api.problems import MEDIA_TYPE, problem_body
from billing.api.tables import CSV_TYPE, render_csv

JSON_TYPE = "application/json"
REFERENCE = "#/components/schemas/{name}"
TAG_HEADERS = {
    "ETag": "A weak tag of the content without `as_of`, `lag_s` and `freshness_s`.",
    "keylane-as-of": "The moment of which the answer speaks; where it is known.",
    "keylane-lag-s": "`lag_s` or `freshness_s` of the answer; where it is known.",
}
UNCHANGED = (
    "What `If-None-Match` names still says all there is to say. The headers tell how old that is; where the lag is not "
    "known, or the data is older than two seconds, the answer is sent whole instead."
)
CSV_ABOUT = (
    "RFC 4180: a header row, CRLF, UTF-8; null is empty. A text that begins with one of = + - @ ' gets an apostrophe "
    "in front, unless it is a number."
)


@cache
def examples() -> Mapping[str, Any]:
    """By name. Read once."""
    found: dict[str, Any] = orjson.loads(Path(__file__).with_name("examples.json").read_bytes())
    return found


def describe(app: Litestar) -> dict[str, Any]:
    """The whole document."""
    document = app.openapi_schema.to_schema()
    found = [(path, handler, handler.opt[DESCRIBED]) for path, handler in _handlers(app)]
    for path, handler, described in found:
        for method in handler.http_methods:
            operation = document["paths"].get(path, {}).get(method.lower())
            if operation is not None:
                _tell(operation, described)
    kinds = {id(each.shape): each.shape for _, _, each in found if each.shape is not None}
    wanted = [*kinds.values(), shapes.ProblemAnswer, shapes.UsageEventBody]
    _, schemas = msgspec.json.schema_components(wanted, ref_template=REFERENCE)
    document.setdefault("components", {})["schemas"] = schemas
    return document


def _handlers(app: Litestar) -> Iterator[tuple[str, HTTPRouteHandler]]:
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if DESCRIBED in handler.opt:
                yield route.path_format, handler


def _tell(operation: dict[str, Any], described: Described) -> None:
    answers: dict[str, Any] = {str(described.status): _success(described)}
    if described.tagged:
        answers["304"] = {"description": UNCHANGED, "headers": _headers(TAG_HEADERS)}
    answers |= _problems(_possible(operation, described))
    if described.unready:
        answers["503"] = {"description": "It cannot.", "content": _content(described, described.unready)}
    operation["responses"] = answers
    for parameter in operation.get("parameters", ()):
        parameter["required"] = parameter["required"] or parameter["name"] in described.needs
    if described.takes:
        event = {"$ref": REFERENCE.format(name="UsageEventBody")}
        schema = {"anyOf": [event, {"type": "array", "items": event, "maxItems": 1000}]}
        media = {"schema": schema, "examples": _named(described.example, examples()["event"])}
        operation["requestBody"] = {"required": True, "content": dict.fromkeys(described.takes, media)}


def _possible(operation: Mapping[str, Any], described: Described) -> list[ProblemType]:
    """What the route names, and what any route of its kind can meet."""
    kinds = [*described.problems, INTERNAL_ERROR]
    if operation.get("parameters"):
        kinds.append(INVALID_PARAMETER)
    if described.table is not None:
        kinds.append(NOT_ACCEPTABLE)
    order = list(PROBLEM_TYPES)
    return sorted({kind.slug: kind for kind in kinds}.values(), key=lambda kind: (kind.status, order.index(kind.slug)))


def _success(described: Described) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": described.about, "content": _content(described, described.example)}
    if described.tagged:
        answer["headers"] = _headers(TAG_HEADERS)
    if described.table is not None:
        query = {"group_by": ",".join(_first_group(described))}
        rows = render_csv(described.table, examples()[described.example], query).decode()
        about = {"type": "string", "description": CSV_ABOUT}
        answer["content"][CSV_TYPE] = {"schema": about, "examples": _named(described.example, rows)}
    return answer


def _first_group(described: Described) -> list[str]:
    rows = examples()[described.example].get("data") or [{}]
    return list(rows[0].get("group", ()))


def _content(described: Described, example: str) -> dict[str, Any]:
    schema = {"type": "string"}
    if described.shape is not None:
        (schema,), _ = msgspec.json.schema_components([described.shape], ref_template=REFERENCE)
    return {described.media_type: {"schema": schema, "examples": _named(example, examples()[example])}}


def _problems(kinds: Iterable[ProblemType]) -> dict[str, Any]:
    """By status; `kinds` in its order."""
    answers: dict[str, Any] = {}
    for status, group in groupby(kinds, key=lambda kind: kind.status):
        same = list(group)
        told = {
            kind.slug: {
                "summary": kind.title,
                "description": kind.advice,
                "value": problem_body(kind, kind.example, kind.errors),
            }
            for kind in same
        }
        schema = {"$ref": REFERENCE.format(name="ProblemAnswer")}
        answers[str(status)] = {
            "description": "; ".join(f"{kind.title} ({kind.slug})" for kind in same) + ".",
            "content": {MEDIA_TYPE: {"schema": schema, "examples": told}},
        }
        if any(kind.retry_after_s is not None for kind in same):
            answers[str(status)]["headers"] = _headers({"Retry-After": "Seconds to wait."})
    return answers


def _named(name: str, value: object) -> dict[str, Any]:
    return {name: {"value": value}}


def _headers(told: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"description": about, "schema": {"type": "string"}} for name, about in told.items()}
