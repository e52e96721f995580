"""A real cluster of three primaries with replicas: the engine under load, failovers that lose writes, moved slots."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest

from engine import (
    Aggregate,
    Cell,
    ConfigError,
    Counts,
    Engine,
    EngineConfig,
    Event,
    Message,
    Period,
    StateReader,
    Unanswered,
    identity_of,
)
from engine.adapters.kafka import KafkaLog, KafkaSender, TopicSpec, ensure_topics
from engine.adapters.redis import RedisServer
from engine.embedded.redis import EmbeddedRedis
from engine.embedded.redis_cluster import EmbeddedRedisCluster
from engine.state import keys
from engine.state.identity import bucket_of

PARTITIONS = 4
BUCKETS = 12
KEYS = 48
START_S = 1_800_000_000
PERIOD = Period.of(START_S, START_S + 86_400, keep=True, watched=False)
SETTLED_S = 40.0


class WallClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Sums:
    """`identity number` is the value of an event."""

    def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
        answers = []
        for event in events:
            identity, number = (event.value or b"").split()
            cell = Cell.of(Aggregate.SUM, START_S, b"s")
            answers.append(Counts(identity_of(b"", key, b"", identity), ((cell, int(number)),), PERIOD))
        return answers


class World:
    """A topic, a sender that goes on under everything, and what the state must hold."""

    def __init__(self, kafka: str, cluster: EmbeddedRedisCluster, name: str) -> None:
        self.cluster, self.kafka, self.topic = cluster, kafka, name
        self.config = EngineConfig(
            topic=name, group=name, buckets=BUCKETS, session_s=2.0, rebalance_s=4.0, drain_s=2.0, commit_interval_s=0.2,
            idle_write_s=0.5,
        )  # fmt: skip
        self.server = RedisServer(cluster.url, timeout_s=1.0)
        self.sender = KafkaSender(kafka, idempotent=False)
        self.reader = StateReader(self.server, group=name, buckets=BUCKETS)
        self.warnings: list[str] = []
        self.expected: dict[bytes, int] = defaultdict(int)
        self.produced = 0
        self.engine = Engine(
            self.config,
            log=KafkaLog(kafka, topic=name, group=name, session_s=2.0, rebalance_s=4.0),
            sender=self.sender,
            clock=WallClock(),
            processor=Sums(),
            state=self.server,
            warn=self.warnings.append,
        )

    def tag(self, key: bytes) -> str:
        return keys.tag(self.topic, bucket_of(key, BUCKETS)).decode()

    def keys_at(self, node: int) -> set[bytes]:
        """Those that this primary answers for."""
        return {key for key in self.expected if self.cluster.node_of(self.tag(key)) == node}

    async def produce(self, count: int) -> None:
        messages = []
        for number in range(self.produced, self.produced + count):
            key = b"key-%d" % (number * 7 % KEYS)
            messages.append(Message(self.topic, key, b"%d %d" % (number, number % 10)))
            self.expected[key] += number % 10
        self.produced += count
        await self.sender.send(messages)

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Events keep coming."""

        async def go_on() -> None:
            while True:
                await self.produce(50)
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as tasks:
            producing = tasks.create_task(go_on())
            yield
            producing.cancel()

    async def sums(self, wanted: Sequence[bytes]) -> dict[bytes, int]:
        totals = await self.reader.totals(wanted, PERIOD.start_s, PERIOD.end_s)
        found = {total.key: sum(reading.number for reading in total.values.values()) for total in totals}
        return {key: found.get(key, 0) for key in wanted}

    async def until_equal(self, wanted: Sequence[bytes] | None = None) -> None:
        """For all keys, or some."""
        named = sorted(self.expected) if wanted is None else wanted
        found: object = None
        try:
            async with asyncio.timeout(SETTLED_S):
                while found != {key: self.expected[key] for key in named}:
                    await asyncio.sleep(0.05)
                    try:
                        found = await self.sums(named)
                    except Unanswered as error:
                        found = error
        except TimeoutError:
            pytest.fail(f"not equal after {SETTLED_S} s: {found}; {self.warnings[-5:]}")

    async def counted(self) -> int:
        return sum(each.counters.counted for each in await self.reader.progress(PARTITIONS))


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedRedisCluster]:
    with EmbeddedRedisCluster() as made:
        yield made


@pytest.fixture
async def world(
    kafka_embedded: str, cluster: EmbeddedRedisCluster, new_name: Callable[[str], str]
) -> AsyncIterator[World]:
    """With an engine that runs."""
    made = World(kafka_embedded, cluster, new_name("clustered"))
    await ensure_topics(kafka_embedded, [TopicSpec(made.topic, PARTITIONS)])
    await made.sender.start()
    async with made.server:
        await made.server.check_server("aof")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(made.engine.run())
            await made.produce(1_000)
            await made.until_equal()
            yield made
            made.engine.stop()
        await made.sender.stop()


