"""Traps of limits and of letting go: back-pressure through rebalances, in bytes, and races; drains by partition."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from engine import Engine, Event
from engine.event import memory_bytes
from engine.ports import Committed
from engine.runtime.statistics import PartitionStatistics
from engine.sim.loop import run
from tests.simulation.plain import TOPIC, all_committed, broker_with, running, until


async def watch(engine: Engine, seen: Callable[[PartitionStatistics], None]) -> None:
    while True:
        for partition in engine.statistics().partitions:
            seen(partition)
        await anyio.sleep(0.005)


def test_a_full_partition_stays_full_through_rebalances() -> None:
    """Trap 12. Guards `Partition.wants_events`: nothing is read of what is full, whatever pauses a client forgets."""

    async def scenario() -> None:
        broker = broker_with([f"k{number}" for number in range(400)])
        most = 0

        def see(partition: PartitionStatistics) -> None:
            nonlocal most
            most = max(most, partition.in_flight)

        async def handle(event: Event) -> None:
            await anyio.sleep(1.0)

        async with (
            running(broker, handle, in_flight_max=20, fetch_max=20, concurrency=10, drain_s=0.2) as engine,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(watch, engine, see)
            for _ in range(4):
                await anyio.sleep(5)
                await broker.rebalance()
            await until(all_committed(broker), within_s=300)
            tasks.cancel_scope.cancel()
        assert most == 20

    run(scenario)


def test_a_drain_that_races_with_the_limit_loses_no_wake_up() -> None:
    """Trap 19. Guards `eased` in `Intake.left`: a fetch that found no room is not left waiting for its time-out."""

    async def scenario() -> None:
        broker = broker_with([f"k{number % 7}" for number in range(500)])
        handled: list[int] = []

        async def handle(event: Event) -> None:
            await anyio.sleep(0.01 if event.offset % 3 else 0)
            handled.append(event.offset)

        async with running(broker, handle, in_flight_max=4, fetch_max=4, fetch_wait_s=1_000.0):
            await until(lambda: len(handled) == 500, within_s=100)
            await until(all_committed(broker))

    run(scenario)


def test_bytes_in_flight_are_bounded_too() -> None:
    """Trap 19. Guards the bytes in `InFlight.add`: few events may be large."""

    async def scenario() -> None:
        broker = broker_with([])
        for number in range(200):
            broker.append(TOPIC, 0, b"k%d" % number, b"x" * 10_000)
        event_bytes = memory_bytes(broker.logs[TOPIC, 0][-1])
        limit_bytes = 10 * event_bytes
        most = 0

        def see(partition: PartitionStatistics) -> None:
            nonlocal most
            most = max(most, partition.in_flight_bytes)

        async def handle(event: Event) -> None:
            await anyio.sleep(1.0)

        async with (
            running(broker, handle, in_flight_bytes_max=limit_bytes, concurrency=5) as engine,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(watch, engine, see)
            await until(all_committed(broker), within_s=300)
            tasks.cancel_scope.cancel()
        assert limit_bytes / 2 < most < limit_bytes + event_bytes

    run(scenario)


def test_a_stuck_partition_does_not_keep_another_from_letting_go() -> None:
    """Trap 11. Guards the task group of `Engine._let_go`: each partition drains and commits by itself."""

    async def scenario() -> None:
        broker = broker_with([], partitions=2)
        for number in range(4):
            broker.append(TOPIC, number // 2, b"k%d" % number, b"stuck" if number < 2 else b"")
        started: list[int] = []

        async def handle(event: Event) -> None:
            started.append(event.partition)
            await anyio.sleep(1_000 if event.value == b"stuck" else 1.0)

        async with running(broker, handle, drain_s=8.0, commit_interval_s=500.0, handler_timeout_s=2_000.0) as engine:
            await until(lambda: len(started) == 4)
            engine.stop()
            await anyio.sleep(3)
            assert broker.committed.get(1) == Committed(2, ""), "while the other still drains"
            assert 0 not in broker.committed or broker.committed[0].offset == 0

    run(scenario)


def test_a_revoke_lasts_no_longer_than_the_drain_may() -> None:
    """Trap 11. Guards the deadline in `Partition.drain`; what was done by then is committed."""

    async def scenario() -> None:
        broker = broker_with(["stuck", "a", "b"])
        started: list[int] = []

        async def handle(event: Event) -> None:
            started.append(event.offset)
            await anyio.sleep(0.1 if event.offset else 40)

        async with running(broker, handle, drain_s=2.0):
            await until(lambda: len(started) == 3)
            await anyio.sleep(3)
            begun_s = anyio.current_time()
            await broker.rebalance()
            assert anyio.current_time() - begun_s < 4.0
            assert broker.committed[0].offset == 0
            await until(all_committed(broker))
        assert sorted(started) == [0, 0, 1, 2], "what was done beyond the stuck one is not done again"

    run(scenario)


def test_a_stop_under_load_commits_what_is_done_and_a_second_start_repeats_nothing_else() -> None:
    """Trap 13. Guards the commit of `Partition.drain`; nothing is begun after the stop that was not read by then."""

    async def scenario() -> None:
        broker = broker_with(["stuck"] + [f"k{number % 10}" for number in range(200)])
        done: list[int] = []

        def handler(stuck_s: float) -> Callable[[Event], Awaitable[None]]:
            async def handle(event: Event) -> None:
                await anyio.sleep(stuck_s if event.key == b"stuck" else 0.1)
                done.append(event.offset)

            return handle

        limits: dict[str, Any] = {"in_flight_max": 50, "fetch_max": 10, "drain_s": 2.0, "commit_interval_s": 500.0}
        async with running(broker, handler(60), **limits):
            await anyio.sleep(0.55)
            assert 0 < len(done) < 100
        first = set(done)
        assert len(first) <= 100, "intake has stopped"
        done.clear()
        async with running(broker, handler(0), **limits | {"commit_interval_s": 1.0}):
            await until(all_committed(broker))
        assert len(done) == len(set(done))
        assert set(done) == set(range(201)) - first

    run(scenario)
