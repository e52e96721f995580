"""The table of traps is whole and true to the tree: that each guard is needed shows `python -m tests.traps`."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.traps import Outcome, Trap, read_traps, readme_rows, verdict

ROOT = Path(__file__).parents[2]
TRAPS = read_traps()
NUMBERS = range(1, 38)


@cache
def functions_of(path: Path) -> frozenset[str]:
    nodes = ast.parse(path.read_text()).body
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_trap_is_there_in_its_order() -> None:
    numbers = [trap.number for trap in TRAPS]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(NUMBERS)


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: f"{trap.number} {trap.guard}")
def test_a_row_names_what_exists(trap: Trap) -> None:
    assert trap.tests
    for test in trap.tests:
        file, _, name = test.partition("::")
        assert name in functions_of(ROOT / file), test
    file, _, guard = trap.guard.partition(" ")
    for name in guard.split("."):
        assert name in (ROOT / file).read_text(), trap.guard
    assert trap.without
    for change in trap.without:
        assert (ROOT / change.file).read_text().count(change.old) == 1, f"{change.file}: {change.old}"
        assert change.new != change.old


def test_the_theory_of_operation_shows_the_table() -> None:
    text = (ROOT / "engine" / "README.md").read_text()
    assert "\n".join(readme_rows(TRAPS)) in text


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ("", "passes without the guard"),
        ("E   assert 1 == 2\nE   ImportError: no such module", "another reason"),
        ("E   NameError: name 'x' is not defined", "another reason"),
        (">       assert found['x'] == 2\nE   KeyError: 'x'", "another reason"),
        ("    |     assert found\n    | KeyError: 'x'", "another reason"),
        ("E   AssertionError: 1\nE   assert 1 == 2", ""),
        ("    | TimeoutError", ""),
        ("E     | TimeoutError", ""),
        ("E   Failed: DID NOT RAISE", ""),
    ],
)
def test_a_test_must_fail_in_its_own_words(report: str, said: str) -> None:
    trap = Trap(1, "title", ["test"], "guard", [])
    found = verdict(trap, {"test": [Outcome(""), Outcome(report)]})
    assert said in found
    assert bool(said) == bool(found)
