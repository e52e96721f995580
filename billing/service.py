"""Runs a long-lived process: a fast loop, logs, signals, a garbage collector out of the way."""

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from billing.config import BillingConfig
from engine import Notice
from engine.adapters.json_log import set_up_logging, tell

COLLECT_AFTER = (100_000, 50, 100)
"""Allocations before each generation is collected: events are many and make no cycles."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Signals:
    """What the process is told from outside."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by SIGTERM or SIGINT."""
    hangup: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by SIGHUP; whoever acts on it clears it."""


def run_service(main: Callable[[Signals], Coroutine[Any, Any, int]], config: BillingConfig) -> int:
    """Runs `main` until it returns its exit code."""
    set_up_logging(config.log_format, config.log_level)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_main(main))


def say(text: str) -> None:
    """Something for people that is no notice of the engine: a line of text, or of JSON."""
    tell(Notice("service", text, "warning" if text.startswith("warning") else "info"))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed, else the standard one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def quieten_collector() -> None:
    """To be called when everything long-lived has been made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


async def _main(main: Callable[[Signals], Coroutine[Any, Any, int]]) -> int:
    signals = Signals()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, signals.stop.set)
    loop.add_signal_handler(signal.SIGHUP, signals.hangup.set)
    try:
        return await main(signals)
    finally:
        for number in (*STOP_SIGNALS, signal.SIGHUP):
            loop.remove_signal_handler(number)
