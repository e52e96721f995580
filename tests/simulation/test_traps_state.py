"""Traps of aggregates in virtual time: what is queued at a revoke, copies, zombies, logs that moved, facts that lag."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import NamedTuple

import anyio
import pytest

from engine import Aggregate, Cell, Counts, Engine, EngineConfig, Event, Period, StateReader, identity_of
from engine.sim.broker import SimulatedBroker, SimulatedLog, SimulatedSender
from engine.sim.loop import EPOCH_MS, Process, SimulatedClock, run
from engine.sim.server import SimulatedServer
from tests.simulation.plain import TOPIC, all_committed, until

START_S = EPOCH_MS // 1000
PERIOD = Period.of(START_S, START_S + 86_400, keep=True, watched=False)
SUM = Cell.of(Aggregate.SUM, START_S, b"s")
BUCKETS = 2


class Sums:
    """The value of an event is `identity number`; an answer takes `takes_s`."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s

    async def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
        await anyio.sleep(self.takes_s * len(events))
        return [counts(key, event) for event in events]


def counts(key: bytes, event: Event, factor: int = 1) -> Counts:
    identity, number = (event.value or b"").split()
    return Counts(identity_of(b"", key, b"", identity), ((SUM, int(number) * factor),), PERIOD)


class Worker(NamedTuple):
    engine: Engine
    process: Process


class World:
    """A topic, a Redis, and workers of one group."""

    def __init__(self, partitions: int = 1, *, session_s: float = 45.0) -> None:
        random = Random(1)
        self.broker = SimulatedBroker(random, TOPIC, partitions, session_s=session_s)
        self.server = SimulatedServer(random)
        self.reader = StateReader(self.server, group="g", buckets=BUCKETS)

    def append(self, partition: int, key: bytes, identity: int, number: int = 1) -> None:
        self.broker.append(TOPIC, partition, key, b"%d %d" % (identity, number))

    @asynccontextmanager
    async def worker(self, processor: object, **changes: object) -> AsyncIterator[Worker]:
        """Stopped when the block ends."""
        engine = Engine(
            EngineConfig.from_settings({}, topic=TOPIC, group="g", buckets=BUCKETS, idle_write_s=0.2, **changes),
            log=SimulatedLog(self.broker), sender=SimulatedSender(self.broker), clock=SimulatedClock(),
            processor=processor, state=self.server, random=self.broker.random,  # type: ignore[arg-type]
        )  # fmt: skip
        process = Process()
        task: Awaitable[None] = process.context().run(asyncio.create_task, engine.run())
        yield Worker(engine, process)
        engine.stop()
        await task

    async def total(self, key: bytes) -> int:
        account = await self.reader.account(key, PERIOD.start_s, PERIOD.end_s)
        return sum(reading.number for reading in account.cells.values())

    async def counted(self) -> tuple[int, int]:
        """How many events were counted, and how many were copies."""
        progress = await self.reader.progress(self.broker.partitions)
        return sum(each.counters.counted for each in progress), sum(each.counters.duplicate for each in progress)


def test_what_was_queued_before_a_revoke_counts_once_after_it() -> None:
    """Trap 3. Guards the holes of `Slice._next_record`: what waits in a lane is not in the state."""

    async def scenario() -> None:
        world = World()
        for number in range(40):
            world.append(0, b"k%d" % (number % 5), number)
        changes = {"concurrency": 2, "batch_max": 1, "drain_s": 0.5}
        async with world.worker(Sums(1.0), **changes):
            for _ in range(4):
                await anyio.sleep(3)
                await world.broker.rebalance()
            await until(all_committed(world.broker))
        assert [await world.total(b"k%d" % number) for number in range(5)] == [8] * 5
        assert await world.counted() == (40, 0)

    run(scenario)


def test_the_lag_ends_at_0_and_the_committed_offset_at_the_end() -> None:
    """Trap 9. Guards `Epoch.read`: the position is that of the log's client, past gaps and an aborted tail."""

    async def scenario() -> None:
        world = World()
        for number in range(20):
            world.broker.append(TOPIC, 0, b"k", b"%d 1" % number, gap=number % 3)
        world.broker.append_gap(0, 5)
        async with world.worker(Sums()) as worker:
            await until(all_committed(world.broker))
            (partition,) = worker.engine.statistics().partitions
        assert partition.watermark == partition.end == world.broker.committed[0].offset == world.broker.end(0)
        assert partition.held_back_by is None

    run(scenario)


