"""Every problem that is told stands in one table, and its type leads to what people need to know."""

import ast
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from litestar.exceptions import HTTPException

from billing.api import problem_types
from billing.api.problem_types import PROBLEM_TYPES, ProblemType
from billing.api.problems import Problem, invalid, problem_body
from billing.api.services import Services
from tests.unit.billing.test_api import Bench

ROOT = Path(__file__).parents[3]
RAISING = [path for room in ("api", "admin") for path in sorted((ROOT / "billing" / room).glob("*.py"))]
NAMES = {name for name, value in vars(problem_types).items() if isinstance(value, ProblemType)}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    found = Bench()
    async with found.client:
        yield found


def test_the_table_is_whole() -> None:
    assert {getattr(problem_types, name).slug for name in NAMES} == set(PROBLEM_TYPES)
    for slug, kind in PROBLEM_TYPES.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", slug)
        assert 400 <= kind.status < 600, slug
        assert kind.title, slug
        assert kind.advice.endswith("."), slug
        assert (kind.retry_after_s is not None) == (kind.status in {429, 503}), slug


def calls(name: str) -> list[tuple[str, ast.Call]]:
    return [
        (f"{path.name}:{node.lineno}", node)
        for path in RAISING
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name
    ]


def test_no_problem_is_raised_outside_the_table() -> None:
    found = calls("Problem")
    assert len(found) > 10
    assert [place for place, call in found if ast.unparse(call.args[0]) not in NAMES | {"kind"}] == []


def test_nothing_else_is_raised_at_clients() -> None:
    """Neither an exception of the framework nor an answer that says itself that something went wrong."""
    known = {sub.__name__ for sub in every_subclass(HTTPException)} - {"Problem"}
    raised = [
        f"{path.name}:{node.lineno}"
        for path in RAISING
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise) and node.exc is not None
        if ast.unparse(node.exc).partition("(")[0] in known
    ]
    assert raised == []


def every_subclass(kind: type[HTTPException]) -> set[type[HTTPException]]:
    return {kind}.union(*(every_subclass(sub) for sub in kind.__subclasses__()))


async def test_the_type_leads_to_its_description(bench: Bench) -> None:
    page = await bench.client.get("/problems")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "://" not in page.text
    for slug, kind in PROBLEM_TYPES.items():
        assert kind.uri == f"/problems#{slug}"
        assert page.text.count(f'id="{slug}"') == 1


@pytest.mark.parametrize(
    ("method", "path", "slug"),
    [
        ("GET", "/v2", "not-found"),
        ("DELETE", "/v1/events", "method-not-allowed"),
        ("GET", "/assets/nothing.css", "not-found"),
        ("GET", "/v1/customers/nobody/spend", "unknown-customer"),
        ("GET", "/v1/customers/acme/usage", "invalid-parameter"),
        ("GET", "/v1/alerts?since=x", "invalid-parameter"),
        ("POST", "/v1/events", "unsupported-media-type"),
    ],
)
async def test_a_problem_names_its_type(bench: Bench, method: str, path: str, slug: str) -> None:
    answer = await bench.client.request(method, path)
    kind = PROBLEM_TYPES[slug]
    body = answer.json()
    assert (answer.status_code, body["status"], body["type"], body["title"]) == (
        kind.status, kind.status, kind.uri, kind.title,
    )  # fmt: skip
    assert body["detail"]
    assert answer.headers.get("allow") == ("POST, OPTIONS" if slug == "method-not-allowed" else None)


async def test_a_failure_says_nothing_of_itself(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(services: Services) -> list[str]:
        raise RuntimeError("a secret")

    monkeypatch.setattr(Services, "waits_for", fail)
    answer = await bench.client.get("/readyz")
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems#internal-error")
    assert "secret" not in answer.text


def test_a_problem_has_errors_only_where_there_are_some() -> None:
    assert "errors" not in problem_body(problem_types.NOT_READY, "…")
    problem = invalid("limit", "must be less")
    assert isinstance(problem, Problem)
    assert problem_body(problem.kind, problem.detail, problem.errors)["errors"] == [
        {"field": "limit", "problem": "must be less"}
    ]
