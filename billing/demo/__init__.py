"""`billing demo`: the whole system in one command, under a realistic load, and an audit at its end.

What people read goes to stderr. The last line of stdout is the answer as JSON, and nothing else is written there.
"""

import asyncio
import math
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from billing.demo.screen import Screen, StepFailed
from billing.demo.whole import Choices, Demo
from engine import ConfigError

INTERRUPTED = 130


def run_demo(
    rate: str = "500",
    seconds: float | None = None,
    port: int = 8080,
    kafka: str | None = None,
    redis: str | None = None,
    browser: bool = True,
) -> int:
    """Runs until Ctrl-C, or for `seconds` from the first event. The exit code is 0 only if the audit says equal.

    `rate`: events a second, or max. `kafka`: embedded, apache or host:port; `redis`: embedded or a URL; None: as
    BILLING_KAFKA and BILLING_REDIS say, else embedded.

    Raises:
        ConfigError: a choice that cannot be.
    """
    lively = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    screen = Screen(sys.stderr, lively=lively, now_s=time.monotonic)
    choices = Choices(
        rate=_read_rate(rate), seconds=seconds, port=port, kafka=kafka, redis=redis, browser=browser and lively
    )
    try:
        demo = Demo(screen, choices, now=lambda: datetime.now(UTC), seed=time.time_ns())
        return asyncio.run(demo.run())
    except asyncio.CancelledError:
        screen.line("interrupted: not audited")
        return INTERRUPTED
    except (StepFailed, BaseExceptionGroup) as error:
        failures = list(_failures(error))
        if not failures:
            raise
        screen.end_status()
        for failure in failures:
            if not failure.told:
                screen.line(f"keylane demo: {failure}")
        return 1


def _read_rate(text: str) -> float | None:
    if text == "max":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        raise ConfigError([f"--rate {text}: must be events a second, or max"])
    return rate


def _failures(error: BaseException) -> Iterator[StepFailed]:
    """The failures that say what to do; none if there is any other among them."""
    if isinstance(error, BaseExceptionGroup):
        _, others = error.split(StepFailed)
        if others is None:
            for inner in error.exceptions:
                yield from _failures(inner)
    elif isinstance(error, StepFailed):
        yield error
