"""The engine on real servers: two members of a group, one that goes away, and a Redis that forgets."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from engine import (
    Aggregate,
    Cell,
    Counts,
    Dead,
    Effect,
    Engine,
    EngineConfig,
    Event,
    Message,
    Period,
    StateReader,
    Totals,
    identity_of,
)
from engine.adapters.kafka import KafkaLog, KafkaSender, LogReader
from engine.adapters.kafka_topics import TopicSpec, ensure_topics
from engine.adapters.redis import RedisServer

PARTITIONS = 4
KEYS = 40
EVENTS = 3_000
HOUR_S = 1_800_000_000
PERIOD = Period.of(HOUR_S, HOUR_S + 86_400, keep=True, watched=True)
ALERT_AT = 300
SETTLED_S = 60.0


class WallClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Sums:
    """`identity number` is the value of an event; one effect where a total reaches ALERT_AT."""

    def __init__(self, alerts: str) -> None:
        self._alerts = alerts

    def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts | Dead]:
        answers: list[Counts | Dead] = []
        for event in events:
            identity, number = (event.value or b"").split()
            if number == b"x":
                answers.append(Dead("not a number"))
                continue
            cell = Cell.of(Aggregate.SUM, HOUR_S, b"s")
            answers.append(Counts(identity_of(b"", key, b"", identity), ((cell, int(number)),), PERIOD))
        return answers

    def react(self, totals: Totals) -> list[Effect]:
        total = sum(reading.number for reading in totals.values.values())
        return [Effect(b"full", Message(self._alerts, totals.key, b"full"))] if total >= ALERT_AT else []


class World:
    """Servers, topics and members of one test, and what the state must hold."""

    def __init__(self, kafka: str, redis_url: str, name: str) -> None:
        self.kafka, self.redis_url, self.topic = kafka, redis_url, name
        self.config = EngineConfig(
            topic=name, group=name, buckets=8, session_s=6.0, rebalance_s=12.0, drain_s=3.0, commit_interval_s=0.3,
            idle_write_s=0.5,
        )  # fmt: skip
        self.expected: dict[bytes, int] = defaultdict(int)
        self.warnings: list[str] = []
        self.server = RedisServer(redis_url)
        self.sender = KafkaSender(kafka, idempotent=False)
        self.reader = StateReader(self.server, group=name, buckets=8)

    def engine(self, name: str) -> Engine:
        return Engine(
            self.config,
            log=KafkaLog(self.kafka, topic=self.topic, group=self.topic, session_s=6.0, rebalance_s=12.0),
            sender=self.sender,
            clock=WallClock(),
            processor=Sums(f"{self.topic}-alerts"),
            state=self.server,
            name=name,
            warn=self.warnings.append,
        )

    async def produce(self, first: int, last: int) -> None:
        messages = []
        for number in range(first, last):
            key = b"key-%d" % (number * 7 % KEYS)
            messages.append(Message(self.topic, key, b"%d %d" % (number, number % 10)))
            self.expected[key] += number % 10
            if number % 20 == 0:
                messages.append(messages[-1])
            if number % 500 == 0:
                messages.append(Message(self.topic, key, b"%d x" % number))
        await self.sender.send(messages)

    async def sums(self) -> dict[bytes, int]:
        found = {}
        for key in self.expected:
            account = await self.reader.account(key, PERIOD.start_s, PERIOD.end_s)
            found[key] = sum(reading.number for reading in account.cells.values())
            in_total = account.total.values.values() if account.total else ()
            assert sum(reading.number for reading in in_total) == found[key], "a total is not the sum of its cells"
        return found

    async def until_equal(self) -> None:
        try:
            async with asyncio.timeout(SETTLED_S):
                while await self.sums() != self.expected:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        except TimeoutError:
            found = await self.sums()
            wrong = {key: (found[key], wanted) for key, wanted in self.expected.items() if found[key] != wanted}
            pytest.fail(
                f"after {SETTLED_S} s {len(wrong)} sums differ: {dict(list(wrong.items())[:3])} {self.warnings}"
            )

    async def letters(self, topic: str) -> list[Any]:
        """All events of a topic of one partition."""
        found: list[Any] = []
        reader = LogReader(self.kafka, topic=topic)
        await reader.start()
        reader.seek(0, 0)
        for _ in range(10):
            found += (await reader.fetch(wait_s=0.2)).get(0, [])
        await reader.stop()
        return found


@asynccontextmanager
async def world(kafka: str, redis_url: str, name: str) -> Any:
    made = World(kafka, redis_url, name)
    specs = [TopicSpec(name, PARTITIONS), TopicSpec(f"{name}.dead", 1), TopicSpec(f"{name}-alerts", 1)]
    await ensure_topics(kafka, specs)
    await made.sender.start()
    try:
        yield made
    finally:
        await made.sender.stop()
        await made.server.close()


@pytest.mark.timeout(240)
async def test_members_come_and_go_and_every_event_counts_once(
    kafka: str, redis_url: str, new_name: Callable[[str], str]
) -> None:
    async with world(kafka, redis_url, new_name("usage")) as made:
        await made.produce(0, EVENTS // 2)
        first, second = made.engine("first"), made.engine("second")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(first.run())
            running = tasks.create_task(second.run())
            await asyncio.sleep(2)
            await made.produce(EVENTS // 2, EVENTS)
            second.stop()
            await running
            await made.until_equal()
            await asyncio.sleep(1.0)
            first.stop()
        progress = await made.reader.progress(PARTITIONS)
        counters = [sum(each.counters[index] for each in progress) for index in range(4)]
        assert counters == [EVENTS, 0, EVENTS // 20, EVENTS // 500]
        assert len(await made.letters(f"{made.topic}.dead")) == EVENTS // 500
        due = {key for key, total in made.expected.items() if total >= ALERT_AT}
        assert due
        assert {letter.key for letter in await made.letters(f"{made.topic}-alerts")} == due


@pytest.mark.timeout(240)
async def test_a_redis_that_forgets_everything_is_noticed_and_counted_again(
    kafka: str, redis_url: str, new_name: Callable[[str], str]
) -> None:
    async with world(kafka, redis_url, new_name("forgets")) as made:
        engine = made.engine("only")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(engine.run())
            await made.produce(0, EVENTS // 2)
            await made.until_equal()
            async with Redis.from_url(redis_url) as redis:
                await redis.flushall()
            await made.until_equal()
            await made.produce(EVENTS // 2, EVENTS)
            await made.until_equal()
            assert engine.statistics().counters.refused["rollback"] >= 1
            engine.stop()


@pytest.mark.timeout(240)
async def test_two_groups_on_one_redis_never_meet(kafka: str, redis_url: str, new_name: Callable[[str], str]) -> None:
    """Trap 32: the same topic, keys with braces, two groups."""
    async with world(kafka, redis_url, new_name("shared")) as made:
        await made.produce(0, 200)
        other = EngineConfig(topic=made.topic, group="{other}", buckets=4, session_s=6.0, rebalance_s=12.0, drain_s=3.0)
        engines = [made.engine("one")]
        engines.append(
            Engine(
                other,
                log=KafkaLog(kafka, topic=made.topic, group="{other}", session_s=6.0, rebalance_s=12.0),
                sender=made.sender,
                clock=WallClock(),
                processor=Sums(f"{made.topic}-alerts"),
                state=made.server,
            )
        )
        async with asyncio.TaskGroup() as tasks:
            for engine in engines:
                tasks.create_task(engine.run())
            await made.until_equal()
            made.reader = StateReader(made.server, group="{other}", buckets=4)
            await made.until_equal()
            for engine in engines:
                engine.stop()
