"""The pages say what the code does: every name that they should have, none that does not exist, and no dead link."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
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
from engine.sim.plants import PLANTS
from engine.telemetry import METRICS as OF_THE_ENGINE
from engine.telemetry import SPANS, Metric
from tests.documents import DOCS, PAGES, ROOT, anchors, codes, fences, headings, json_values, links, prose, read, rows
from tests.unit.billing.test_api import Bench

CONFIGURATION, CLI, HTTP = "reference/configuration.md", "reference/cli.md", "reference/http.md"
METRICS, TOPICS, PROBLEMS = "reference/metrics.md", "reference/topics.md", "reference/problems.md"
NOTICES_OF_BILLING = {"settings.read", "settings.refused", "settings.restart_needed", "service"}
UNITS = {"s": "_seconds", "By": "_bytes"}
PAGE_ADDRESSES = {"/", "/alerts", "/pipeline", "/customers/{id}"}
FILES = re.compile(r"(?:engine|billing|tests|perf|examples|docs)/[\w./-]+|[\w.-]+\.(?:md|toml|yaml)")
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


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_fences_can_be_parsed(page: str) -> None:
    called = [
        line.strip().removesuffix("&").partition(" > ")[0].split()
        for fence in fences(page)
        if fence.language == "sh"
        for line in fence.text.splitlines()
        if line.startswith("billing ")
    ]
    for words in called:
        command, _, _ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
        assert command is not None


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
        paths: dict[str, Any] = (await bench.client.get("/openapi.json")).json()["paths"]
        unlisted = [path for path in ("/openapi.json", "/docs", "/problems") if path not in paths]
        for path in unlisted:
            assert (await bench.client.get(path)).status_code == 200, path
    known = {f"GET {path}": set[str]() for path in unlisted}
    for path, item in paths.items():
        for verb, operation in item.items():
            named = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
            known[f"{verb.upper()} {path.replace('{customer_id}', '{id}')}"] = named
    known |= {route: set() for route in worker_routes()}
    assert set(headings(HTTP, 3)) == set(known)
    for route, parameters in known.items():
        assert {codes(row[0])[0] for row in rows(HTTP, route)} == parameters, route


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


# ------------------------------------------------------------------ links, pictures, files
@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_lead_somewhere(page: str) -> None:
    for picture, target in links(page):
        assert not re.match(r"[a-z]+:|/", target), f"{target} is not relative: the pages must work anywhere"
        path, _, anchor = target.partition("#")
        file = (DOCS / page).parent / path if path else DOCS / page
        assert file.is_file(), target
        assert file.resolve().is_relative_to(DOCS), target
        if anchor:
            assert anchor in anchors(str(file.resolve().relative_to(DOCS))), target
        assert picture == (file.suffix in {".png", ".svg"}), target


@pytest.mark.parametrize("page", PAGES)
def test_files_and_tests_that_are_named_exist(page: str) -> None:
    for code in codes(prose(page)):
        path, _, test = code.partition("::")
        if not FILES.fullmatch(path) or path in own_files():
            continue
        assert (ROOT / path).exists(), code
        if test:
            assert re.search(rf"^(?:async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE), code


def own_files() -> set[str]:
    """Files that a reader makes."""
    return {fence.saved_as for page in PAGES for fence in fences(page) if fence.saved_as}


def test_plants_and_traps_that_are_named_exist() -> None:
    text = prose("guarantees.md")
    plants = {code for part in re.findall(r"plants?\s+((?:`\w+`(?:,\s+)?)+)", text) for code in codes(part)}
    assert len(plants) > 10
    assert plants - set(PLANTS) == set()
    assert f"one of {len(PLANTS)} bugs" in text
    traps = {int(trap["number"]) for trap in tomllib.loads((ROOT / "tests/traps.toml").read_text())["trap"]}
    named = {int(number) for part in re.findall(r"traps?\s+(\d+(?:,\s+\d+)*)", text) for number in part.split(",")}
    assert named
    assert named <= traps


def test_every_page_is_in_the_navigation() -> None:
    def pages(entries: object) -> Iterator[str]:
        if isinstance(entries, str):
            yield entries
        elif isinstance(entries, list):
            for entry in entries:
                for inner in entry.values():
                    yield from pages(inner)

    project = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    assert sorted(pages(project["nav"])) == sorted(PAGES)
    assert project["theme"]["font"] is False
    assert project["strict"] is True
    assert "offline" not in project["plugins"]


# ------------------------------------------------------------------ fences
@pytest.mark.parametrize("page", PAGES)
def test_fences_are_what_they_say(page: str) -> None:
    for fence in fences(page):
        match fence.language:
            case "json":
                assert list(json_values(fence.text)), f"{page}:{fence.line}"
            case "toml":
                tomllib.loads(fence.text)
            case "python":
                ast.parse(fence.text)
            case "sh":
                subprocess.run(["sh", "-n"], input=fence.text, text=True, check=True)
            case other:
                assert other == "text", f"{page}:{fence.line} is in {other!r}"


def test_the_drawing_is_ours_alone() -> None:
    drawing = (DOCS / "images" / "way-of-an-event.svg").read_text()
    assert re.findall(r"https?://\S+", drawing) == ['http://www.w3.org/2000/svg"']
    assert "prefers-color-scheme: dark" in drawing
    assert len(drawing) < 10_000


def test_markdown_is_plain() -> None:
    """Nothing that only one tool knows: no attributes, tabs, icons, or HTML but the marks of fences."""
    odd = re.compile(
        r"\{[:.#][^}]*\}|^=== |:[a-z]+-[a-z-]+:|^\?\?\?|<(?!!-- not run: |http://)[a-zA-Z/!]", re.MULTILINE
    )
    for page in PAGES:
        text = re.sub(r"`[^`\n]+`", "", prose(page))
        assert odd.findall(text) == [], page


def test_the_site_is_built_by_one_command() -> None:
    makefile = Path(ROOT / "Makefile").read_text()
    assert "zensical build --clean --strict" in makefile
    assert "requirements-docs.lock" in makefile
    assert "site/" in (ROOT / ".gitignore").read_text().splitlines()
