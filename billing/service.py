"""Runs a long-lived process: a fast loop, signals that ask it to stop, a garbage collector out of the way."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

COLLECT_AFTER = (100_000, 50, 100)
"""Allocations before each generation is collected: events are many and make no cycles."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run_service(main: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    """Runs `main` until it returns its exit code. The event it gets is set by SIGTERM or SIGINT."""
    set_up_logging()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_main(main))


def set_up_logging() -> None:
    """Warnings on stderr; what the Kafka client says of servers the adapters say in our words."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


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


async def _main(main: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        return await main(stop)
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
