"""The adapter of Kafka on real brokers: groups, commits, gaps, outages, topics, and what a broker can do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import CorruptRecordException

from engine.adapters import kafka_fetch, kafka_member, kafka_reader, kafka_records
from engine.adapters.kafka import (
    KafkaLog,
    KafkaSender,
    LogReader,
    TopicSpec,
    add_partitions,
    ensure_topics,
    probe,
)
from engine.adapters.kafka_records import Record
from engine.embedded.apache import ApacheKafka
from engine.embedded.broker import EmbeddedBroker
from engine.errors import ConfigError, Unanswered, Unsendable
from engine.event import Event, Message
from engine.ports import Committed, OffsetOutOfRange

SESSION_S = 6.0
Names = Callable[[str], str]


class Told:
    """A listener that seeks every partition to its start, and keeps what it was told."""

    def __init__(self, log: KafkaLog, story: list[tuple[str, str, list[int]]] | None = None, name: str = "") -> None:
        self._log = log
        self._name = name
        self.story = [] if story is None else story
        self.partitions: frozenset[int] = frozenset()
        self.rounds = 0
        self.changed = asyncio.Condition()
        self.on_revoked: Callable[[], Any] | None = None
        self.assigned_takes_s = 0.0

    async def revoked(self, partitions: frozenset[int]) -> None:
        if self.on_revoked is not None:
            await self.on_revoked()
        self.story.append((self._name, "revoked", sorted(partitions)))
        self.partitions = frozenset()

    async def assigned(self, partitions: frozenset[int]) -> None:
        await asyncio.sleep(self.assigned_takes_s)
        for partition in partitions:
            await self._log.seek(partition, 0)
        self.story.append((self._name, "assigned", sorted(partitions)))
        self.partitions = partitions
        self.rounds += 1
        async with self.changed:
            self.changed.notify_all()

    async def until(self, what: Callable[[], bool], within_s: float = 60.0) -> None:
        async with asyncio.timeout(within_s), self.changed:
            await self.changed.wait_for(what)

    async def until_owner_of(self, count: int) -> None:
        await self.until(lambda: len(self.partitions) == count)


@asynccontextmanager
async def member(
    kafka: str, topic: str, group: str, *, story: list[tuple[str, str, list[int]]] | None = None, **options: Any
) -> AsyncIterator[tuple[KafkaLog, Told]]:
    log = KafkaLog(kafka, topic=topic, group=group, session_s=SESSION_S, rebalance_s=10.0, **options)
    told = Told(log, story, options.get("client_id", ""))
    await log.start(told)
    try:
        yield log, told
    finally:
        await log.stop()


@asynccontextmanager
async def sender(kafka: str, **options: Any) -> AsyncIterator[KafkaSender]:
    sender = KafkaSender(kafka, **({"idempotent": False, "linger_ms": 5} | options))
    await sender.start()
    try:
        yield sender
    finally:
        await sender.stop()


@asynccontextmanager
async def reader(kafka: str, topic: str, **options: Any) -> AsyncIterator[LogReader]:
    reader = LogReader(kafka, topic=topic, **options)
    await reader.start()
    try:
        yield reader
    finally:
        await reader.stop()


def messages(topic: str, numbers: Sequence[int]) -> list[Message]:
    return [Message(topic, b"key-%d" % (number % 7), b"%d" % number, (("n", b"%d" % number),)) for number in numbers]


async def fetched(log: KafkaLog | LogReader, partitions: Sequence[int], count: int) -> list[Event]:
    """That many events, or what came within half a minute."""
    events: list[Event] = []
    async with asyncio.timeout(30):
        while len(events) < count:
            for batch in (await log.fetch(partitions, events_max=1_000, wait_s=0.2)).values():
                events.extend(batch)
    return events


@pytest.fixture
async def topic(kafka: str, new_name: Names) -> str:
    name = new_name("topic")
    await ensure_topics(kafka, [TopicSpec(name, 3)])
    return name


async def test_all_that_was_sent_is_fetched_in_order(kafka: str, topic: str, new_name: Names) -> None:
    async with sender(kafka) as out, member(kafka, topic, new_name("group")) as (log, told):
        await out.send(messages(topic, range(500)))
        await told.until_owner_of(3)
        events = await fetched(log, [0, 1, 2], 500)
        assert sorted(int(event.value or b"") for event in events) == list(range(500))
        for partition in range(3):
            offsets = [event.offset for event in events if event.partition == partition]
            assert offsets == list(range(len(offsets)))
            assert log.position(partition) == len(offsets) == await log.end(partition)
            assert log.high_watermark(partition) in {len(offsets), None}
            assert await log.beginning(partition) == 0
        first = events[0]
        assert (first.topic, first.headers) == (topic, (("n", first.value),))
        assert first.timestamp > 1_700_000_000_000
        assert await log.count_partitions() == 3


async def test_keys_go_where_java_sends_them(kafka: str, new_name: Names) -> None:
    """Partitions of ten as `org.apache.kafka.common.utils.Utils.murmur2` of Kafka's own tests gives them."""
    hashes = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    name = new_name("topic")
    await ensure_topics(kafka, [TopicSpec(name, 10)])
    async with sender(kafka) as out, reader(kafka, name) as log:
        await out.send([Message(name, key, b"v") for key in hashes])
        for partition in log.partitions:
            log.seek(partition, 0)
        where = {event.key: event.partition for event in await fetched(log, log.partitions, 3)}
    assert where == {key: (value & 0x7FFFFFFF) % 10 for key, value in hashes.items()}


