"""One cluster of three brokers for all chaos tests; node 1, the controller, is never killed."""

import gc
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from engine.adapters.kafka import KafkaSender, TopicSpec, ensure_topics
from engine.embedded import apache
from engine.embedded.apache import ApacheKafka
from engine.embedded.redis import EmbeddedRedis
from tests.chaos.fleet import Fleet
from tests.chaos.topic import TestTopic

BROKERS = 3
PARTITIONS = 8
LONG_SESSION_S = 30.0
"""Longer than any restart takes."""
CLUSTER = {
    "min.insync.replicas": "2",
    "log.cleaner.backoff.ms": "200",
    "log.retention.check.interval.ms": "500",
    "offsets.commit.timeout.ms": "2000",
}


@pytest.fixture(autouse=True)
def _no_garbage_is_left() -> Iterator[None]:
    """What a test left open is told as its own fault, not as that of whoever runs when it is collected."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def cluster() -> Iterator[ApacheKafka]:
    missing = apache.available()
    if missing and not os.environ.get("CI"):
        pytest.skip(f"Apache Kafka cannot be started: {missing}")
    with ApacheKafka(brokers=BROKERS, settings=CLUSTER, quick=True) as server:
        yield server


@pytest.fixture
async def sender(cluster: ApacheKafka) -> AsyncIterator[KafkaSender]:
    sender = KafkaSender(cluster.bootstrap, linger_ms=5, send_s=5.0)
    await sender.start()
    yield sender
    await sender.stop()


@pytest.fixture
async def topic(cluster: ApacheKafka, sender: KafkaSender, new_name: Callable[[str], str]) -> TestTopic:
    """An empty topic of eight partitions."""
    name = new_name("chaos")
    specs = [TopicSpec(name, PARTITIONS, replication=BROKERS), TopicSpec(f"{name}.dead", 1, replication=BROKERS)]
    await ensure_topics(cluster.bootstrap, specs)
    return TestTopic(cluster.bootstrap, name, sender)


@pytest.fixture
async def fleet(topic: TestTopic, redis_server: EmbeddedRedis, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(topic, redis_server.url, tmp_path) as fleet:
        yield fleet


@pytest.fixture
async def static_fleet(topic: TestTopic, redis_server: EmbeddedRedis, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(topic, redis_server.url, tmp_path, static=True, session_s=LONG_SESSION_S) as fleet:
        yield fleet
