"""The rules of the house, as tests: who may import what, what is banned where, and that the papers match the code."""

import ast
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from billing.config import SHARED, BillingConfig
from engine.config import EngineConfig

ROOT = Path(__file__).parents[1]
SOURCES = tuple(sorted(path for top in ("engine", "billing") for path in (ROOT / top).rglob("*.py")))
PURE = ("engine.core", "billing.domain")
ONE_HOME = {  # and the files beside it whose names begin so: kafka_sender
    "aiokafka": "engine.adapters.kafka",
    "redis": "engine.adapters.redis",
    "opentelemetry": "engine.adapters.otel",
    "prometheus_client": "engine.adapters.otel",
}
BANNED_IN_PURE = {"asyncio", "anyio", "time", "random", "os", "logging", "socket", "threading", "subprocess", "secrets"}
ROOMS = {  # what the rooms of the engine may see of the engine; what stands below a name is meant too
    "engine.core": {"engine.core", "engine.errors", "engine.event", "engine.aggregate"},
    "engine.state": {
        *{"engine.state", "engine.core", "engine.ports", "engine.config", "engine.errors", "engine.event"},
        *{"engine.aggregate", "engine.processor", "engine.telemetry", "engine.notice"},
    },
    "engine.runtime": {
        *{"engine.runtime", "engine.state", "engine.core", "engine.ports", "engine.config", "engine.errors"},
        *{"engine.event", "engine.aggregate", "engine.processor", "engine.telemetry", "engine.notice"},
    },
    "engine.adapters": {
        *{"engine.adapters", "engine.ports", "engine.config", "engine.errors", "engine.event", "engine.telemetry"},
        *{"engine.aggregate", "engine.state.library", "engine.notice", "engine.secret"},
    },
    "engine.embedded": {"engine.embedded", "engine.errors"},
}
SEES_EVERYTHING = {"billing.cli", "billing.__main__", "billing.demo", "engine.run", "engine.process"}
SERVERS = ("engine.adapters", "engine.embedded")
BANNED_CALLS = {
    "asyncio.create_task": "a task group",
    "asyncio.ensure_future": "a task group",
    "loop.create_task": "a task group",
    "datetime.now": "a clock that is passed in",
    "datetime.utcnow": "a clock that is passed in",
    "date.today": "a clock that is passed in",
    "time.time": "a clock that is passed in",
    "time.time_ns": "a clock that is passed in",
    "asyncio.Queue": "something bounded",
    "queue.Queue": "something bounded",
    "eval": "a parser",
    "exec": "a parser",
    "pickle.loads": "a format",
}
CLOCKS = {"engine.adapters.clock", "billing.demo", "billing.load"}
FILE_LINES_MAX = 350
FUNCTION_LINES_MAX = 50
PAPERS = ("README.md", "engine/README.md", "compose.yaml", "Makefile", "CHANGELOG.md")
TEXTS = {".py", ".md", ".toml", ".yaml", ".js", ".html", ".css", ".lua", ".json", ""}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
UNTOLD = re.compile(
    r"/(?:work|root|home|Users)/\w|\bClaude\b|\bAnthropic\b|\bCopilot\b|\bChatGPT\b|\bissue #?\d|\bhelper [A-Z]\d?\b"
    r"|\.\./shared/(?!data)|\bas an AI\b|\bTODO\b|\bFIXME\b",
    re.IGNORECASE,
)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def within(module: str, rooms: Sequence[str] | set[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every imported module with its line; `from a import b` is also `a.b` where that is one of ours."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            ours = [name for name in inner if is_module(name)]
            yield from ((name, node.lineno) for name in ours)
            if len(ours) < len(inner):
                yield node.module, node.lineno


@cache
def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def told(path: Path, line: int, what: str) -> str:
    return f"{path.relative_to(ROOT)}:{line}: {what}"


def test_the_engine_does_not_know_its_users() -> None:
    assert [
        told(path, line, name)
        for path in SOURCES
        for name, line in imports(path)
        if within(module_of(path), {"engine"}) and within(name, {"billing", "tests", "perf"})
    ] == []


def test_pure_rooms_have_no_world() -> None:
    wrong = []
    for path in SOURCES:
        if not within(module_of(path), PURE):
            continue
        wrong += [told(path, line, name) for name, line in imports(path) if name.split(".")[0] in BANNED_IN_PURE]
        wrong += [
            told(path, node.lineno, "waits")
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith)
        ]
    assert wrong == []


def test_no_float_in_the_domain() -> None:
    assert [
        told(path, node.lineno, ast.unparse(node))
        for path in SOURCES
        if within(module_of(path), {"billing.domain"})
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Call) and ast.unparse(node.func) == "float")
        or (isinstance(node, ast.AnnAssign | ast.arg) and node.annotation and "float" in ast.unparse(node.annotation))
    ] == []


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_the_engine_see_only(room: str) -> None:
    assert [
        told(path, line, name)
        for path in SOURCES
        if within(module_of(path), {room})
        for name, line in imports(path)
        if within(name, {"engine"}) and not within(name, ROOMS[room])
    ] == []


def test_each_library_has_one_home() -> None:
    assert [
        told(path, line, f"{name} is used only in {home}")
        for path in SOURCES
        for name, line in imports(path)
        if (home := ONE_HOME.get(name.split(".")[0])) and not f"{module_of(path)}_".startswith(f"{home}_")
    ] == []


def test_the_environment_is_read_at_the_edge() -> None:
    assert [
        told(path, node.lineno, "os.environ")
        for path in SOURCES
        if not within(module_of(path), SEES_EVERYTHING | {"engine.embedded"})
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"}
    ] == []


