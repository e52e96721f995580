"""The topics of billing: made where they are missing, checked where they exist."""

from collections.abc import Callable, Mapping

from billing.config import BillingConfig
from billing.security import kafka_security
from engine import ConfigError
from engine.adapters.kafka import Capabilities, Topic, TopicSpec, ensure_topics

DAY_MS = 86_400_000
FOR_EVER = {"retention.ms": "-1", "retention.bytes": "-1"}


def topic_specs(config: BillingConfig, *, log_append_time: bool) -> list[TopicSpec]:
    """How the topics are made. `log_append_time`: the broker can stamp what arrives, so no producer's clock matters."""
    stamped = {"message.timestamp.type": "LogAppendTime"} if log_append_time else {}
    kept = {"cleanup.policy": "delete", "retention.ms": str(config.retention_d * DAY_MS)} | stamped
    for_ever = {"cleanup.policy": "delete"} | FOR_EVER | stamped
    return [
        TopicSpec(config.topic, config.partitions, config.replication, kept),
        TopicSpec(config.dead_topic, config.partitions, config.replication, kept),
        TopicSpec(config.alerts_topic, config.partitions, config.replication, for_ever),
        TopicSpec(config.facts_topic, 1, config.replication, for_ever),
    ]


async def prepare_topics(
    config: BillingConfig, capabilities: Capabilities, say: Callable[[str], None]
) -> Mapping[str, Topic]:
    """All topics by name. Waits for unreachable servers as long as it takes, and says so.

    Raises:
        ConfigError: a topic that cannot be made, or one that must not be used as it is.
    """
    specs = topic_specs(config, log_append_time=capabilities.log_append_time)
    topics = await ensure_topics(
        config.kafka, specs, security=kafka_security(config), waiting=lambda what: say(f"waiting for Kafka: {what}")
    )
    problems = [
        f"topic {topic.name} is compacted (cleanup.policy): events would vanish from it; set cleanup.policy=delete"
        for topic in topics.values()
        if topic.compacted
    ]
    if topics[config.facts_topic].partitions != 1:
        problems.append(f"topic {config.facts_topic} must have exactly one partition: facts are in one order")
    if problems:
        raise ConfigError(problems)
    retention_ms = topics[config.topic].retention_ms
    if retention_ms is not None and 0 <= retention_ms < config.retention_d * DAY_MS:
        say(
            f"warning: topic {config.topic} keeps events for {retention_ms / DAY_MS:.3g} days, less than "
            f"{config.retention_d}: what Redis loses could then not be counted again"
        )
    return topics