@pytest.mark.parametrize("moved", ["created again", "cut"])
def test_state_that_does_not_fit_the_log_halts_the_partition(moved: str) -> None:
    """Trap 8. Guards the comparisons of `Epoch.start_offset`: never a silent reset, nothing is written."""

    async def scenario() -> None:
        world = World()
        for number in range(20):
            world.append(0, b"k", number)
        async with world.worker(Sums()):
            await until(all_committed(world.broker))
        if moved == "created again":
            world.broker.logs[TOPIC, 0].clear()
            world.broker.ends[TOPIC, 0] = 0
            world.append(0, b"k", 100)
        else:
            world.append(0, b"k", 100)
            world.broker.append_gap(0, 20)
            world.broker.beginnings[0] = 30
        async with world.worker(Sums()) as worker:
            await anyio.sleep(5)
            (partition,) = worker.engine.statistics().partitions
            assert partition.state == "halted"
            assert partition.held_back_by is not None
            assert {"created again": "created again", "cut": "retention cut"}[moved] in partition.held_back_by.reason
        assert await world.total(b"k") == 20

    run(scenario)


def test_a_worker_that_stood_still_past_its_session_writes_nothing_and_joins_again() -> None:
    """Traps 14 and 15. Guards `Writer._refused`: a refusal ends the epoch, and the stored record is never adopted.

    A stopped process (SIGSTOP) and an event loop that stood still for so long look the same.
    """

    async def scenario() -> None:
        world = World(4, session_s=6.0)
        changes = {"session_s": 6.0, "drain_s": 1.0, "batch_max": 1}
        async with world.worker(Sums(0.5), **changes) as first, world.worker(Sums(0.01), **changes) as second:
            await anyio.sleep(20)
            for number in range(400):
                world.append(number % 4, b"k%d" % (number % 40), number)
            await anyio.sleep(1.2)
            first.process.hold()
            await anyio.sleep(60)
            await until(all_committed(world.broker))
            counted = await world.counted()
            first.process.go_on()
            await anyio.sleep(30)
            assert await world.counted() == counted == (400, 0), "the zombie wrote nothing"
            refused = first.engine.statistics().counters.refused
            assert refused["other owner"] > 0, "and it has tried to"
            assert refused["fork"] == 0
            for number in range(400, 480):
                world.append(number % 4, b"k%d" % (number % 40), number)
            await until(all_committed(world.broker))
            owned = [{each.partition for each in one.engine.statistics().partitions} for one in (first, second)]
            assert all(owned), "both have partitions again, without a restart"
            assert set.union(*owned) == set(range(4))
        assert await world.counted() == (480, 0)
        assert [await world.total(b"k%d" % number) for number in range(40)] == [12] * 40

    run(scenario)


def test_an_identity_counts_once_however_it_comes_again() -> None:
    """Trap 27. Guards `Slice.rejected`: what Redis says of identities stands, whatever the worker knew.

    In one batch; later in the same partition; in another partition at the same time; after a restart.
    """

    async def scenario() -> None:
        world = World(2)
        for number in range(50):
            for _ in range(2):
                world.append(0, b"k", number)
            world.append(1, b"k", number)
        async with world.worker(Sums(), call_events_max=30):
            await until(all_committed(world.broker))
            for number in range(0, 50, 5):
                world.append(number % 2, b"k", number)
            await until(all_committed(world.broker))
        for number in range(60):
            world.append(number % 2, b"k", number)
        async with world.worker(Sums()):
            await until(all_committed(world.broker))
        assert await world.total(b"k") == 60
        assert await world.counted() == (60, 160)

    run(scenario)


class Meter:
    """What an event counts for follows from a fact of its arrival: tenfold from `CHANGE_S` on."""

    def __init__(self, knows_s: float) -> None:
        self.knows_s = knows_s

    def handles_until_ms(self) -> int | None:
        return None if anyio.current_time() >= self.knows_s else EPOCH_MS + CHANGE_S * 1000 - 1

    def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
        known = anyio.current_time() >= self.knows_s
        return [
            counts(key, event, 10 if known and event.timestamp >= EPOCH_MS + CHANGE_S * 1000 else 1) for event in events
        ]


CHANGE_S = 10


def test_an_event_is_handled_by_the_facts_of_its_arrival_however_late_they_are_known() -> None:
    """Trap 33. Guards `Work.until_ms`: an event that arrived later than a worker's facts waits for them."""

    async def scenario() -> None:
        world = World(2)
        async with world.worker(Meter(knows_s=5)), world.worker(Meter(knows_s=30)):
            for number in range(100):
                world.append(number % 2, b"k%d" % (number % 2), number)
                await anyio.sleep(0.2)
            await until(all_committed(world.broker))
        logs = [world.broker.logs[TOPIC, number] for number in range(2)]
        wanted = [sum(10 if each.timestamp >= EPOCH_MS + CHANGE_S * 1000 else 1 for each in log) for log in logs]
        assert [await world.total(b"k0"), await world.total(b"k1")] == wanted
        assert min(wanted) > 60

    run(scenario)
