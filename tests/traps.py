"""Takes the guard of each trap out of a copy of the tree and shows that the trap's tests fail there.

    python -m tests.traps [--table | NUMBER ...]

A trap is a fault that hurts engines of this kind. `traps.toml` names, for each, tests, the guard in the code, and the
change that takes the guard out. All tests must pass as the code stands, and each must fail without its guard: by an
assertion or because what it waits for never comes, not because the code has become nonsense. A trap may have several
guards, each with a row of its own. `--table` prints the rows as `engine/README.md` shows them.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from xml.etree import ElementTree as ET

import msgspec

ROOT: Final = Path(__file__).parents[1]
TABLE: Final = Path(__file__).with_suffix(".toml")
WORDS_MAX: Final = 120
_BEGIN: Final = r"^(?:E[ \t]+|[ \t|+]*\| )(?:[ \t|+]*\| )?"
"""Where the words of an exception begin in pytest's report: behind its E, or behind the bar of a group."""
RIGHT: Final = re.compile(
    _BEGIN
    + r"(?P<words>(?:AssertionError|assert |TimeoutError|Failed: |engine\.errors\.\w+|tests\.[\w.]+\.[A-Z]\w+).*)",
    re.MULTILINE,
)
"""What stands in the report of a test that missed its guard; a test's own exceptions are faults that it plants."""
WRONG: Final = re.compile(
    _BEGIN + r"(?:Import|ModuleNotFound|Syntax|Indentation|Name|Attribute|Type)Error\b", re.MULTILINE
)
"""What stands there where a change made nonsense of the code."""


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In `file`, `old` (which stands there once) becomes `new`."""

    file: str
    old: str
    new: str


class Trap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One guard against one trap. `without` takes it out; then each of `tests` fails."""

    number: int
    title: str
    tests: list[str]
    guard: str
    without: list[Change]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    trap: list[Trap]


class Outcome(msgspec.Struct, frozen=True):
    """Of one case of a test; `report` is empty if it passed."""

    report: str
    skipped: bool = False

    @property
    def words(self) -> str:
        """In which the test failed for the want of its guard; empty if it did not."""
        found = RIGHT.search(self.report)
        return "" if found is None or WRONG.search(self.report) else found["words"][:WORDS_MAX]


Outcomes = Mapping[str, Sequence[Outcome]]


def read_traps() -> list[Trap]:
    return msgspec.toml.decode(TABLE.read_bytes(), type=Table).trap


def readme_rows(traps: Sequence[Trap]) -> list[str]:
    """The table as `engine/README.md` shows it."""
    rows = ["| trap | test | guard |", "|---|---|---|"]
    for trap in traps:
        tests = ", ".join(f"`{test.removeprefix('tests/')}`" for test in trap.tests)
        rows.append(f"| {trap.number}. {trap.title} | {tests} | `{trap.guard}` |")
    return rows


class Tree:
    """A copy of what git knows or would add."""

    def __init__(self, root: Path) -> None:
        self.root = root
        command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.check_output(command, text=True).split("\0"):
            if name and (ROOT / name).is_file():
                place = root / name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, place)

    @contextmanager
    def without(self, changes: Sequence[Change]) -> Iterator[None]:
        before = {change.file: (self.root / change.file).read_text() for change in changes}
        for change in changes:
            path = self.root / change.file
            text = path.read_text()
            assert text.count(change.old) == 1, f"{change.file} holds {change.old!r} {text.count(change.old)} times"
            path.write_text(text.replace(change.old, change.new))
        try:
            yield
        finally:
            for file, text in before.items():
                (self.root / file).write_text(text)

    def test(self, tests: Sequence[str]) -> Outcomes:
        """The outcomes of all cases, by test."""
        report = self.root / "report.xml"
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1"]
        environment = os.environ | {"PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        ended = subprocess.run(
            [*command, f"--junitxml={report}", *tests], cwd=self.root, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if not report.exists():
            return {test: [Outcome(f"no report: {ended.stdout[-500:]}{ended.stderr[-500:]}")] for test in tests}
        return outcomes_of(report, tests)


def outcomes_of(report: Path, tests: Sequence[str]) -> Outcomes:
    """A case that could not be set up or collected is not one that failed in its own words."""
    found: dict[str, list[Outcome]] = defaultdict(list)
    for case in ET.parse(report).iter("testcase"):
        failure, error = case.find("failure"), case.find("error")
        text = "" if failure is None else failure.text or ""
        if error is not None:
            text = f"error outside of the test: {error.get('message')}"
        name = case.get("name", "")
        outcome = Outcome(text, case.find("skipped") is not None)
        found[f"{case.get('file')}::{name.partition('[')[0]}"].append(outcome)
    return {test: found.get(test, [Outcome("not collected")]) for test in tests}


def verdict(trap: Trap, outcomes: Outcomes) -> str:
    """Empty, or why the tests do not show what the guard is for."""
    for test in trap.tests:
        cases = outcomes[test]
        if any(case.words for case in cases):
            continue
        reports = [case.report for case in cases if case.report]
        if reports:
            return f"{test} fails for another reason: {reports[0][-1_500:]}"
        return f"{test} {'was skipped' if any(case.skipped for case in cases) else 'passes without the guard'}"
    return ""


def told(trap: Trap, problem: str, outcomes: Outcomes) -> str:
    """The row, and the words in which each test failed."""
    lines = [f"{trap.number:>3}  {trap.title}", f"WRONG: {problem}" if problem else f"needs {trap.guard}"]
    lines += [next((case.words for case in outcomes[test] if case.words), "") for test in trap.tests]
    return "\n     ".join(filter(None, lines))


def show(traps: Sequence[Trap]) -> int:
    """How many rows are not as the table says."""
    wrong = 0
    with TemporaryDirectory(prefix="traps-") as folder:
        tree = Tree(Path(folder).resolve())
        tests = sorted({test for trap in traps for test in trap.tests})
        print(f"{len(tests)} tests with all guards", flush=True)
        for test, cases in tree.test(tests).items():
            if any(case.report or case.skipped for case in cases):
                wrong += 1
                print(f"  {test} does not pass: {[case.report[-1_500:] for case in cases if case.report]}", flush=True)
        for trap in traps:
            with tree.without(trap.without):
                outcomes = tree.test(trap.tests)
            problem = verdict(trap, outcomes)
            wrong += bool(problem)
            print(told(trap, problem, outcomes), flush=True)
    numbers = {trap.number for trap in traps}
    print(f"{len(numbers)} traps, {len(traps)} guards: " + (f"{wrong} WRONG" if wrong else "each is needed"))
    return wrong


def main() -> int:
    traps = read_traps()
    if sys.argv[1:] == ["--table"]:
        print("\n".join(readme_rows(traps)))
        return 0
    numbers = {int(argument) for argument in sys.argv[1:]}
    return 1 if show([trap for trap in traps if not numbers or trap.number in numbers]) else 0


if __name__ == "__main__":
    sys.exit(main())
