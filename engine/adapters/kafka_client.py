"""What all parts of the Kafka adapter share: patience with absent servers, deadlines, errors in the engine's words."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from aiokafka.errors import KafkaError

from engine.errors import Unanswered

log = logging.getLogger(__name__)

T = TypeVar("T")
Waiting = Callable[[str], None]
"""Told what a start waits for, once an attempt."""

REQUEST_TIMEOUT_MS = 30_000
ANSWER_S = 10.0
"""How long a single question to the servers may take before it is called unanswered."""
RETRY_FIRST_S = 0.2
RETRY_CAP_S = 5.0


def say_waiting(what: str) -> None:
    log.warning("waiting: %s", what)


async def patiently(attempt: Callable[[], Awaitable[T]], waiting: Waiting) -> T:
    """Makes attempts until one succeeds, with growing pauses; says each time what it waits for. May be cancelled."""
    pause_s = RETRY_FIRST_S
    while True:
        try:
            return await attempt()
        except (KafkaError, Unanswered, OSError) as error:
            waiting(describe(error))
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
        pause_s = min(RETRY_CAP_S, pause_s * 2)


@asynccontextmanager
async def answered(what: str, within_s: float = ANSWER_S) -> AsyncIterator[None]:
    """Turns a library's error, or no answer in time, into `Unanswered`."""
    try:
        async with asyncio.timeout(within_s):
            yield
    except TimeoutError as error:
        raise Unanswered(f"{what}: no answer within {within_s:g} s") from error
    except (KafkaError, OSError) as error:
        raise Unanswered(f"{what}: {describe(error)}") from error


def describe(error: Exception) -> str:
    """The error in a line: its kind, and what it says if anything."""
    text = str(error)
    kind = type(error).__name__
    return text if kind in text else f"{kind}: {text}" if text else kind
