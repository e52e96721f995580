"""The reference says what the code does: every name that it should have with what belongs to it, and no other."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import pytest
from cyclopts import App

from billing.admin.app import create_app as create_worker_app
from billing.admin.view import WorkerView
from billing.api.problem_types import PROBLEM_TYPES
from billing.cli import app
from billing.config import SHARED, BillingConfig
from billing.domain.meters import AGGREGATIONS, GROUPS_MAX
from billing.reload import LIVE_HERE
from billing.telemetry import METRICS as OF_BILLING
from billing.topics import DAY_MS, topic_specs
from engine import LIVE, Secret
from engine.config import EngineConfig
from engine.notice import LEVELS
from engine.telemetry import METRICS as OF_THE_ENGINE
from engine.telemetry import SPANS, Metric
from tests.documents import PAGES, ROOT, anchors, codes, headings, prose, read, rows
from tests.unit.billing.test_api import Bench

CONFIGURATION, CLI, HTTP = "reference/configuration.md", "reference/cli.md", "reference/http.md"
METRICS, TOPICS, PROBLEMS = "reference/metrics.md", "reference/topics.md", "reference/problems.md"
NOTICES_OF_BILLING = {"settings.read", "settings.refused", "settings.restart_needed", "service"}
UNITS = {"s": "_seconds", "By": "_bytes"}
NONE = "–"


# ------------------------------------------------------------------ settings
def shown(value: object) -> str:
    """A default as the page writes it."""
    if value is None or value == "" or isinstance(value, Secret):
        return NONE
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def settings() -> Iterator[tuple[str, str, bool]]:
    """Name, default, and whether it may change while a process runs."""
    for prefix, config, live in (("BILLING_", BillingConfig(), LIVE_HERE), ("ENGINE_", EngineConfig(), LIVE)):
        for entry in fields(config):
            name = prefix + entry.name.upper()
            if name not in SHARED and name != "BILLING_ENGINE":
                yield name, shown(getattr(config, entry.name)), entry.name in live


def test_every_setting_with_its_default() -> None:
    page = {codes(name)[0]: (default, "*live*" in about) for name, default, about in rows(CONFIGURATION)}
    assert page == {name: (default, live) for name, default, live in settings()}
    assert all(about for _, _, about in rows(CONFIGURATION))


@pytest.mark.parametrize("page", PAGES)
def test_no_setting_is_made_up(page: str) -> None:
    known = {name for name, _, _ in settings()} | set(SHARED)
    named = set(re.findall(r"\b(?:ENGINE|BILLING)_[A-Z_]*[A-Z]", read(page)))
    assert {name for name in named - known if name.removesuffix("_FILE") not in known} == set()


# ------------------------------------------------------------------ commands
def commands(of: App = app, before: str = "billing") -> Iterator[tuple[str, App]]:
    for name in of:
        if not name.startswith("-"):
            inner, path = of[name], f"{before} {name}"
            if inner.default_command is None:
                yield from commands(inner, path)
            else:
                yield path, inner


def options(command: App) -> dict[str, str]:
    """Names as on the command line, and the default as the page writes it."""
    found = {}
    for argument in command.assemble_argument_collection():
        name = next(name for name in argument.names if not name.startswith("--empty-"))
        default = argument.field_info.default
        if argument.required:
            found[name] = "required"
        elif isinstance(default, bool):
            found[name] = f"`{name}`" if default else f"`--no-{name.removeprefix('--')}`"
        else:
            found[name] = shown(default)
    return found


def test_every_command_with_its_options() -> None:
    known = dict(commands())
    assert set(known) == {heading for heading in headings(CLI, 2) if heading.startswith("billing ")}
    for name, command in known.items():
        table = [row for row in rows(CLI, name) if codes(row[0]) and len(row) == 3]
        assert {codes(option)[0]: default for option, default, _ in table} == options(command), name


# ------------------------------------------------------------------ signals
def in_prometheus(metric: Metric) -> str:
    name = metric.name.replace(".", "_") + UNITS.get(metric.unit, "")
    return f"{name}_total" if metric.kind == "counter" else name


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("The engine: what a worker emits", OF_THE_ENGINE),
        ("Billing: what a worker and the API emit", OF_BILLING),
    ],
)
def test_every_metric(heading: str, known: tuple[Metric, ...]) -> None:
    page = {
        codes(name)[0]: (codes(prometheus)[0], kind, set(codes(attributes)), about)
        for name, prometheus, kind, attributes, about in rows(METRICS, heading)
    }
    assert page == {
        metric.name: (in_prometheus(metric), metric.kind, set(metric.attributes), metric.about) for metric in known
    }


def test_every_span_and_notice() -> None:
    spans = {codes(name)[0]: int(most) for name, _, most in rows(METRICS, "Spans")}
    assert spans == {span.name: span.per_s_max for span in SPANS}
    notices = {codes(name)[0]: level for name, level in rows(METRICS, "Notices")}
    assert {name: level for name, level in notices.items() if name not in NOTICES_OF_BILLING} == LEVELS
    written = "".join((ROOT / "billing" / name).read_text() for name in ("reload.py", "service.py"))
    assert set(re.findall(r'Notice\("([\w.]+)"', written)) == NOTICES_OF_BILLING == set(notices) - set(LEVELS)


def test_what_is_watched_exists() -> None:
    known = {metric.name for metric in (*OF_THE_ENGINE, *OF_BILLING)} | set(LEVELS)
    named = [code for row in rows("operations.md", "What to watch") for code in codes(row[1])]
    watched = {code for code in named if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", code)}
    assert len(watched) > 10
    assert watched - known == set()


# ------------------------------------------------------------------ topics
def test_every_topic() -> None:
    page = {codes(row[0])[0]: row[2:] for row in rows(TOPICS) if len(row) == 5}
    specs = topic_specs(BillingConfig(), log_append_time=True)
    assert set(page) == {spec.name for spec in specs}
    for spec in specs:
        kept_ms = int(spec.settings["retention.ms"])
        retention = "for ever" if kept_ms < 0 else f"{kept_ms // DAY_MS} days"
        assert page[spec.name] == [f"`{spec.partitions}`", f"`{spec.settings['cleanup.policy']}`", retention]
        assert spec.name in headings(TOPICS, 2)


# ------------------------------------------------------------------ HTTP
async def test_every_route_and_parameter() -> None:
    bench = Bench()
    async with bench.client:
        known = operations((await bench.client.get("/openapi.json")).json())
        for path in ("/openapi.json", "/docs", "/problems"):
            assert (await bench.client.get(path)).status_code == 200, path
            known.setdefault(f"GET {path}", {})
    known |= {route: {} for route in worker_routes()}
    assert set(headings(HTTP, 3)) == set(known)
    for route, operation in known.items():
        page = {codes(name)[0]: about for name, about in rows(HTTP, route)}
        parameters = {each["name"]: each["schema"] for each in operation.get("parameters", ()) if each["in"] == "query"}
        assert set(page) == set(parameters), route
        for name, schema in parameters.items():
            assert set(schema.get("enum", ())) <= set(codes(page[name])), f"{route}: {name}"
            if "maximum" in schema:
                assert page[name].endswith(f"1 to {schema['maximum']:,}; {schema['default']} if absent"), (
                    f"{route}: {name}"
                )


async def test_tables_and_tags_are_where_the_page_says() -> None:
    bench = Bench()
    async with bench.client:
        known = operations((await bench.client.get("/openapi.json")).json())
    page = {codes(row[0])[0]: (row[1] != "no", row[2] != "no") for row in rows(HTTP, "Tables, and asking again")}
    answers = {route: operation["responses"] for route, operation in known.items()}
    wanted = {
        route: ("text/csv" in found.get("200", {}).get("content", ()), "304" in found)
        for route, found in answers.items()
    }
    assert page == {route: both for route, both in wanted.items() if any(both)}


def operations(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By method and path, as the page names them."""
    return {
        f"{verb.upper()} {path.replace('{customer_id}', '{id}')}": operation
        for path, item in document["paths"].items()
        for verb, operation in item.items()
    }