async def test_only_named_partitions_are_fetched_and_no_more_than_asked(
    kafka: str, topic: str, new_name: Names
) -> None:
    async with sender(kafka) as out, member(kafka, topic, new_name("group")) as (log, told):
        await out.send(messages(topic, range(200)))
        await told.until_owner_of(3)
        assert await log.fetch([], events_max=10, wait_s=0.3) == {}
        found = await log.fetch([1], events_max=10, wait_s=5)
        assert {partition: len(batch) for partition, batch in found.items()} == {1: 10}
        assert [log.position(partition) for partition in range(3)] == [0, 10, 0]
        await log.seek(1, 4)
        again = await log.fetch([1], events_max=2, wait_s=5)
        assert [event.offset for event in again[1]] == [4, 5]


async def test_a_cancelled_fetch_loses_nothing(kafka: str, topic: str, new_name: Names) -> None:
    async with sender(kafka) as out, member(kafka, topic, new_name("group")) as (log, told):
        await told.until_owner_of(3)
        numbers: list[int] = []
        cancelled = 0

        async def fetch_once() -> None:
            for batch in (await log.fetch([0, 1, 2], events_max=7, wait_s=1)).values():
                numbers.extend(int(event.value or b"") for event in batch)

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(_send_slowly(out, topic, rounds=40))
            while len(numbers) < 400:
                task = tasks.create_task(fetch_once())
                await asyncio.sleep(0.001 * (cancelled % 20))
                cancelled += task.cancel()
                await asyncio.wait([task])
    assert sorted(numbers) == list(range(400))
    assert cancelled, "no fetch was under way when it was cancelled"


async def _send_slowly(out: KafkaSender, topic: str, rounds: int) -> None:
    for number in range(rounds):
        await out.send(messages(topic, range(number * 10, number * 10 + 10)))


