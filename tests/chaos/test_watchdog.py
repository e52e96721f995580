"""A consumer that hangs is replaced: whatever hangs inside it, and whether or not it has partitions."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from engine import Message
from engine.adapters import kafka_member
from engine.adapters.kafka import KafkaSender, LogReader, TopicSpec, ensure_topics
from engine.embedded.apache import ApacheKafka
from tests.chaos.handling import Handled, handling
from tests.chaos.topic import TestTopic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

STALL_S = 1.0


@pytest.fixture
async def topic(cluster: ApacheKafka, sender: KafkaSender, new_name: Callable[[str], str]) -> TestTopic:
    name = new_name("hangs")
    await ensure_topics(cluster.bootstrap, [TopicSpec(name, 2, replication=3)])
    return TestTopic(cluster.bootstrap, name, sender)


def consumer_of(handled: Handled) -> Any:
    assert handled.log is not None
    return handled.log._running()._consumer


async def _for_ever(*_: object) -> bool:
    with contextlib.suppress(asyncio.CancelledError):  # as aiokafka's own does
        await asyncio.Event().wait()
    return False


async def wedge_fetches(consumer: Any) -> None:
    """Each fetch is sent and never comes back."""
    consumer._fetcher._proc_fetch_request = _for_ever
    await asyncio.sleep(0.2)  # the one that is under way


async def end_the_fetching_task(consumer: Any) -> None:
    consumer._fetcher._fetch_task.cancel()


async def test_idle_partitions_are_left_alone(topic: TestTopic, sender: KafkaSender) -> None:
    async with handling(topic, sender, topic.name, stall_s=0.2) as handled:
        await topic.produce(50)
        await topic.until_settled(topic.name)
        await asyncio.sleep(1.0)
        await topic.produce(50)
        assert len(await handled.check(topic, topic.name)) == 100
    assert len(handled.rounds) == 1


async def break_the_coordination(consumer: Any) -> None:
    """Its task ends with an error at the next rebalance, when there are no partitions to fetch."""
    consumer._coordinator.ensure_active_group = None
    consumer._coordinator.request_rejoin()


@pytest.mark.parametrize("hang", [wedge_fetches, end_the_fetching_task, break_the_coordination])
async def test_a_consumer_that_delivers_nothing_more_is_replaced(
    hang: Callable[[Any], Awaitable[None]], topic: TestTopic, sender: KafkaSender
) -> None:
    """What was handled is committed before the old one leaves, so nothing is handled twice."""
    async with handling(topic, sender, topic.name, stall_s=STALL_S) as handled:
        await topic.produce(100)
        await topic.until_settled(topic.name)
        await hang(consumer_of(handled))
        await topic.produce(100)
        await handled.until(lambda: len(handled.rounds) == 2)
        assert len(await handled.check(topic, topic.name)) == 200
    assert len(handled.rounds) == 2
    assert handled.guarantees.at_least_once.repeats == 0


async def test_servers_that_are_away_meanwhile_are_asked_again_by_each_fetch(
    topic: TestTopic, sender: KafkaSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No fetch waits for them without end: a stop waits for the fetch that is under way."""
    join, refused = kafka_member.Member.join, iter(range(3))

    async def join_later(member: kafka_member.Member) -> None:
        if next(refused, None) is not None:
            await member.leave()
            raise KafkaConnectionError("nobody listens")
        await join(member)

    async with handling(topic, sender, topic.name) as handled:
        await topic.produce(100)
        await topic.until_settled(topic.name)
        monkeypatch.setattr(kafka_member.Member, "join", join_later)
        await end_the_fetching_task(consumer_of(handled))
        await handled.until(lambda: len(handled.rounds) == 2)
        await topic.produce(100)
        assert len(await handled.check(topic, topic.name)) == 200
    assert next(refused, None) is None, "it was asked at least three times in vain"
    assert any("nobody listens" in text for text in handled.warnings)
    assert len(handled.rounds) == 2


async def test_a_member_that_never_gets_its_assignment_is_replaced(
    topic: TestTopic, sender: KafkaSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its partitions are gone, so nobody fetches: it is looked at all the same."""
    monkeypatch.setattr(kafka_member, "ANSWER_S", 1.0)
    async with handling(topic, sender, topic.name, joining_max_s=2.0) as handled:
        await topic.produce(100)
        await topic.until_settled(topic.name)
        coordinator = consumer_of(handled)._coordinator
        coordinator._do_rejoin_group = lambda *_: asyncio.Event().wait()
        coordinator.request_rejoin()
        await topic.produce(100)
        assert len(await handled.check(topic, topic.name)) == 200
    assert len(handled.rounds) >= 2


async def test_a_reader_that_hangs_goes_on_where_it_was(topic: TestTopic, sender: KafkaSender) -> None:
    reader = LogReader(topic.kafka, topic=topic.name, partitions=[0], stall_s=STALL_S)
    await reader.start()
    try:
        reader.seek(0, 0)
        key = await _key_of_partition_0(topic, sender, reader)
        await wedge_fetches(reader._consumer)
        await sender.send([Message(topic.name, key, b"%d" % number) for number in range(20)])
        values: list[bytes | None] = []
        async with asyncio.timeout(20):
            while len(values) < 20:
                values += [event.value for event in (await reader.fetch(wait_s=0.1)).get(0, ())]
        assert values == [b"%d" % number for number in range(20)]
    finally:
        await reader.stop()


async def _key_of_partition_0(topic: TestTopic, sender: KafkaSender, reader: LogReader) -> bytes:
    """Of a key that goes there, with nothing left to read."""
    await sender.send([Message(topic.name, b"k%d" % number, b"first") for number in range(10)])
    async with asyncio.timeout(10):
        while not (found := (await reader.fetch(wait_s=0.1)).get(0, ())):
            pass
        while not await reader.at_end(0):
            found = (await reader.fetch(wait_s=0.1)).get(0, found)
    return found[0].key or b""