async def test_a_failover_that_loses_acknowledged_writes(world: World) -> None:
    """Rule 5 and 6: what was acknowledged and lost is counted again; nodes that live go on meanwhile."""
    cluster = world.cluster
    primary = cluster.node_of(world.tag(b"key-0"))
    replica = cluster.replica_of(primary)
    lost = world.keys_at(primary)
    kept = set(world.expected) - lost
    assert lost
    assert kept
    await asyncio.to_thread(cluster.cut_off, replica)
    async with world.load():
        await asyncio.sleep(1.0)
    await world.until_equal()  # all of it was acknowledged, a part by a primary whose replica has nothing of it
    with pytest.raises(Unanswered, match="durability replica"):
        await world.server.make_durable("replica")
    await asyncio.to_thread(cluster.kill, primary)
    await world.produce(500)
    await world.until_equal(sorted(kept))
    assert world.engine.statistics().counters.refused["rollback"] == 0
    async with world.load():
        await asyncio.to_thread(cluster.failover, replica)
        await asyncio.sleep(1.0)
    await world.until_equal()
    assert world.engine.statistics().counters.refused["rollback"] > 0, "nothing was lost"
    assert await world.counted() == world.produced
    await asyncio.to_thread(cluster.restart, primary)
    await world.server.make_durable("replica")
    await world.server.make_durable("aof")


async def test_a_lossy_failover_in_the_middle_of_the_load(world: World) -> None:
    """Calls are in flight all the time: some in doubt, some acknowledged and lost."""
    cluster = world.cluster
    primary = cluster.node_of(world.tag(b"key-4"))
    replica = cluster.replica_of(primary)
    async with world.load():
        await asyncio.to_thread(cluster.cut_off, replica)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(cluster.kill, primary)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(cluster.failover, replica)
        await asyncio.sleep(0.5)
    await world.until_equal()
    counters = world.engine.statistics().counters
    assert counters.refused["rollback"] > 0, "nothing was lost"
    assert counters.unanswered > 0, "nothing was in doubt"
    assert await world.counted() == world.produced
    await asyncio.to_thread(cluster.restart, primary)


async def test_a_primary_that_dies_is_replaced_under_load(world: World) -> None:
    """The cluster does it by itself; the dead node's place in the map is taken by its replica."""
    primary = world.cluster.node_of(world.tag(b"key-1"))
    async with world.load():
        await asyncio.to_thread(world.cluster.kill, primary)
        await asyncio.sleep(3.0)
    await world.until_equal()
    assert world.cluster.node_of(world.tag(b"key-1")) == world.cluster.replica_of(primary)
    assert await world.counted() == world.produced
    await asyncio.to_thread(world.cluster.restart, primary)


async def test_slots_that_move_are_found_again(world: World) -> None:
    """MOVED: at rest, and under load with the server's atomic migration."""
    cluster, tag = world.cluster, world.tag(b"key-2")
    source = cluster.node_of(tag)
    target = next(node for node in map(cluster.node_of, map(world.tag, world.expected)) if node != source)
    slot = cluster.ask(source, "CLUSTER", "KEYSLOT", tag)
    await asyncio.to_thread(cluster.move_slot, slot, source, target)
    assert cluster.node_of(tag) == target
    await world.produce(500)
    await world.until_equal()
    async with world.load():
        await asyncio.to_thread(cluster.move_slot, slot, target, source)
        await asyncio.sleep(0.2)
    await world.until_equal()
    assert cluster.node_of(tag) == source
    assert await world.counted() == world.produced


async def test_a_node_that_comes_back_empty_gets_library_and_state_again(world: World) -> None:
    """Trap 31 in a cluster."""
    primary = world.cluster.node_of(world.tag(b"key-3"))
    world.cluster.ask(primary, "FUNCTION", "FLUSH", "SYNC")
    world.cluster.ask(primary, "FLUSHALL", "SYNC")
    await world.produce(500)
    await world.until_equal()
    assert await world.counted() == world.produced


async def test_boards_and_reading_of_many_buckets(world: World) -> None:
    await world.server.post("board", "a", b"1")
    await world.server.post("board", "b", b"2")
    await world.server.post("board", "a", None)
    assert await world.server.posted("board") == {"b": b"2"}
    found = {key for bucket in range(BUCKETS) for key in await world.reader.keys(bucket)}
    assert found == set(world.expected)
    one = await world.reader.account(b"key-5", PERIOD.start_s, PERIOD.end_s)
    assert sum(reading.number for reading in one.cells.values()) == world.expected[b"key-5"]


async def test_every_primary_is_checked(cluster: EmbeddedRedisCluster) -> None:
    primary = cluster.node_of("x")
    cluster.ask(primary, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        async with RedisServer(cluster.url) as server:
            with pytest.raises(ConfigError, match=rf"{cluster.ports[primary]}: maxmemory-policy is allkeys-lru"):
                await server.check_server()
    finally:
        cluster.ask(primary, "CONFIG", "SET", "maxmemory-policy", "noeviction")


async def test_a_url_of_the_other_kind_is_refused(cluster: EmbeddedRedisCluster, redis_server: EmbeddedRedis) -> None:
    async with RedisServer(f"redis://127.0.0.1:{cluster.ports[0]}") as one:
        with pytest.raises(ConfigError, match=r"must begin with redis\+cluster://"):
            await one.check_server()
    async with RedisServer(f"redis+cluster://127.0.0.1:{redis_server.port}") as many:
        with pytest.raises(ConfigError, match="is no cluster"):
            await many.check_server()


async def test_a_cluster_that_is_away_is_in_doubt(free_port: int) -> None:
    async with RedisServer(f"redis+cluster://127.0.0.1:{free_port}", timeout_s=1.0) as server:
        with pytest.raises(Unanswered, match="no node of the cluster can be asked"):
            await server.check_server()
        with pytest.raises(Unanswered, match="no node of the cluster can be asked"):
            await server.call("read", b"\0\0", key=b"k", writes=False)


@pytest.fixture
def free_port() -> int:
    from engine.embedded.process import free_port

    return free_port()
