"""`billing demo`: the whole system in one command, under a realistic load, and an audit at its end.

What people read goes to stderr. The last line of stdout is the answer as JSON, and nothing else is written there.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
import webbrowser
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import orjson

from billing.audit import Report, run_audit
from billing.config import BillingConfig, load_config
from billing.demo.catalog import CUSTOMERS, demo_catalog
from billing.demo.parts import EMBEDDED, Processes, next_free_port, start_kafka, start_redis
from billing.demo.run import ApiClient, Watch, wait_until_counted
from billing.demo.screen import Screen, StepFailed
from billing.load import Drive, Load, Sent, customer_names

WORKERS = 2
MAX_RATE_ESTIMATE = 5_000
"""Events a second that `--rate max` is expected to come to: only the demo's limits depend on it."""
SEED = 20_260_101
ENGINE_SETTINGS: dict[str, object] = {"session_s": 6.0}
"""The embedded broker lets a member join after half the session."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the command line says. `rate`: events a second, None: as fast as they are taken."""

    rate: float | None = 500.0
    seconds: float | None = None
    port: int = 8080
    kafka: str | None = None
    redis: str | None = None
    browser: bool = True


def run_demo(
    rate: float | None = 500.0,
    seconds: float | None = None,
    port: int = 8080,
    kafka: str | None = None,
    redis: str | None = None,
    browser: bool = True,
) -> int:
    """Runs until Ctrl-C or for `seconds` from the first event; the exit code is 0 only if the audit says equal.

    `rate`: events a second, None for as many as are taken. `kafka`: embedded, apache or host:port; `redis`: embedded
    or a URL; None: as BILLING_KAFKA and BILLING_REDIS say, else embedded.
    """
    stream = sys.stderr
    lively = stream.isatty() and not os.environ.get("NO_COLOR")
    screen = Screen(stream, lively=lively, now_s=time.monotonic)
    choices = Choices(rate=rate, seconds=seconds, port=port, kafka=kafka, redis=redis, browser=browser and lively)
    try:
        return asyncio.run(Demo(screen, choices).run())
    except* StepFailed as failures:
        for failure in _flat(failures):
            screen.line(f"keylane demo: {failure}")
        return 1


@dataclass(slots=True)
class Demo:
    screen: Screen
    choices: Choices
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> int:
        async with AsyncExitStack() as stack, _background(self.screen.tick()):
            report = await self._with_ctrl_c(self._serve(stack))
        if report is None:
            return 130
        counters = report.as_json()
        names = ("events", "counted", "unmetered", "duplicates_dropped", "dead_lettered", "audit")
        sys.stdout.write(orjson.dumps({name: counters[name] for name in names}).decode() + "\n")
        sys.stdout.flush()
        return report.exit_code

    async def _with_ctrl_c(self, work: Any) -> Report | None:
        """The first Ctrl-C or SIGTERM stops sending, the second everything; None: there was no load to stop."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(work)

            def interrupt() -> None:
                if self.stop.is_set() or not self._sending:
                    running.cancel()
                self.stop.set()

            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, interrupt)
        return None if running.cancelled() else running.result()
