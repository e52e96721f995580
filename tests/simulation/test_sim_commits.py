"""What the group's coordinator remembers, when requests do not arrive in their order."""

from random import Random

import anyio

from engine import Committed, Engine, EngineConfig, Event
from engine.runtime.commit import REPEAT_S
from engine.sim.broker import SimulatedBroker, SimulatedLog, SimulatedSender
from engine.sim.loop import SimulatedClock, run

TOPIC = "events"


def test_a_commit_that_arrives_late_does_not_stay() -> None:
    """It sets the committed offset back where nothing moves any more: guarded by REPEAT_S in `Committer.commit`."""

    async def scenario() -> None:
        broker = SimulatedBroker(Random(1), TOPIC, 1)
        handled: list[int] = []

        async def handle(event: Event) -> None:
            handled.append(event.offset)

        for number in range(10):
            broker.append(TOPIC, 0, b"k", b"%d" % number)
        engine = Engine(
            EngineConfig(topic=TOPIC, group="g"), log=SimulatedLog(broker), sender=SimulatedSender(broker),
            clock=SimulatedClock(), handler=handle, random=broker.random,
        )  # fmt: skip
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run)
            await anyio.sleep(5)
            assert broker.committed[0].offset == 10
            broker.committed[0] = Committed(4, "")
            await anyio.sleep(REPEAT_S + 2)
            assert broker.committed[0].offset == 10
            engine.stop()
        assert handled == list(range(10)), "nothing was handled again"

    run(scenario)
