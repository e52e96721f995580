"""`billing demo` as people run it: it ends by itself or by Ctrl-C, audits, and leaves nothing behind."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
UP_S = 60.0

pytestmark = pytest.mark.slow


@asynccontextmanager
async def demo(*arguments: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running demo; whatever is left of it at the end is killed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("BILLING_", "ENGINE_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "billing", "demo", "--no-browser", *arguments),
        env=inherited | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def read_until(stream: asyncio.StreamReader | None, pattern: str) -> str:
    """What was written up to and with a line that the pattern is found in."""
    assert stream is not None
    lines = []
    async with asyncio.timeout(UP_S):
        while line := (await stream.readline()).decode():
            lines.append(line)
            if re.search(pattern, line):
                return "".join(lines)
    pytest.fail(f"{pattern} did not come: {''.join(lines)}")


async def end(process: asyncio.subprocess.Process) -> tuple[dict[str, Any], str]:
    """The answer, and what else was said."""
    async with asyncio.timeout(90):
        out, err = await process.communicate()
    assert out, err.decode()
    assert len(out.splitlines()) == 1, "stdout carries only the answer"
    answer: dict[str, Any] = json.loads(out)
    return answer, err.decode()


def descendants(pid: int) -> set[int]:
    """Of a process: everything below it."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                child = int(path.parent.name)
                found |= {child} | descendants(child)
    return found


def living(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
    return found


async def test_it_ends_by_itself_and_the_audit_says_equal() -> None:
    async with demo("--seconds", "10", "--rate", "300", "--port", "0") as process:
        answer, said = await end(process)
        assert process.returncode == 0, said
    assert list(answer) == ["events", "counted", "unmetered", "duplicates_dropped", "dead_lettered", "audit"]
    assert answer["audit"] == "equal"
    outcomes = ("counted", "unmetered", "duplicates_dropped", "dead_lettered")
    assert answer["events"] == sum(answer[name] for name in outcomes) > 1_000
    assert answer["duplicates_dropped"] > 0
    assert answer["dead_lettered"] > 0
    assert "\x1b" not in said, "plain lines where there is no terminal"
    for pattern in (
        r"✓ broker +embedded",
        r"✓ workers +2, ",
        r"Page +http://",
        r"sent [\d,]+ = counted",
        r" alert +\w+",
        r"0 differences",
    ):
        assert re.search(pattern, said), (pattern, said)


async def test_ctrl_c_drains_and_audits_and_everything_ends() -> None:
    async with demo("--rate", "200", "--port", "0") as process:
        await read_until(process.stderr, "Stop  Ctrl-C")
        below = descendants(process.pid)
        assert len(below) >= 5, "broker, Redis, API and two workers"
        await asyncio.sleep(3)
        process.send_signal(signal.SIGINT)
        answer, said = await end(process)
        assert process.returncode == 0, said
        assert answer["audit"] == "equal"
        assert living(below) == set()


async def test_nothing_outlives_a_demo_that_is_killed() -> None:
    async with demo("--rate", "50", "--port", "0") as process:
        await read_until(process.stderr, "Stop  Ctrl-C")
        below = descendants(process.pid)
        process.kill()
        await process.wait()
        deadline_s = time.monotonic() + 15
        while living(below):
            assert time.monotonic() < deadline_s, living(below)
            await asyncio.sleep(0.1)


async def test_a_busy_port_is_named_and_a_failed_step_says_what_to_do() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        async with demo("--seconds", "1", "--port", str(port)) as process:
            said = await read_until(process.stderr, "Page")
            assert f"port {port} is busy" in said
    async with demo("--redis", "redis://127.0.0.1:1") as process:
        async with asyncio.timeout(UP_S):
            out, err = await process.communicate()
        assert process.returncode == 1
        assert out == b""
        assert "start Redis, or use --redis embedded" in err.decode()