def worker_routes() -> set[str]:
    """What only a worker answers."""
    view = WorkerView(name="w", exposition=lambda: b"", catalog_version=lambda: 0)
    routes = {
        f"{method} {route.path}"
        for route in create_worker_app(view).routes
        for method in getattr(route, "methods", ())
        if method != "OPTIONS"
    }
    same = {"GET /healthz", "GET /readyz", "GET /metrics"}
    assert same <= routes
    return {route for route in routes if route.split()[1].startswith("/v1/")}


def test_every_type_of_problem() -> None:
    assert headings(PROBLEMS, 2) == list(PROBLEM_TYPES)
    assert set(PROBLEM_TYPES) <= anchors(PROBLEMS)
    for name, kind in PROBLEM_TYPES.items():
        section = " ".join(prose(PROBLEMS).partition(f"\n## {name}\n")[2].partition("\n## ")[0].split())
        assert section.startswith(f"`{kind.status}` · {kind.title}."), name
        assert f"**What to do.** {kind.advice}" in section, name
        assert "**What happened.** " in section, name
        assert (f"`Retry-After: {kind.retry_after_s}`" in section) == (kind.retry_after_s is not None), name


# ------------------------------------------------------------------ limits that are repeated
def test_limits_are_those_of_the_code() -> None:
    config, engine = BillingConfig(), EngineConfig()
    page = {row[0]: row[1] for row in rows("operations.md", "Limits")}
    assert page["names of groups of a meter"] == str(GROUPS_MAX)
    assert page["a request"] == f"{config.request_events_max:,} events, {config.request_bytes_max // 2**20} MiB"
    assert page["requests in flight"] == str(config.requests_max)
    assert page["alerts that the API keeps"] == f"{config.alerts_kept_max:,}"
    assert page["streams"] == str(config.viewers_max)
    assert page["events in flight"] == f"{engine.in_flight_max:,} a partition"
    assert page["duplicates"] == f"within {config.horizon_d} days of arrival"
    meters = prose("guides/first-meter.md").partition("More about meters")[2]
    assert {"sum", *codes(meters)} - {"examples/catalog.toml"} == set(AGGREGATIONS)
