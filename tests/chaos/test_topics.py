"""What happens to a topic while it is read: partitions are added, transactions abort, compaction and deletion cut."""

import asyncio
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete

from engine import Message
from engine.adapters import kafka_member
from engine.adapters.kafka import KafkaSender, TopicSpec, add_partitions, ensure_topics
from engine.adapters.kafka_topics import admin
from engine.embedded.apache import ApacheKafka
from engine.embedded.redis import EmbeddedRedis
from tests.chaos.handling import Handled, handling
from tests.chaos.topic import TestTopic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Names = Callable[[str], str]


@pytest.fixture(autouse=True)
def _new_partitions_are_seen_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_member, "METADATA_MAX_AGE_MS", 500)


async def new_topic(
    cluster: ApacheKafka, sender: KafkaSender, name: str, partitions: int, settings: dict[str, str] | None = None
) -> TestTopic:
    await ensure_topics(cluster.bootstrap, [TopicSpec(name, partitions, replication=3, settings=settings or {})])
    return TestTopic(cluster.bootstrap, name, sender)


async def test_partitions_are_added_while_it_is_produced_to(
    cluster: ApacheKafka, sender: KafkaSender, new_name: Names
) -> None:
    """Events go to the new partitions before anybody reads them; none of these is skipped."""
    topic = await new_topic(cluster, sender, new_name("grows"), 2)
    async with handling(topic, sender, topic.name) as handled, asyncio.TaskGroup() as tasks:
        load = tasks.create_task(topic.produce_forever(300))
        await handled.until(lambda: len(handled.values) > 100)
        await add_partitions(cluster.bootstrap, topic.name, 5)
        fresh = KafkaSender(cluster.bootstrap)
        await fresh.start()
        beyond = [Message(topic.name, b"late-%d" % number, b"%d 1" % number) for number in range(200)]
        await fresh.send(beyond)
        await fresh.stop()
        await handled.until(lambda: len(handled.rounds[-1]) == 5)
        await topic.produce(100)
        load.cancel()
        await asyncio.wait([load])
        events = await handled.check(topic, topic.name)
    assert {event.partition for event in events} == set(range(5))


async def test_aborted_transactions_are_never_handled_and_hold_nothing_back(
    cluster: ApacheKafka, sender: KafkaSender, new_name: Names
) -> None:
    """Trap 1: the watermark crosses them, and a tail of nothing but aborted events ends at lag 0."""
    topic = await new_topic(cluster, sender, new_name("aborts"), 2)
    producer = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id=new_name("producer"))
    await producer.start()
    try:
        async with handling(topic, sender, topic.name) as handled:
            for number in range(12):
                await producer.begin_transaction()
                kept = number % 3 == 0
                for each in range(10):
                    value = b"%s %d" % (b"kept" if kept else b"aborted", 10 * number + each)
                    await producer.send(topic.name, value, b"k%d" % (each % 4), partition=each % 2)
                await producer.flush()
                await (producer.commit_transaction() if kept else producer.abort_transaction())
            events = await handled.check(topic, topic.name)
    finally:
        await producer.stop()
    assert len(events) == 40
    assert {value.split()[0] for value in handled.values if value} == {b"kept"}


async def test_an_open_transaction_holds_back_only_what_is_behind_it(
    cluster: ApacheKafka, sender: KafkaSender, new_name: Names
) -> None:
    """And is no reason to take the consumer for hanging."""
    topic = await new_topic(cluster, sender, new_name("open"), 1)
    producer = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id=new_name("producer"))
    await producer.start()
    try:
        async with handling(topic, sender, topic.name, stall_s=0.5) as handled:
            await topic.produce(50)
            await producer.begin_transaction()
            await producer.send_and_wait(topic.name, b"open 1", partition=0)
            await topic.produce(50)
            await handled.until(lambda: len(handled.values) == 50)
            await asyncio.sleep(1.5)
            assert len(handled.values) == 50
            await producer.commit_transaction()
            assert len(await handled.check(topic, topic.name)) == 101
    finally:
        await producer.stop()
    assert len(handled.rounds) == 1, "nobody was rebuilt"


async def test_gaps_that_compaction_made_are_crossed(
    cluster: ApacheKafka, sender: KafkaSender, new_name: Names
) -> None:
    """For handlers without state: each sees what is left."""
    settings = {
        "cleanup.policy": "compact",
        "segment.ms": "200",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "200",
    }
    topic = await new_topic(cluster, sender, new_name("compacted"), 1, settings)
    async with asyncio.timeout(60):
        while True:
            await topic.produce(60)
            events = await topic.read()
            if len(events) < topic.produced // 2 and events[-1].offset > len(events) + 100:
                break
            await asyncio.sleep(0.3)
    async with handling(topic, sender, topic.name) as handled:
        await topic.until_settled(topic.name)
        seen = [int((value or b"").split()[0]) for value in handled.values]
    assert handled.guarantees.key_order.faults == handled.guarantees.one_at_a_time.faults == []
    events = await topic.read()
    last = {event.key: event.offset for event in events}
    assert handled.guarantees.at_least_once.missing((0, offset) for offset in last.values()) == []
    assert len(seen) < topic.produced


async def test_a_topic_that_was_created_again_halts_what_has_state(
    cluster: ApacheKafka, sender: KafkaSender, new_name: Names, redis_server: EmbeddedRedis
) -> None:
    """Trap 8. A plain handler has no state but its commits, and the broker deletes them: to it the topic is new."""
    topic = await new_topic(cluster, sender, new_name("again"), 1)
    plain, stateful = f"{topic.name}-plain", f"{topic.name}-stateful"
    async with (
        handling(topic, sender, plain) as handled,
        handling(topic, sender, stateful, redis_url=redis_server.url) as halted,
    ):
        await topic.produce(200)
        await topic.until_settled(plain, stateful)
        async with admin(cluster.bootstrap) as client:
            await client.delete_topics([topic.name])
        await _until_gone(cluster, topic.name)
        await new_topic(cluster, sender, topic.name, 1)
        fresh = KafkaSender(cluster.bootstrap)
        await fresh.start()
        values = [b"%d 1" % number for number in range(50)]
        await fresh.send([Message(topic.name, b"k", value) for value in values])
        await fresh.stop()
        await halted.until(lambda: _state(halted) == "halted")
        await handled.until(lambda: len(handled.values) >= 250)
    assert "the state holds events up to offset 200, but the log ends at" in halted.warnings[-1]
    assert "created again" in halted.warnings[-1]
    assert handled.values[200:] == values


async def test_a_log_that_was_cut_past_what_is_committed_halts_its_partition(
    cluster: ApacheKafka, sender: KafkaSender, new_name: Names
) -> None:
    topic = await new_topic(cluster, sender, new_name("cut"), 1)
    async with handling(topic, sender, topic.name):
        await topic.produce(100)
        await topic.until_settled(topic.name)
    await topic.produce(100)
    async with admin(cluster.bootstrap) as client:
        await client.delete_records({TopicPartition(topic.name, 0): RecordsToDelete(before_offset=150)})
    async with handling(topic, sender, topic.name) as handled:
        await handled.until(lambda: _state(handled) == "halted")
    assert handled.values == []
    assert "events from offset 100 were not handled, but the log begins at 150" in handled.warnings[-1]


def _state(handled: Handled) -> str:
    assert handled.engine is not None
    return " ".join(partition.state for partition in handled.engine.statistics().partitions)


async def _until_gone(cluster: ApacheKafka, topic: str) -> None:
    async with asyncio.timeout(30), admin(cluster.bootstrap) as client:
        while topic in await client.list_topics():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
