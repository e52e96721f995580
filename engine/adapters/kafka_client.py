"""What all parts of the Kafka adapter share: how to connect, patience with absent servers, deadlines, errors in the
engine's words.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka.errors import KafkaConnectionError, KafkaError

from engine.adapters.kafka_login import Tokens, connect_once
from engine.adapters.kafka_security import Bearer, Servers
from engine.errors import ConfigError, Unanswered

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


def connecting(servers: Servers) -> dict[str, Any]:
    """aiokafka's options for a client of these servers; files of TLS are read now. Raises Unanswered."""
    options: dict[str, Any] = {"bootstrap_servers": servers.bootstrap}
    security = servers.security
    if security is None:
        return options
    if security.tls is not None:
        try:
            options["ssl_context"] = security.tls.context()
        except ConfigError as error:  # it was usable at the start: somebody is renewing it
            raise Unanswered(str(error)) from error
    encryption = "SSL" if security.tls is not None else "PLAINTEXT"
    options["security_protocol"] = encryption if security.sasl is None else f"SASL_{encryption}"
    if isinstance(security.sasl, Bearer):
        options["sasl_mechanism"] = "OAUTHBEARER"
        options["sasl_oauth_token_provider"] = Tokens(security.sasl.token)
    elif security.sasl is not None:
        options["sasl_mechanism"] = security.sasl.mechanism
        options["sasl_plain_username"] = security.sasl.username
        options["sasl_plain_password"] = security.sasl.password.reveal()
    return options


async def patiently(attempt: Callable[[], Awaitable[T]], waiting: Waiting, servers: Servers) -> T:
    """Makes attempts until one succeeds, with growing pauses; says each time what it waits for. May be cancelled."""
    pause_s = RETRY_FIRST_S
    while True:
        try:
            return await attempt()
        except (KafkaError, Unanswered, OSError) as error:
            unreachable = isinstance(error, KafkaConnectionError) or isinstance(error.__cause__, KafkaConnectionError)
            waiting((await _refusal(servers) if unreachable else None) or describe(error))
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
        pause_s = min(RETRY_CAP_S, pause_s * 2)


async def _refusal(servers: Servers) -> str | None:
    """What the servers say to a connection: aiokafka only says that it could not connect. None: nothing against it."""
    reason: str | None = None
    for server in servers.bootstrap.split(","):
        try:
            async with asyncio.timeout(ANSWER_S):
                await connect_once(server.strip(), connecting(servers))
        except (KafkaError, Unanswered, OSError) as error:  # a time-out is an OSError too
            reason = f"{server.strip()}: {describe(error)}"
        else:
            return None
    return reason


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
