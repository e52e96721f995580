"""Pauses and changes of settings while events flow."""

import anyio
import pytest

from engine import ConfigError, Event
from engine.sim.broker import SimulatedBroker
from engine.sim.loop import run
from tests.simulation.plain import all_committed, broker_with, parked, running, until


def append(broker: SimulatedBroker, keys: list[str]) -> None:
    for key in keys:
        broker.append("events", int(key[1:]) % broker.partitions, key.encode(), key.encode())


def test_a_paused_key_waits_and_its_neighbours_do_not() -> None:
    async def scenario() -> None:
        broker = broker_with([], partitions=2)
        handled: list[bytes] = []

        async def handle(event: Event) -> None:
            handled.append(event.value or b"")

        async with running(broker, handle) as engine:
            engine.pause(key=b"k1")
            append(broker, ["k1", "k2", "k3", "k1"])
            await anyio.sleep(5)
            assert sorted(handled) == [b"k2", b"k3"]
            held = engine.statistics().partitions[1].held_back_by
            assert held is not None
            assert held.reason == "paused by command"
            engine.resume(key=b"k1")
            await until(all_committed(broker))
        assert sorted(handled) == [b"k1", b"k1", b"k2", b"k3"]

    run(scenario)


def test_a_paused_partition_is_not_read_and_the_pause_outlives_a_rebalance() -> None:
    """Trap 12. Guards `Holds`: a pause is the engine's own, whatever the client forgets."""

    async def scenario() -> None:
        broker = broker_with([], partitions=2)
        handled: list[bytes] = []

        async def handle(event: Event) -> None:
            handled.append(event.value or b"")

        async with running(broker, handle, in_flight_max=10, fetch_max=5) as engine:
            engine.pause(partition=1)
            append(broker, [f"k{number}" for number in range(200)])
            for _ in range(3):
                await anyio.sleep(2)
                await broker.rebalance()
            await anyio.sleep(2)
            assert sorted(handled) == sorted(b"k%d" % number for number in range(0, 200, 2))
            paused = engine.statistics().partitions[1]
            assert (paused.state, paused.paused, paused.in_flight) == ("paused", True, 0)
            engine.resume(partition=1)
            await until(all_committed(broker))
        assert len(handled) == 200

    run(scenario)


def test_the_topic_pauses_and_resumes_with_work_in_hand() -> None:
    async def scenario() -> None:
        broker = broker_with([f"k{number % 20}" for number in range(400)])
        handled: list[int] = []

        async def handle(event: Event) -> None:
            await anyio.sleep(0.1)
            handled.append(event.offset)

        async with running(broker, handle, concurrency=5) as engine:
            await until(lambda: len(handled) > 20)
            engine.pause()
            await anyio.sleep(1)
            before = len(handled)
            await anyio.sleep(10)
            assert len(handled) == before < 400
            engine.resume()
            await until(all_committed(broker))
        assert sorted(handled) == list(range(400))

    run(scenario)


def test_concurrency_changes_while_it_runs() -> None:
    async def scenario() -> None:
        broker = broker_with([f"k{number}" for number in range(2_000)])
        now = most = 0

        async def handle(event: Event) -> None:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await anyio.sleep(0.1)
            now -= 1

        async with running(broker, handle, concurrency=5) as engine:
            await anyio.sleep(3)
            assert most == 5
            engine.change({"concurrency": 50})
            await anyio.sleep(3)
            assert most == 50
            engine.change({"ENGINE_CONCURRENCY": "2"})
            await anyio.sleep(1)
            most = 0
            await anyio.sleep(3)
            assert most == 2
            engine.change({"concurrency": 500})
            await until(all_committed(broker))

    run(scenario)


def test_a_retry_policy_changes_for_what_waits_already() -> None:
    async def scenario() -> None:
        broker = broker_with(["a"])

        async def handle(event: Event) -> None:
            raise ValueError("poison")

        async with running(broker, handle, retry_max=10_000, retry_base_s=0.5, retry_cap_s=1.0) as engine:
            await anyio.sleep(20)
            assert engine.statistics().counters.retries > 10
            engine.change({"retry_max": 3, "on_failure": "park"})
            await until(lambda: bool(parked(engine)), within_s=2)
            engine.release(b"a", bury=True)
            await until(all_committed(broker))

    run(scenario)


def test_a_change_that_is_not_valid_changes_nothing() -> None:
    async def scenario() -> None:
        broker = broker_with([])

        async def handle(event: Event) -> None:
            raise AssertionError("nothing is sent")

        async with running(broker, handle, concurrency=7) as engine:
            with pytest.raises(ConfigError) as caught:
                engine.change({"concurrency": 9, "buckets": 8, "colour": "red", "ENGINE_RETRY_MAX": "many"})
            assert len(caught.value.problems) == 3
            with pytest.raises(ConfigError, match="retry_max is -1"):
                engine.change({"concurrency": 9, "retry_max": -1})
            assert engine.statistics().lanes.limit == 7

    run(scenario)


def test_concurrency_finds_its_place_by_itself() -> None:
    """`auto`: a dependency that serves 40 at once gets about as many, whoever configured nothing."""

    async def scenario() -> None:
        broker = broker_with([f"k{number}" for number in range(30_000)])
        capacity = anyio.CapacityLimiter(40)
        handled = 0

        async def handle(event: Event) -> None:
            nonlocal handled
            async with capacity:
                await anyio.sleep(0.05)
            handled += 1

        async with running(
            broker, handle, stops=False, concurrency="auto", in_flight_max=10_000, breaker_keys=0
        ) as engine:
            await anyio.sleep(10)
            before = handled
            await anyio.sleep(10)
            assert handled - before >= 0.9 * 10 * 40 / 0.05
            assert engine.statistics().lanes.limit <= 200

    run(scenario)
