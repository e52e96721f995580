"""One of three brokers dies and comes back: the one that coordinates the group, and leads a part of the topic."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError

from engine import Unanswered
from engine.adapters.kafka import KafkaSender, TopicSpec, ensure_topics
from engine.embedded.apache import ApacheKafka
from engine.embedded.redis import EmbeddedRedis
from tests.chaos.conftest import BROKERS, PARTITIONS
from tests.chaos.fleet import Fleet
from tests.chaos.topic import TestTopic, coordinator_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NEVER_KILLED = 1
PER_S = 300


async def test_the_broker_that_coordinates_the_group_is_killed_and_comes_back(
    cluster: ApacheKafka,
    sender: KafkaSender,
    redis_server: EmbeddedRedis,
    new_name: Callable[[str], str],
    tmp_path: Path,
) -> None:
    """The group moves to another coordinator, and the events go on while the broker is away."""
    name, node = await _coordinated_elsewhere(cluster, new_name)
    specs = [TopicSpec(each, PARTITIONS, replication=BROKERS) for each in (name, f"{name}.dead")]
    await ensure_topics(cluster.bootstrap, specs)
    topic = TestTopic(cluster.bootstrap, name, sender)
    async with Fleet(topic, redis_server.url, tmp_path) as fleet, asyncio.TaskGroup() as tasks:
        await fleet.start("a", "b")
        load = tasks.create_task(topic.produce_forever(PER_S))
        await fleet.until_shared(PARTITIONS)
        await fleet.until_more_effects(100)
        await asyncio.to_thread(cluster.kill, node)
        try:
            await _until_coordinated_by_another(cluster.bootstrap, fleet.group, node)
            await fleet.until_more_effects(300)
        finally:
            await asyncio.to_thread(cluster.restart, node)
        await fleet.until_more_effects(100)
        await fleet.until_shared(PARTITIONS)
        load.cancel()
        await asyncio.wait([load])
        await fleet.finish()


async def _coordinated_elsewhere(cluster: ApacheKafka, new_name: Callable[[str], str]) -> tuple[str, int]:
    """A topic's name whose group is coordinated by a node that may be killed, and that node."""
    async with asyncio.timeout(30):
        while True:
            name = new_name("moved")
            try:
                node = await coordinator_of(cluster.bootstrap, f"{name}-group")
            except KafkaError:  # the topic of the groups is being made
                await asyncio.sleep(0.2)
                continue
            if node != NEVER_KILLED:
                return name, node


async def _until_coordinated_by_another(kafka: str, group: str, node: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                if await coordinator_of(kafka, group) != node:
                    return
            except (KafkaError, Unanswered):
                pass
            await asyncio.sleep(0.2)
