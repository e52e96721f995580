"""A rolling restart in virtual time, at half of what the workers can do."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import anyio

from engine import Event
from engine.sim.broker import SimulatedBroker
from engine.sim.loop import run
from engine.testing.guarantees import Guarantees
from engine.testing.journal import Occurrence
from engine.testing.simulation import SeenLog
from tests.simulation.plain import TOPIC, all_committed, running, until

PARTITIONS = 8
WORKERS = ("a", "b", "c")
HANDLED_S = 0.02
PLACES = 4
PER_S = 0.5 * len(WORKERS) * PLACES / HANDLED_S
LOAD_S = 40.0


def test_a_rolling_restart_of_three_workers_over_eight_partitions() -> None:
    """Trap 10. Guards the commit and the end of handlers in `Partition.drain`: each worker leaves nothing behind.

    At least once, the order of keys and one at a time: each has its own checker. An orderly restart repeats nothing.
    """

    async def scenario() -> None:
        random = Random(10)
        broker = SimulatedBroker(random, TOPIC, PARTITIONS)
        guarantees = Guarantees()

        def handler(worker: str) -> Callable[[Event], Awaitable[None]]:
            async def handle(event: Event) -> None:
                guarantees.see(Occurrence.of("started", event, worker=worker, time_s=anyio.current_time()))
                what = "failed"
                try:
                    await anyio.sleep(random.uniform(0, 2 * HANDLED_S))
                    what = "done"
                finally:
                    guarantees.see(Occurrence.of(what, event, worker=worker, time_s=anyio.current_time()))

            return handle

        async def produce() -> None:
            for number in range(round(PER_S * LOAD_S)):
                key = random.randrange(50)
                broker.append(TOPIC, key % PARTITIONS, b"k%d" % key, b"%d" % number)
                await anyio.sleep(1 / PER_S)

        async def work(name: str, after_s: float) -> None:
            """Lives, is restarted after so long, and lives on."""
            for life, life_s in enumerate((after_s, LOAD_S - after_s)):
                worker = f"{name}{life}"
                log = SeenLog(broker, worker, guarantees)
                async with running(broker, handler(worker), log=log, concurrency=PLACES, commit_interval_s=500.0):
                    await anyio.sleep(life_s)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(produce())
            for place, name in enumerate(WORKERS):
                tasks.create_task(work(name, 10.0 * (place + 1)))
        async with running(broker, handler("last"), log=SeenLog(broker, "last", guarantees)):
            await until(all_committed(broker))
        log = [(number, event.offset) for number in range(PARTITIONS) for event in broker.logs[TOPIC, number]]
        assert len(log) == round(PER_S * LOAD_S)
        assert guarantees.faults(log) == []
        assert guarantees.at_least_once.repeats == 0

    run(scenario)
