"""The service's own recount of the log, by its own command."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from perf.harness.checks import CheckFailed

AUDITED_WITHIN_S = 300.0


async def check_audit(settings: Path, events: int) -> None:
    """`billing audit` finds log and state equal, with so many events counted. Raises CheckFailed."""
    command = [sys.executable, "-m", "billing", "audit", "--config", str(settings)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(AUDITED_WITHIN_S):
        answer, said = await process.communicate()
    check_answer(json.loads(answer or b"{}"), events, said.decode(errors="replace"))


def check_answer(answer: dict[str, Any], events: int, said: str = "") -> None:
    """Raises CheckFailed: it is not equal, or not all of `events` were counted."""
    if answer.get("audit") != "equal" or answer.get("counted") != events:
        raise CheckFailed(f"the audit of {events} events says {answer or said}")
