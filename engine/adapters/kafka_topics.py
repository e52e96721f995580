"""Creates the topics that are missing, and says what those that exist are set to."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    InvalidConfigurationError,
    InvalidPartitionsError,
    InvalidReplicationFactorError,
    InvalidTopicError,
    PolicyViolationError,
    TopicAlreadyExistsError,
    for_code,
)

from engine.adapters.kafka_client import REQUEST_TIMEOUT_MS, Waiting, answered, connecting, patiently, say_waiting
from engine.adapters.kafka_security import KafkaSecurity, Servers
from engine.errors import ConfigError, Unanswered

READY_S = 30.0
LOOK_S = 0.1
MISTAKES = (
    InvalidConfigurationError,
    InvalidPartitionsError,
    InvalidReplicationFactorError,
    InvalidTopicError,
    PolicyViolationError,
)


ARRIVALS_BOUNDED_MS = 12 * 60 * 60 * 1_000
"""From the broker's clock, before or after: then the timestamps of a partition go back by less than a day."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it is made where it is missing. `settings` are Kafka's own names, such as `retention.ms`."""

    name: str
    partitions: int
    replication: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is. `settings` holds what the broker tells: all of them, or only those that were set."""

    name: str
    partitions: int
    created: bool
    """By this call."""
    settings: Mapping[str, str]
    replication: int | None = None
    """Copies of each partition; None unknown."""

    @property
    def compacted(self) -> bool:
        return "compact" in self.settings.get("cleanup.policy", "")

    @property
    def retention_ms(self) -> int | None:
        """How long events are kept; -1 is for ever, None unknown."""
        value = self.settings.get("retention.ms")
        return None if value is None else int(value)

    @property
    def bounds_arrivals(self) -> bool:
        """Whether timestamps are bounded so that identities beyond the horizon may be forgotten."""
        bounded_ms = self.arrivals_bounded_ms
        return bounded_ms is not None and bounded_ms <= ARRIVALS_BOUNDED_MS

    @property
    def arrivals_bounded_ms(self) -> int | None:
        """How far a record's timestamp may be from the broker's clock; 0 where the broker sets it, None unknown."""
        if self.settings.get("message.timestamp.type") == "LogAppendTime":
            return 0
        limits = [self.settings.get(f"message.timestamp.{side}.max.ms") for side in ("before", "after")]
        known = [int(limit) for limit in limits if limit is not None]
        return max(known) if len(known) == len(limits) else None


async def ensure_topics(
    bootstrap: str,
    specs: Sequence[TopicSpec],
    *,
    security: KafkaSecurity | None = None,
    waiting: Waiting = say_waiting,
) -> dict[str, Topic]:
    """All the topics by name; missing ones are created, the others are left as they are.

    Waits for unreachable servers as long as it takes. May be cancelled.

    Raises:
        ConfigError: the servers refuse to make one of them like this; lists all refusals.
    """
    servers = Servers(bootstrap, security)
    return await patiently(lambda: _ensure_topics(servers, specs), waiting, servers)


async def find_topic(
    bootstrap: str, name: str, *, security: KafkaSecurity | None = None, waiting: Waiting = say_waiting
) -> Topic:
    """A topic that somebody else makes: waits for it, and for the servers, as long as it takes. May be cancelled."""
    servers = Servers(bootstrap, security)
    return await patiently(lambda: _find_topic(servers, name), waiting, servers)


async def add_partitions(bootstrap: str, topic: str, total: int, *, security: KafkaSecurity | None = None) -> None:
    """Raises the number of partitions to `total`.

    Raises:
        ConfigError: the servers refuse, or do not know how to.
        Unanswered: perhaps done.
    """
    async with admin(bootstrap, security) as client:
        try:
            async with answered(f"adding partitions to {topic}"):
                await client.create_partitions({topic: NewPartitions(total)})
        except Unanswered as unanswered:
            if isinstance(unanswered.__cause__, (IncompatibleBrokerVersion, *MISTAKES)):
                raise ConfigError([str(unanswered)]) from unanswered
            raise


@asynccontextmanager
async def admin(bootstrap: str, security: KafkaSecurity | None = None) -> AsyncIterator[Any]:
    """A started admin client. Raises Unanswered where no server is reachable."""
    client = AIOKafkaAdminClient(**connecting(Servers(bootstrap, security)), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        async with answered("connecting to Kafka"):
            await client.start()
        yield client
    finally:
        await client.close()


async def _ensure_topics(servers: Servers, specs: Sequence[TopicSpec]) -> dict[str, Topic]:
    async with admin(*servers) as client:
        async with answered("listing and creating topics", READY_S):
            existing = set(await _partitions(client))
            missing = [spec for spec in specs if spec.name not in existing]
            if missing:
                await _create(client, missing)
        names = [spec.name for spec in specs]
        counts = await _wait_for_leaders(client, names)
        async with answered("settings of topics"):
            settings = await _settings(client, names)
    created = {spec.name for spec in missing}
    return {name: Topic(name, counts[name], name in created, settings.get(name, {})) for name in names}


async def _find_topic(servers: Servers, name: str) -> Topic:
    async with admin(*servers) as client, answered(f"settings of topic {name}"):
        found = [topic["partitions"] for topic in await client.describe_topics(None) if topic["topic"] == name]
        if not found or not found[0]:
            raise Unanswered(f"topic {name} does not exist yet")
        settings = await _settings(client, [name])
    replication = min(len(partition["replicas"]) for partition in found[0])
    return Topic(name, len(found[0]), False, settings.get(name, {}), replication)


async def _partitions(client: Any) -> dict[str, int]:
    """Topics whose partitions all have a leader, with their number. Asking for a topic by name could create it."""
    return {
        topic["topic"]: len(topic["partitions"])
        for topic in await client.describe_topics(None)
        if topic["partitions"] and all(partition["leader"] >= 0 for partition in topic["partitions"])
    }


async def _create(client: Any, specs: Sequence[TopicSpec]) -> None:
    """Raises ConfigError for what will never work, KafkaError for what may later."""
    topics = [
        NewTopic(spec.name, spec.partitions, spec.replication, topic_configs=dict(spec.settings)) for spec in specs
    ]
    response = await client.create_topics(topics)
    mistakes: list[str] = []
    for name, code, said in (entry[:3] for entry in response.topic_errors):
        kind = for_code(code)
        if issubclass(kind, MISTAKES):
            mistakes.append(f"topic {name}: {said or kind.__name__}")
        elif code and kind is not TopicAlreadyExistsError:
            raise kind(f"topic {name}: {said}")
    if mistakes:
        raise ConfigError(mistakes)


async def _wait_for_leaders(client: Any, names: Sequence[str]) -> dict[str, int]:
    async with answered(f"leaders of {', '.join(names)}", READY_S):
        while True:
            counts = await _partitions(client)
            if counts.keys() >= set(names):
                return counts
            await asyncio.sleep(LOOK_S)


async def _settings(client: Any, names: Sequence[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    return {
        resource[3]: {entry[0]: entry[1] for entry in resource[4] if entry[1] is not None}
        for response in await client.describe_configs(resources)
        for resource in response.resources
    }
