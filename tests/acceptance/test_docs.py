"""The guides, done as somebody does who reads them: files are saved, commands run in one shell, answers are compared.

The pages bring their own servers (`servers.py`); only the ports are others. An answer that follows a command is what
the command must say in the end: it is asked again until it does, since events are counted a moment after they came. In
answers `…` stands for anything, and a member `"…"` for further members.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.embedded.process import free_port
from tests.documents import PAGES, ROOT, Fence, fences, json_values

INDEX = "index.md"
PATH = (
    "guides/first-meter.md",
    "guides/first-price.md",
    "guides/first-limit.md",
    "guides/send-events-curl.md",
    "guides/send-events-python.md",
    "guides/send-events-kafka.md",
    "guides/engine-alone.md",
)
"""Each goes on where those before it ended."""
NOT_RUN = {
    (INDEX, "a test of its own"): 2,  # tests/acceptance/test_demo.py, and this run
    (INDEX, "an answer of the demo"): 1,
    ("guides/run-with-compose.md", "needs Docker"): 6,  # tests/unit/test_compose.py holds the file against its rules
}
RUN = ("sh", "python", "json", "toml")
PORTS = ("9092", "6379", "8080")
WITHIN_S = 60.0
ANYTHING = "…"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Said(NamedTuple):
    """By commands that went well."""

    out: str
    err: str = ""


class Reader:
    """A shell in a folder that looks like a checkout, and whatever was started in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = {port: str(free_port()) for port in PORTS}
        self._groups: list[int] = []
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / ".venv").symlink_to(sys.prefix)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("BILLING_", "ENGINE_"))}
        self._environment = inherited | {
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "BILLING_API_PORT": self._ports["8080"],
            "ENGINE_SESSION_S": "6",
        }

    def follow(self, page: str) -> None:
        """Does what the page says, from its first fence to its last."""
        before: Fence | None = None
        for fence in fences(page):
            if fence.not_run or fence.language not in {*RUN, "text"}:
                before = None
            elif fence.saved_as:
                (self._folder / fence.saved_as).write_text(self._here(fence.text))
            elif fence.language == "sh":
                if before is not None:
                    self._run(before, page)
                before = fence
            else:
                assert before is not None, f"{page}:{fence.line} answers nothing"
                self._compare(before, fence, page)
                before = None
        if before is not None:
            self._run(before, page)

    def _here(self, text: str) -> str:
        for port, free in self._ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return text

    def _run(self, fence: Fence, page: str) -> None:
        assert self._shell(fence) is not None, f"{page}:{fence.line} failed\n{fence.text}\n{self._logs()}"

    def _shell(self, fence: Fence) -> Said | None:
        """What the commands said, None if one failed. What one exports, those after it have too."""
        script = f"set -eu\n[ ! -e .exported ] || . ./.exported\n{self._here(fence.text)}\nexport -p > .exported\n"
        out, err = self._folder / ".out", self._folder / ".err"
        with out.open("w") as stdout, err.open("w") as stderr:
            process = subprocess.Popen(
                ["sh", "-c", script],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            if "&\n" in fence.text:
                self._groups.append(process.pid)
            code = process.wait(timeout=WITHIN_S)
        return Said(out.read_text(), err.read_text()) if code == 0 else None

    def _compare(self, command: Fence, answer: Fence, page: str) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while True:
            said = self._shell(command)
            if said is not None and answers(answer, said):
                return
            if time.monotonic() > deadline_s:
                pytest.fail(f"{page}:{answer.line} is not what came\n{said}\n{self._logs()}")
            time.sleep(0.3)

    def _logs(self) -> str:
        paths = [path for end in ("log", "err", "out") for path in sorted(self._folder.glob(f"*.{end}"))]
        return "\n".join(f"--- {path.name}\n{path.read_text()[-2_000:]}" for path in paths)

    def close(self) -> None:
        """Ends what was left running, newest first: servers go last."""
        for group in reversed(self._groups):
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)
                deadline_s = time.monotonic() + 20
                while time.monotonic() < deadline_s:
                    os.killpg(group, 0)
                    time.sleep(0.05)
                os.killpg(group, signal.SIGKILL)


def answers(answer: Fence, said: Said) -> bool:
    """Whether what was said is what the page shows: lines, wherever they were said, or the values on stdout."""
    if answer.language == "text":
        lines = [line.strip() for line in (said.out + said.err).splitlines()]
        return all(any(fits_text(wanted, line) for line in lines) for wanted in answer.text.splitlines())
    try:
        found = list(json_values(said.out))
    except ValueError:
        return False
    wanted = list(json_values(answer.text))
    return len(found) == len(wanted) and all(map(fits, wanted, found))


def fits_text(pattern: str, line: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split(ANYTHING))), line) is not None


def fits(wanted: object, found: object) -> bool:
    """Exactly equal, but for what `…` stands for."""
    if wanted == ANYTHING:
        return True
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        named = wanted.keys() - {ANYTHING}
        whole = ANYTHING in wanted or found.keys() == named
        return whole and named <= found.keys() and all(fits(wanted[name], found[name]) for name in named)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(fits, wanted, found))
    if isinstance(wanted, str) and isinstance(found, str):
        return fits_text(wanted, found)
    return wanted == found


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.close()


def test_what_is_not_run_is_listed() -> None:
    pages = [page for page in PAGES if page == INDEX or page.startswith("guides/")]
    left_out = Counter((page, fence.not_run) for page in pages for fence in fences(page) if fence.not_run)
    assert left_out == NOT_RUN
    assert {page for page in pages if any(not fence.not_run for fence in fences(page))} == {INDEX, *PATH}
    for page in (INDEX, *PATH):
        kinds = {fence.language for fence in fences(page)}
        assert kinds <= {*RUN, "text"}, page
        assert all(fence.saved_as for fence in fences(page) if fence.language in {"python", "toml"}), page


def test_the_first_page(reader: Reader) -> None:
    reader.follow(INDEX)


def test_the_guides_one_after_the_other(reader: Reader) -> None:
    for page in PATH:
        reader.follow(page)


@pytest.mark.parametrize(
    ("page", "said", "equal"),
    [
        ('{"a": 1, "b": "…"}', '{"a": 1, "b": [2]}', True),
        ('{"a": 1}', '{"a": 1, "b": 2}', False),
        ('{"a": 1, "…": "…"}', '{"a": 1, "b": 2}', True),
        ('{"a": 1, "…": "…"}', '{"b": 2}', False),
        ('{"a": ["x…", 2.0]}', '{"a": ["xyz", 2]}', True),
        ('{"a": []}', '{"a": [1]}', False),
        ('{"a": 1}\n{"a": 2}', '{"a":1}\n{"a":2}\n', True),
        ('{"a": 1}', '{"a":1}\n{"a":2}\n', False),
        ('{"a": 1}', "curl: not JSON", False),
    ],
)
def test_answers_are_compared_as_they_should_be(page: str, said: str, equal: bool) -> None:
    assert answers(Fence("json", page, 1, None, None), Said(said, "waiting for Kafka")) is equal
    assert json.loads(page.splitlines()[0])


@pytest.mark.parametrize(
    ("page", "said", "equal"),
    [("2 accepted, … again", "2 accepted, 0 again", True), ("a\nb", "x\nb\na", True), ("a", "b", False)],
)
def test_lines_are_compared_as_they_should_be(page: str, said: str, equal: bool) -> None:
    assert answers(Fence("text", page, 1, None, None), Said("", said)) is equal
