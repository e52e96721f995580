"""What shares an order: a key, a partition, or nothing."""

from collections import defaultdict

import anyio
import pytest

from engine import ConfigError, Engine, EngineConfig, Event
from engine.config import Ordering
from engine.sim.broker import SimulatedLog, SimulatedSender
from engine.sim.loop import SimulatedClock, run
from engine.sim.server import SimulatedServer
from tests.simulation.plain import all_committed, broker_with, running, until

EVENTS = 240
KEYS = 6
PARTITIONS = 2


class Seen:
    """How many handlers ran at once, of whatever shares a name, and in which order they began."""

    def __init__(self) -> None:
        self.now: dict[object, int] = defaultdict(int)
        self.most: dict[object, int] = defaultdict(int)
        self.order: dict[object, list[int]] = defaultdict(list)

    async def handle(self, event: Event) -> None:
        names = ["all", event.partition, (event.partition, event.key)]
        for name in names:
            self.now[name] += 1
            self.most[name] = max(self.most[name], self.now[name])
            self.order[name].append(event.offset)
        await anyio.sleep(0.05)
        for name in names:
            self.now[name] -= 1


def see(ordering: Ordering) -> Seen:
    seen = Seen()

    async def scenario() -> None:
        broker = broker_with([f"k{number // PARTITIONS % KEYS}" for number in range(EVENTS)], partitions=PARTITIONS)
        async with running(broker, seen.handle, ordering=ordering, batch_max=4):
            await until(all_committed(broker))

    run(scenario)
    assert sorted(seen.order["all"]) == sorted([*range(EVENTS // 2), *range(EVENTS // 2)]), "each once"
    return seen


def test_by_key_the_events_of_a_key_are_in_order_and_keys_run_side_by_side() -> None:
    seen = see("key")
    for partition in range(PARTITIONS):
        for key in range(KEYS):
            name = (partition, b"k%d" % key)
            assert seen.order[name] == sorted(seen.order[name])
            assert seen.most[name] == 1
    assert seen.most["all"] == PARTITIONS * KEYS


def test_by_partition_the_events_of_a_partition_are_in_order_and_partitions_run_side_by_side() -> None:
    seen = see("partition")
    for partition in range(PARTITIONS):
        assert seen.order[partition] == list(range(EVENTS // PARTITIONS))
        assert seen.most[partition] == 1
    assert seen.most["all"] == PARTITIONS


def test_without_an_order_even_the_events_of_a_key_run_side_by_side() -> None:
    seen = see("none")
    assert max(seen.most[partition, b"k0"] for partition in range(PARTITIONS)) == EVENTS // PARTITIONS // KEYS


def test_aggregates_need_an_order() -> None:
    async def scenario() -> None:
        broker = broker_with([])
        with pytest.raises(ConfigError, match="ordering is 'none'"):
            Engine(
                EngineConfig(topic="events", group="g", ordering="none"), log=SimulatedLog(broker),
                sender=SimulatedSender(broker), clock=SimulatedClock(), processor=object(),  # type: ignore[arg-type]
                state=SimulatedServer(broker.random),
            )  # fmt: skip

    run(scenario)
