"""How a partition is let go: whatever else happens meanwhile, what can be finished is finished and committed, once."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import anyio
import pytest

from engine import Event
from engine.ports import Committed
from engine.sim.broker import SimulatedBroker, SimulatedLog
from engine.sim.loop import run
from tests.simulation.plain import all_committed, broker_with, running, until


class SlowCommits(SimulatedLog):
    async def commit(self, offsets: Mapping[int, Committed]) -> bool:
        await anyio.sleep(2)
        return await super().commit(offsets)


@pytest.mark.parametrize("first", ["stop", "revoke"])
def test_a_revoke_and_a_stop_that_overlap_are_one_drain(first: str) -> None:
    """Guards `_let_go` of `Partition.drain`: in a rolling restart terminations and joins overlap."""

    async def scenario() -> None:
        broker = broker_with([f"k{number}" for number in range(4)])
        handled: list[int] = []

        async def handle(event: Event) -> None:
            await anyio.sleep(3)
            handled.append(event.offset)

        async with running(broker, handle, drain_s=20, rebalance_s=60) as engine, anyio.create_task_group() as tasks:
            await until(lambda: engine.statistics().lanes.running == 4)
            if first == "stop":
                engine.stop()
                await anyio.sleep(1)
            tasks.start_soon(engine.revoked, frozenset({0}))
            await anyio.sleep(1)
            engine.stop()
        assert sorted(handled) == [0, 1, 2, 3]
        assert broker.committed[0].offset == 4

    run(scenario)


def test_past_the_deadline_nothing_begins_any_more() -> None:
    """Guards `Lanes.close` in `Partition._finish`: what begins while the last commit is on its way runs twice."""

    async def scenario() -> None:
        broker = broker_with([f"k{number}" for number in range(2_000)])
        handled: list[int] = []

        async def handle(event: Event) -> None:
            await anyio.sleep(0.1)
            handled.append(event.offset)

        log = SlowCommits(broker)
        async with running(broker, handle, log=log, concurrency=10, drain_s=1, fetch_max=2_000):
            await until(lambda: len(handled) > 50)
        again: list[int] = []

        async def handle_again(event: Event) -> None:
            again.append(event.offset)

        async with running(broker, handle_again):
            await until(all_committed(broker))
        assert sorted([*handled, *again]) == list(range(2_000)), "each once"

    run(scenario)


def test_a_drain_does_not_wait_for_batches_to_grow() -> None:
    """Guards `Turns.drain`."""

    async def scenario() -> None:
        broker = broker_with(["a", "b", "c"])
        batches: list[Sequence[Event]] = []

        async def handle(events: Sequence[Event]) -> None:
            batches.append(events)

        async with running(broker, batch_handler=handle, batch_linger_s=30.0, drain_s=5) as engine:
            await until(lambda: engine.statistics().lanes.deferred == 3)
        assert len(batches) == 3
        assert broker.committed[0].offset == 3

    run(scenario)


def test_a_retry_keeps_its_time_though_the_batch_behind_it_is_full() -> None:
    """Guards `lane.lingering` in `Intake._push`: only a batch that waits for more is hastened."""

    async def scenario() -> None:
        broker = SimulatedBroker(Random(1), "events", 1)
        attempts_s: list[float] = []

        async def handle(events: Sequence[Event]) -> None:
            attempts_s.append(anyio.current_time())
            raise ValueError("poison")

        settings: dict[str, Any] = {
            "batch_max": 4,
            "batch_linger_s": 0.05,
            "retry_base_s": 20.0,
            "retry_max": 5,
            "on_failure": "park",
        }
        async with running(broker, batch_handler=handle, stops=False, breaker_keys=0, **settings):
            for number in range(100):
                broker.append("events", 0, b"hot", b"%d" % number)
                await anyio.sleep(0.05)
        assert len(attempts_s) < 4, "the batch, and its first event as often as its back-off lets it"

    run(scenario)


def test_a_batch_that_another_key_has_cut_does_not_wait_for_more() -> None:
    async def scenario() -> None:
        broker = broker_with(["a", "b"] * 50)
        sizes: list[int] = []

        async def handle(events: Sequence[Event]) -> None:
            sizes.append(len(events))

        async with running(broker, batch_handler=handle, ordering="partition", batch_linger_s=0.5):
            begun_s = anyio.current_time()
            await until(all_committed(broker))
            assert anyio.current_time() - begun_s < 5
        assert sizes == [1] * 100

    run(scenario)