def test_billing_sees_the_engine_by_its_public_names() -> None:
    assert [
        told(path, line, f"import it from engine, not from {name}")
        for path in SOURCES
        if within(module_of(path), {"billing"}) and module_of(path) not in SEES_EVERYTHING
        for name, line in imports(path)
        if within(name, {"engine"}) and name != "engine" and not within(name, SERVERS)
    ] == []


def test_the_domain_sees_no_servers() -> None:
    assert [
        told(path, line, name)
        for path in SOURCES
        if within(module_of(path), {"billing.domain"})
        for name, line in imports(path)
        if within(name, {"billing", "engine"}) and not within(name, {"billing.domain"}) and name != "engine"
    ] == []


def test_the_audit_shares_no_code_with_what_it_checks() -> None:
    """Not even through another module of billing."""
    by_module = {module_of(path): path for path in SOURCES}
    reached: dict[str, str] = {module: "" for module in by_module if within(module, {"billing.audit"})}
    assert reached
    waiting = list(reached)
    while waiting:
        module = waiting.pop()
        for name, _ in imports(by_module[module]):
            if within(name, {"billing"}) and name in by_module and name not in reached:
                reached[name] = module
                waiting.append(name)
            assert not within(name, {"engine.state", "engine.runtime", "engine.core"}), f"{module} imports {name}"
    shared = {"billing.handler", "billing.domain.rates", "billing.domain.spend", "billing.domain.usage"}
    assert {name: by for name, by in reached.items() if name in shared} == {}


def test_nothing_calls_what_is_banned() -> None:
    assert [
        told(path, node.lineno, f"{called} is banned, use {BANNED_CALLS[called]}")
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and (called := ast.unparse(node.func)) in BANNED_CALLS
        and not (module_of(path) in CLOCKS and "clock" in BANNED_CALLS[called])
        and not ("bounded" in BANNED_CALLS[called] and (node.args or node.keywords))
    ] == []


def test_no_error_is_swallowed_without_a_reason() -> None:
    """A handler that does nothing says why on the line of its `pass`."""
    assert [
        told(path, node.lineno, ast.unparse(node.type) if node.type else "everything")
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler)
        and isinstance(node.body[0], ast.Pass)
        and "#" not in path.read_text().splitlines()[node.body[0].lineno - 1]
    ] == []


def test_files_and_functions_are_short() -> None:
    files = [(path, len(path.read_text().splitlines())) for path in SOURCES]
    long = [told(path, lines, "the file ends") for path, lines in files if lines > FILE_LINES_MAX]
    long += [
        told(path, node.lineno, f"{node.name} has {own_length(node)} lines")
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, FUNCTIONS) and own_length(node) > FUNCTION_LINES_MAX
    ]
    assert long == []


def own_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without the functions that stand in it."""
    inner = (each for each in ast.iter_child_nodes(function) if isinstance(each, FUNCTIONS))
    return lines_of(function) - sum(lines_of(each) for each in inner)


def lines_of(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_every_module_says_what_it_is() -> None:
    assert [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.read_text().strip() and not ast.get_docstring(tree_of(path))
    ] == []


def test_the_project_speaks_of_itself_only() -> None:
    tops = ("engine", "billing", "tests", "perf", "docs", "examples", "deploy", ".ci")
    files = [path for top in tops for path in (ROOT / top).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file()]
    wrong = []
    for path in files:
        if path == Path(__file__) or path.suffix not in TEXTS or {"vendor", "__pycache__"} & set(path.parts):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if found := UNTOLD.search(line):
                wrong.append(told(path, number, found[0]))
    assert wrong == []


@pytest.mark.parametrize("paper", PAPERS)
def test_every_setting_that_is_written_about_exists(paper: str) -> None:
    known = {f"ENGINE_{field.name.upper()}" for field in fields(EngineConfig)}
    known |= {f"BILLING_{field.name.upper()}" for field in fields(BillingConfig)} - {"BILLING_ENGINE"}
    known |= set(SHARED)
    named = set(re.findall(r"\b(?:ENGINE|BILLING)_[A-Z_]*[A-Z]", (ROOT / paper).read_text()))
    assert {name for name in named if name not in known and name.removesuffix("_FILE") not in known} == set()


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements.lock", {"build"}),
        ("requirements-demo.lock", {"build", "embedded"}),
        ("requirements-test.lock", {"build", "embedded", "test"}),
        ("requirements-docs.lock", {"build", "docs"}),
    ],
)
def test_the_locks_hold_what_the_project_asks_for(lock: str, extras: set[str]) -> None:
    """Each with a hash, and the same pins in every lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(each for extra in extras for each in project["optional-dependencies"][extra])]
    pins = pinned(lock)
    asked = [Requirement(text) for text in wanted]
    missing = [str(each) for each in asked if not each.specifier.contains(pins.get(each.name, "0"), prereleases=True)]
    assert missing == []
    everything = pinned("requirements-test.lock")
    if lock == "requirements-docs.lock":  # is installed beside the others, and may have packages of its own
        pins = {name: pin for name, pin in pins.items() if name in everything}
    assert {name: pin for name, pin in pins.items() if everything.get(name) != pin} == {}


def pinned(lock: str) -> dict[str, str]:
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text())
    packages = [entry for entry in entries if not entry.startswith("#")]
    assert [entry.splitlines()[0] for entry in packages if "--hash=sha256:" not in entry] == []
    pins = {}
    for entry in packages:
        name, version = re.split(r"==|\s", entry)[:2]
        pins[name] = version
    return pins


def test_ci_calls_what_a_developer_calls() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "\nmake check\n" in script
    assert "make test" in script
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test", "check", "lint", "types", "docs", "perf", "lock", "clean"} <= set(targets)