async def test_an_error_while_decoding_loses_nothing(
    kafka: str, topic: str, new_name: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {5, 30}

    def fail_once(topic: str, partition: int, offset: int, *content: Any) -> Record:
        if offset in broken:
            broken.remove(offset)
            raise CorruptRecordException("bits fell over")
        return Record(topic, partition, offset, *content)

    monkeypatch.setattr(kafka_records, "Record", fail_once)
    async with sender(kafka) as out, member(kafka, topic, new_name("group")) as (log, told):
        await out.send(messages(topic, range(300)))
        await told.until_owner_of(3)
        events: list[Event] = []
        failures: list[str] = []
        async with asyncio.timeout(30):
            while len(events) < 300:
                try:
                    found = await log.fetch([0, 1, 2], events_max=1_000, wait_s=0.2)
                except Unanswered as error:
                    failures.append(str(error))
                    continue
                for batch in found.values():
                    events.extend(batch)
    assert sorted(int(event.value or b"") for event in events) == list(range(300))
    assert not broken
    assert failures
    assert all("bits fell over" in failure for failure in failures)


async def test_a_position_outside_the_log_is_named(
    kafka: str, topic: str, new_name: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_fetch, "BEYOND_END_S", 0.3)
    async with sender(kafka) as out, member(kafka, topic, new_name("group")) as (log, told):
        await out.send(messages(topic, range(100)))
        await told.until_owner_of(3)
        await log.seek(2, 1_000_000)
        assert await log.end(2) < 1_000_000
        with pytest.raises(OffsetOutOfRange) as caught:
            await fetched(log, [2], 1)
        assert (caught.value.partition, caught.value.offset) == (2, 1_000_000)
        await log.seek(2, 0)
        assert await fetched(log, [2], 1)


async def test_what_was_committed_comes_back(kafka: str, topic: str, new_name: Names) -> None:
    capabilities = await probe(kafka)
    group = new_name("group")
    async with member(kafka, topic, group) as (log, told):
        assert await log.commit({0: Committed(5, "")}) is False, "no partition is ours yet"
        await told.until_owner_of(3)
        assert await log.committed(0) is None
        assert await log.commit({0: Committed(5, "five"), 1: Committed(7, "")}) is True
        assert await log.committed(0) == Committed(5, "five" if capabilities.commit_metadata else "")
        assert await log.committed(1) == Committed(7, "")
        assert await log.committed(2) is None
        assert await log.confirm_ownership(0) is True
        assert await log.confirm_ownership(3) is False
        assert await log.commit({3: Committed(1, "")}) is False


@pytest.mark.slow
async def test_two_members_share_and_nothing_is_owned_twice(kafka: str, topic: str, new_name: Names) -> None:
    story: list[tuple[str, str, list[int]]] = []
    group = new_name("group")
    async with sender(kafka) as out, member(kafka, topic, group, story=story, client_id="a") as (first, told_first):
        await told_first.until_owner_of(3)
        committed: list[bool] = []

        async def commit_at_the_last_moment() -> None:
            committed.append(await first.commit({0: Committed(3, "")}))

        told_first.on_revoked = commit_at_the_last_moment
        async with member(kafka, topic, group, story=story, client_id="b") as (second, told_second):
            await told_second.until(lambda: 0 < len(told_second.partitions) < 3)
            await told_first.until(lambda: 0 < len(told_first.partitions) < 3)
            assert told_first.partitions | told_second.partitions == {0, 1, 2}
            assert not told_first.partitions & told_second.partitions
            revoked = story.index(("a", "revoked", [0, 1, 2]))
            first_of_second = next(index for index, (name, _, owned) in enumerate(story) if name == "b" and owned)
            assert revoked < first_of_second
            assert committed == [True]
            lost = min(told_second.partitions)
            assert await first.confirm_ownership(lost) is False
            assert await second.confirm_ownership(lost) is True
            assert await first.commit({lost: Committed(9, "")}) is False
            assert await second.committed(0) == Committed(3, "")
            await out.send(messages(topic, range(100)))
            owned = sorted(told_first.partitions), sorted(told_second.partitions)
            assert {event.partition for event in await fetched(first, owned[0], 1)} <= told_first.partitions
            assert {event.partition for event in await fetched(second, owned[1], 1)} <= told_second.partitions
        told_first.on_revoked = None
        await told_first.until_owner_of(3)


@pytest.mark.slow
async def test_a_zombie_is_refused(kafka: str, topic: str, new_name: Names) -> None:
    """It sent no heartbeats for a session and does not know it: its own assignment still names the partition."""
    group = new_name("group")
    async with member(kafka, topic, group) as (log, told):
        await told.until_owner_of(3)
        coordinator = log._running()._consumer._coordinator
        await coordinator._stop_heartbeat_task()
        async with member(kafka, topic, group) as (_, told_other):
            await told_other.until_owner_of(3)
            assert told.partitions == {0, 1, 2}
            assert await log.confirm_ownership(0) is False
            assert await log.commit({0: Committed(99, "")}) is False
            assert await told_other._log.commit({0: Committed(1, "")}) in {True, False}
            assert (await told_other._log.committed(0)) != Committed(99, "")


@pytest.mark.slow
async def test_no_commit_between_two_generations(kafka: str, topic: str, new_name: Names) -> None:
    """aiokafka would stamp it as a commit by nobody, which a broker takes where the group is empty."""
    async with member(kafka, topic, new_name("group")) as (log, told):
        await told.until_owner_of(3)
        coordinator = log._running()._consumer._coordinator
        coordinator.reset_generation()
        assert await log.commit({0: Committed(5, "")}) is False
        assert await log.confirm_ownership(0) is False
        await told.until(lambda: told.rounds == 2)
        assert await log.commit({0: Committed(5, "")}) is True


@pytest.mark.slow
async def test_a_rebuilt_log_goes_on(kafka: str, topic: str, new_name: Names) -> None:
    async with sender(kafka) as out, member(kafka, topic, new_name("group")) as (log, told):
        await out.send(messages(topic, range(100)))
        await told.until_owner_of(3)
        await fetched(log, [0, 1, 2], 100)
        await log.rebuild()
        await told.until(lambda: told.rounds == 2)
        assert [what for _, what, _ in told.story] == ["assigned", "revoked", "assigned"]
        assert len(await fetched(log, [0, 1, 2], 100)) == 100


@pytest.mark.slow
async def test_a_log_whose_inside_has_ended_rebuilds_itself(kafka: str, topic: str, new_name: Names) -> None:
    async with sender(kafka) as out, member(kafka, topic, new_name("group")) as (log, told):
        await out.send(messages(topic, range(100)))
        await told.until_owner_of(3)
        fetcher = log._running()._consumer._fetcher
        fetcher._fetch_task.cancel()
        await asyncio.wait([fetcher._fetch_task])
        assert await log.fetch([0, 1, 2], events_max=10, wait_s=0.1) == {}
        await told.until(lambda: told.rounds == 2)
        assert len(await fetched(log, [0, 1, 2], 100)) == 100


async def test_a_reader_whose_inside_has_ended_goes_on(kafka: str, topic: str) -> None:
    async with sender(kafka) as out, reader(kafka, topic) as log:
        await out.send(messages(topic, range(100)))
        log.seek(1, 3)
        await log.fetch([1], events_max=2, wait_s=5)
        assert log._consumer is not None
        log._consumer._fetcher._fetch_task.cancel()
        await asyncio.wait([log._consumer._fetcher._fetch_task])
        found = await log.fetch([1], events_max=1, wait_s=5)
        assert [event.offset for event in found[1]] == [5]
        with pytest.raises(LookupError):
            log.position(0)


async def test_starts_wait_for_servers_and_say_so() -> None:
    said: list[str] = []
    nowhere = "127.0.0.1:1"
    log = KafkaLog(nowhere, topic="t", group="g", waiting=said.append)
    out = KafkaSender(nowhere, waiting=said.append)
    tail = LogReader(nowhere, topic="t", waiting=said.append)
    starts = [
        log.start(Told(log)),
        out.start(),
        tail.start(),
        ensure_topics(nowhere, [TopicSpec("t", 1)], waiting=said.append),
        probe(nowhere, waiting=said.append),
    ]
    for start in starts:
        said.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await start
        assert len(said) > 1
        assert all(f"{nowhere}: " in text and "Connect call failed" in text for text in said)
    assert await log.fetch([0], events_max=1, wait_s=0.01) == {}
    assert await log.commit({0: Committed(1, "")}) is False
    with pytest.raises(Unanswered, match="not a member"):
        await log.end(0)
    with pytest.raises(Unanswered, match="not started"):
        await out.send([Message("t", None, b"")])
    await log.stop()
    await out.stop()
    await tail.stop()


async def test_what_can_never_be_sent_says_so(kafka: str, topic: str) -> None:
    async with sender(kafka) as out, reader(kafka, topic) as log:
        with pytest.raises(Unsendable, match=r"(?i)larger"):
            await out.send([Message(topic, b"k", b"first"), Message(topic, b"k", bytes(2 * 1024 * 1024))])
        await out.send([])
        await out.send([Message(topic, None, None)])
        await out.send([Message(topic, b"k", b"second")])
        for partition in log.partitions:
            log.seek(partition, 0)
        values = [event.value for event in await fetched(log, log.partitions, 2)]
        assert {b"", b"second"} <= set(values)


async def test_what_the_broker_refuses_for_good_says_so(kafka_apache: str, new_name: Names) -> None:
    name = new_name("topic")
    await ensure_topics(kafka_apache, [TopicSpec(name, 1, settings={"max.message.bytes": "1000"})])
    async with sender(kafka_apache, idempotent=True) as out:
        with pytest.raises(Unsendable, match=r"(?i)size"):
            await out.send([Message(name, b"k", bytes(10_000))])
        await out.send([Message(name, b"k", b"v")])


async def test_topics_are_made_once_and_left_alone(kafka: str, new_name: Names) -> None:
    name, other = new_name("topic"), new_name("topic")
    wanted = TopicSpec(name, 3, settings={"retention.ms": "86400000", "cleanup.policy": "delete"})
    made = (await ensure_topics(kafka, [wanted]))[name]
    assert (made.partitions, made.created, made.retention_ms, made.compacted) == (3, True, 86_400_000, False)
    changed = TopicSpec(name, 5, settings={"retention.ms": "1", "cleanup.policy": "compact"})
    topics = await ensure_topics(kafka, [changed, TopicSpec(other, 1, settings={"cleanup.policy": "compact"})])
    assert (topics[name].partitions, topics[name].created, topics[name].retention_ms) == (3, False, 86_400_000)
    assert not topics[name].compacted
    assert (topics[other].created, topics[other].compacted) == (True, True)


async def test_topics_that_cannot_be_made_are_all_named(kafka_apache: str, new_name: Names) -> None:
    first, second = new_name("topic"), new_name("topic")
    specs = [TopicSpec(first, 1, settings={"no.such.setting": "1"}), TopicSpec(second, 1, replication=9)]
    with pytest.raises(ConfigError) as caught:
        await ensure_topics(kafka_apache, specs)
    assert len(caught.value.problems) == 2
    assert first in caught.value.problems[0]
    assert "no.such.setting" in caught.value.problems[0]
    assert second in caught.value.problems[1]


async def test_how_far_arrivals_may_be_off(kafka_apache: str, new_name: Names) -> None:
    stamped, checked = new_name("topic"), new_name("topic")
    limits = {"message.timestamp.before.max.ms": "3600000", "message.timestamp.after.max.ms": "60000"}
    topics = await ensure_topics(
        kafka_apache,
        [
            TopicSpec(stamped, 1, settings={"message.timestamp.type": "LogAppendTime"}),
            TopicSpec(checked, 1, settings=limits),
        ],
    )
    assert topics[stamped].arrivals_bounded_ms == 0
    assert topics[checked].arrivals_bounded_ms == 3_600_000


async def test_added_partitions_are_assigned(
    kafka_apache: str, new_name: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_member, "METADATA_MAX_AGE_MS", 500)
    name = new_name("topic")
    await ensure_topics(kafka_apache, [TopicSpec(name, 1)])
    async with member(kafka_apache, name, new_name("group")) as (log, told):
        await told.until_owner_of(1)
        await add_partitions(kafka_apache, name, 3)
        await told.until_owner_of(3)
        assert await log.count_partitions() == 3
        with pytest.raises(ConfigError):
            await add_partitions(kafka_apache, name, 2)


async def test_a_broker_that_adds_no_partitions_says_so(kafka_embedded: str, new_name: Names) -> None:
    name = new_name("topic")
    await ensure_topics(kafka_embedded, [TopicSpec(name, 1)])
    with pytest.raises(ConfigError, match="CreatePartitions"):
        await add_partitions(kafka_embedded, name, 3)


async def test_capabilities_of_apache_kafka(kafka_apache: str) -> None:
    capabilities = await probe(kafka_apache)
    assert all(getattr(capabilities, name) for name in type(capabilities).__dataclass_fields__)
    assert await probe(kafka_apache) == capabilities


async def test_capabilities_of_the_embedded_broker(kafka_embedded: str) -> None:
    """A limit that is gone one day fails here: then the README's list is out of date."""
    capabilities = await probe(kafka_embedded)
    assert not any(getattr(capabilities, name) for name in type(capabilities).__dataclass_fields__)


async def test_a_reader_knows_the_end_and_reads_ranges(kafka: str, topic: str) -> None:
    async with sender(kafka) as out, reader(kafka, topic, partitions=[0]) as log:
        assert log.partitions == (0,)
        log.seek(0, 0)
        assert await log.at_end(0)
        assert await log.newest(0) is None
        assert await log.offset_at(0, 0) is None
        await out.send([Message(topic, b"key-%d" % number, b"v") for number in range(300)])
        end = await log.end(0)
        log.seek(0, 0)
        assert end > 50
        assert not await log.at_end(0)
        events = [event async for batch in log.read(0, 0, end) for event in batch]
        assert [event.offset for event in events] == list(range(end))
        assert await log.at_end(0)
        assert log.high_watermark(0) == end
        middle = [event.offset async for batch in log.read(0, 5, 25, events_max=10) for event in batch]
        assert middle == list(range(5, 25))
        last = await log.newest(0)
        assert last is not None
        assert last.offset == end - 1
        assert await log.offset_at(0, events[0].timestamp) == 0
        assert await log.offset_at(0, last.timestamp + 60_000) is None


async def test_gaps_of_aborted_transactions_are_crossed(kafka_apache: str, new_name: Names) -> None:
    name = new_name("topic")
    await ensure_topics(kafka_apache, [TopicSpec(name, 1)])
    producer = AIOKafkaProducer(bootstrap_servers=kafka_apache, transactional_id=new_name("producer"))
    await producer.start()
    try:
        for number in range(6):
            await producer.begin_transaction()
            await producer.send_and_wait(name, b"%d" % number, partition=0)
            await (producer.commit_transaction() if number % 3 == 0 else producer.abort_transaction())
    finally:
        await producer.stop()
    async with member(kafka_apache, name, new_name("group")) as (log, told), reader(kafka_apache, name) as tail:
        await told.until_owner_of(1)
        events = await fetched(log, [0], 2)
        assert [(event.offset, event.value) for event in events] == [(0, b"0"), (6, b"3")]
        async with asyncio.timeout(10):
            while log.position(0) < 12:
                assert not await log.fetch([0], events_max=10, wait_s=0.1)
        assert log.position(0) == log.high_watermark(0) == await log.end(0) == 12
        last = await tail.newest(0)
        assert last is not None
        assert last.offset == 6
        assert await tail.at_end(0)


async def test_a_reader_follows_a_topic_that_grows(
    kafka_apache: str, new_name: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_reader, "METADATA_MAX_AGE_MS", 200)
    name = new_name("topic")
    await ensure_topics(kafka_apache, [TopicSpec(name, 1)])
    async with (
        sender(kafka_apache) as out,
        reader(kafka_apache, name) as whole,
        reader(kafka_apache, name, partitions=[0]) as narrow,
    ):
        await out.send(messages(name, range(10)))
        for each in (whole, narrow):
            each.seek(0, 0)
        assert len(await fetched(whole, [0], 10)) == 10
        await add_partitions(kafka_apache, name, 3)
        async with asyncio.timeout(20):
            while whole.partitions == (0,):
                await asyncio.sleep(0.1)
                await whole.follow_growth()
                await narrow.follow_growth()
        assert whole.partitions == (0, 1, 2)
        assert whole.position(0) == 10, "it goes on where it was"
        assert [await whole.end(each) for each in whole.partitions] == [10, 0, 0]
        assert narrow.partitions == (0,), "who asked for some partitions keeps these"


async def test_a_reader_whose_rebuilding_is_given_up_goes_on_with_what_it_has(new_name: Names) -> None:
    name = new_name("topic")
    with EmbeddedBroker() as server:
        await ensure_topics(server.bootstrap, [TopicSpec(name, 1)])
        async with reader(server.bootstrap, name) as tail:
            tail.seek(0, 0)
            server.kill()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await tail.rebuild()
            assert tail.position(0) == 0
            assert await tail.fetch([0], wait_s=0.1) == {}


@pytest.mark.slow
async def test_a_broker_that_dies_and_comes_back(apache_kafka: ApacheKafka, new_name: Names) -> None:
    """Nothing is lost, nothing is called done that is not, and everything goes on by itself.

    `apache_kafka` is only asked for so that the test is skipped, or fails, where Apache Kafka cannot run.
    """
    name, group = new_name("topic"), new_name("group")
    async with ApacheKafka() as server:
        kafka = server.bootstrap
        await ensure_topics(kafka, [TopicSpec(name, 1)])
        async with sender(kafka, idempotent=True, send_s=2.0) as out, member(kafka, name, group) as (log, told):
            await told.until_owner_of(1)
            await out.send(messages(name, range(100)))
            events = await fetched(log, [0], 100)
            assert await log.commit({0: Committed(100, "")}) is True
            await asyncio.to_thread(server.kill)
            with pytest.raises(Unanswered):
                await out.send(messages(name, range(100, 200)))
            with pytest.raises(Unanswered):
                await log.commit({0: Committed(50, "")})
            with pytest.raises(Unanswered):
                await log.committed(0)
            assert await log.fetch([0], events_max=10, wait_s=0.5) == {}
            assert log.position(0) == 100
            await asyncio.to_thread(server.restart)
            await _until_answered(lambda: out.send(messages(name, range(100, 200))))
            async with asyncio.timeout(60):
                while {int(event.value or b"") for event in events} != set(range(200)):
                    events += await fetched_once(log)
            assert [event.offset for event in events] == list(range(len(events)))
            assert await log.confirm_ownership(0) is True
            assert await _until_answered(lambda: log.commit({0: Committed(len(events), "")})) is True


async def fetched_once(log: KafkaLog) -> list[Event]:
    try:
        return list((await log.fetch([0], events_max=1_000, wait_s=0.2)).get(0, ()))
    except Unanswered:
        return []


async def _until_answered(ask: Callable[[], Any]) -> Any:
    async with asyncio.timeout(60):
        while True:
            try:
                return await ask()
            except Unanswered:
                await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_heartbeats_go_on_while_partitions_are_taken_over(kafka_apache: str, new_name: Names) -> None:
    """Longer than the session: without heartbeats the group would have thrown the member out meanwhile."""
    name = new_name("topic")
    await ensure_topics(kafka_apache, [TopicSpec(name, 1)])
    log = KafkaLog(kafka_apache, topic=name, group=new_name("group"), session_s=SESSION_S)
    told = Told(log)
    told.assigned_takes_s = SESSION_S + 2
    await log.start(told)
    try:
        await told.until_owner_of(1)
        assert await log.commit({0: Committed(1, "")}) is True
        assert told.rounds == 1
    finally:
        await log.stop()


@pytest.mark.slow
async def test_a_stop_does_not_wait_for_a_group_that_cannot_agree(
    kafka_apache: str, new_name: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_member, "ANSWER_S", 1.0)
    name, group = new_name("topic"), new_name("group")
    await ensure_topics(kafka_apache, [TopicSpec(name, 1)])
    async with member(kafka_apache, name, group) as (_, told):
        await told.until_owner_of(1)
        released = asyncio.Event()
        told.on_revoked = released.wait
        other = KafkaLog(kafka_apache, topic=name, group=group, session_s=SESSION_S, rebalance_s=30.0)
        await other.start(Told(other))
        await asyncio.sleep(1.0)
        async with asyncio.timeout(5):
            await other.stop()
        released.set()
        told.on_revoked = None


async def test_a_static_member_comes_back_without_a_rebalance(kafka_apache: str, new_name: Names) -> None:
    name, group, instance = new_name("topic"), new_name("group"), new_name("instance")
    await ensure_topics(kafka_apache, [TopicSpec(name, 4)])
    async with member(kafka_apache, name, group) as (_, told):
        await told.until_owner_of(4)
        async with member(kafka_apache, name, group, instance_id=instance) as (_, told_static):
            await told_static.until_owner_of(2)
            owned = told_static.partitions
            await told.until_owner_of(2)
            rounds = told.rounds
        async with member(kafka_apache, name, group, instance_id=instance) as (_, told_static):
            await told_static.until_owner_of(2)
            assert told_static.partitions == owned
            assert told.rounds == rounds
