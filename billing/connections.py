"""What worker, API and commands share of the outside world: names, and servers that may come late."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence

from billing.config import BillingConfig
from billing.security import kafka_security, redis_tls
from billing.topics import prepare_topics
from engine import Message, Sender, Unanswered
from engine.adapters.kafka import Capabilities, KafkaSender, LogReader, Topic, probe
from engine.adapters.redis import RedisServer

Say = Callable[[str], None]
AGAIN_S = 0.5


class LateSender:
    """A `Sender` for a process that takes requests before Kafka was reached."""

    def __init__(self) -> None:
        self._sender: Sender | None = None

    def use(self, sender: Sender) -> None:
        self._sender = sender

    async def send(self, messages: Sequence[Message]) -> None:
        if self._sender is None:
            raise Unanswered("Kafka was not reached yet")
        await self._sender.send(messages)


def process_name() -> str:
    """Names a process for people: host and process id."""
    return f"{socket.gethostname()}-{os.getpid()}"


def warning_of_other_catalog(config: BillingConfig) -> str:
    """For a configured file that says something else than what is registered."""
    path = config.catalog
    return f"{path} differs from the registered catalog, which rules; to apply it: billing catalog apply {path}"


def waiting_for(server: str, say: Say) -> Say:
    """Says once what is waited for, and again only when the reason changes."""
    last: list[str] = []

    def told(reason: str) -> None:
        if last != [reason]:
            last[:] = [reason]
            say(f"waiting for {server}: {reason}")

    return told


async def reach_kafka(config: BillingConfig, say: Say) -> tuple[Capabilities, dict[str, Topic]]:
    """What the broker can do, and all topics. Waits for unreachable servers as long as it takes.

    Raises:
        ConfigError: a topic is refused, or must not be used as it is.
    """
    capabilities = await probe(config.kafka, security=kafka_security(config), waiting=waiting_for("Kafka", say))
    return capabilities, dict(await prepare_topics(config, capabilities, say))


async def reach_redis(server: RedisServer, config: BillingConfig, say: Say) -> None:
    """Waits until Redis answers and fits, as long as it takes.

    Raises:
        ConfigError: a setting of the server does not fit.
    """
    told = waiting_for("Redis", say)
    while True:
        try:
            await server.check_server(config.engine.durability)
            return
        except Unanswered as error:
            told(str(error))
            await asyncio.sleep(AGAIN_S)


def make_state(config: BillingConfig, *, writers: int = 1) -> RedisServer:
    """The state server, nothing is reached yet. Raises ConfigError."""
    return RedisServer(
        config.redis,
        username=config.redis_username,
        password=config.redis_password,
        tls=redis_tls(config),
        writers=writers,
        timeout_s=config.engine.call_timeout_s,
    )


def make_sender(config: BillingConfig, capabilities: Capabilities, say: Say) -> KafkaSender:
    """A sender, not started yet."""
    return KafkaSender(
        config.kafka,
        idempotent=capabilities.idempotent_producer,
        client_id=process_name(),
        security=kafka_security(config),
        waiting=waiting_for("Kafka", say),
    )


def make_reader(config: BillingConfig, topic: str, say: Say) -> LogReader:
    """A reader without a group, not started yet."""
    return LogReader(
        config.kafka,
        topic=topic,
        client_id=process_name(),
        security=kafka_security(config),
        waiting=waiting_for(f"topic {topic}", say),
    )
