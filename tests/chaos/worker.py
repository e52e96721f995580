"""A worker of the chaos tests: one process, two engines on one topic, each in a group of its own.

One has a plain handler that appends each event to its lane's chain in Redis and writes a journal; the other a processor
with aggregates. So every fault of a process, a group or a broker meets both kinds.
"""

import logging
import random
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import anyio
import msgspec
from redis.asyncio import Redis

from engine import Aggregate, Cell, Counts, Engine, EngineConfig, Event, Period, identity_of
from engine.adapters import kafka_member
from engine.adapters.kafka import KafkaLog, KafkaSender
from engine.adapters.redis import RedisServer
from engine.ports import RebalanceListener
from engine.testing.guarantees import NO_HASH
from engine.testing.journal import Journal

HOUR_S = 1_800_000_000
PERIOD = Period.of(HOUR_S, HOUR_S + 86_400, keep=True, watched=False)
SUM = Cell.of(Aggregate.SUM, HOUR_S, b"s")
LATEST = Cell.of(Aggregate.LATEST, HOUR_S, b"l")
BUCKETS = 4
APPEND = """
local last, hash = unpack(redis.call('HMGET', KEYS[1], 'offset', 'hash'))
if tonumber(ARGV[1]) <= tonumber(last or '-1') then return 0 end
local link = redis.sha1hex((hash or ARGV[3]) .. ':' .. ARGV[1] .. ':' .. redis.sha1hex(ARGV[2]))
return redis.call('HSET', KEYS[1], 'offset', ARGV[1], 'hash', link)
"""
"""As `HashChain.apply`: atomic, so a zombie's call is a step of the chain or changes nothing."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told, as JSON on its command line."""

    kafka: str
    redis: str
    topic: str
    group: str
    journal: str
    name: str
    instance_id: str | None = None
    session_s: float = 6.0
    handler_s: float = 0.004
    """Mean time that a handler takes."""
    slow: float = 0.02
    """The part of the calls that take `slow_s` instead: longer than it takes to a commit, so that a kill meets some."""
    slow_s: float = 0.8
    failing: float = 0.02
    """The part of the handler's calls that fail, to be tried again."""

    @property
    def aggregates_group(self) -> str:
        return f"{self.group}-aggregates"


class WallClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Assignments(Protocol):
    """Who wants to know what a member is assigned: a journal, for one."""

    def assigned(self, partitions: Iterable[int]) -> None: ...
    def revoked(self, partitions: Iterable[int]) -> None: ...


class Seen:
    """A listener that writes into the journal what the engine behind it is told."""

    def __init__(self, listener: RebalanceListener, journal: Assignments) -> None:
        self._listener = listener
        self._journal = journal

    async def revoked(self, partitions: frozenset[int]) -> None:
        await self._listener.revoked(partitions)
        self._journal.revoked(partitions)

    async def assigned(self, partitions: frozenset[int]) -> None:
        self._journal.assigned(partitions)
        await self._listener.assigned(partitions)


class SeenLog(KafkaLog):
    """A `KafkaLog` whose assignments are in the journal."""

    def __init__(self, journal: Journal, settings: Settings) -> None:
        super().__init__(
            settings.kafka,
            topic=settings.topic,
            group=settings.group,
            session_s=settings.session_s,
            rebalance_s=10.0,
            instance_id=settings.instance_id,
            client_id=settings.name,
        )
        self._journal = journal

    async def start(self, listener: RebalanceListener) -> None:
        await super().start(Seen(listener, self._journal))


class ChainHandler:
    """Called at least once; skips what its lane's chain holds."""

    def __init__(self, settings: Settings, journal: Journal, redis: "Redis") -> None:
        self._settings = settings
        self._journal = journal
        self._append = redis.register_script(APPEND)

    async def __call__(self, event: Event) -> None:
        self._journal.started(event)
        try:
            settings, chance = self._settings, random.random()
            takes_s = settings.slow_s if chance < settings.slow else random.expovariate(1 / settings.handler_s)
            await anyio.sleep(takes_s)
            if random.random() < settings.failing:
                raise ConnectionError("the dependency hiccups")
            key = chain_key(settings.topic, event.partition, event.key or b"")
            await self._append(keys=[key], args=[event.offset, event.value or b"", NO_HASH])
        except BaseException:
            self._journal.failed(event)
            raise
        self._journal.done(event)


class Sums:
    """The value of an event is `identity number`."""

    def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
        answers = []
        for event in events:
            identity, number = (event.value or b"").split()
            adds = ((SUM, int(number)), (LATEST, (int(identity), int(number))))
            answers.append(Counts(identity_of(b"", key, b"", identity), adds, PERIOD))
        return answers


def chain_key(topic: str, partition: int, key: bytes) -> bytes:
    return b"chain:%s:%d:%s" % (topic.encode(), partition, key.hex().encode())


def engine_config(settings: Settings, group: str) -> EngineConfig:
    return EngineConfig(
        topic=settings.topic, group=group, buckets=BUCKETS, session_s=settings.session_s, rebalance_s=10.0, drain_s=3.0,
        commit_interval_s=0.3, idle_write_s=1.0, retry_base_s=0.01, retry_max=50, concurrency=200,
        instance_id=settings.instance_id,
    )  # fmt: skip


async def work(settings: Settings, journal: Journal) -> None:
    redis = Redis.from_url(settings.redis)
    state = RedisServer(settings.redis)
    sender = KafkaSender(settings.kafka)
    kafka = {"topic": settings.topic, "session_s": settings.session_s, "rebalance_s": 10.0}
    aggregates = KafkaLog(
        settings.kafka, group=settings.aggregates_group, instance_id=settings.instance_id, client_id=settings.name,
        **kafka,  # type: ignore[arg-type]
    )  # fmt: skip
    common = {"sender": sender, "clock": WallClock(), "name": settings.name, "warn": journal.warned}
    engines = [
        Engine(
            engine_config(settings, settings.group), log=SeenLog(journal, settings),
            handler=ChainHandler(settings, journal, redis), **common,  # type: ignore[arg-type]
        ),
        Engine(
            engine_config(settings, settings.aggregates_group), log=aggregates, processor=Sums(), state=state,
            **common,  # type: ignore[arg-type]
        ),
    ]  # fmt: skip
    await sender.start()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_sigterm, engines)
        async with anyio.create_task_group() as running:
            for engine in engines:
                running.start_soon(engine.run)
        tasks.cancel_scope.cancel()
    await sender.stop()
    await state.close()
    await redis.aclose()
    journal.ended()


async def _stop_on_sigterm(engines: Sequence[Engine]) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            for engine in engines:
                engine.stop()


def main() -> None:
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    kafka_member.METADATA_MAX_AGE_MS = 1_000
    with Journal(Path(settings.journal)) as journal:
        anyio.run(work, settings, journal)


if __name__ == "__main__":
    main()
