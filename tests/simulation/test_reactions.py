"""User code that fails in `react`: nothing is lost, nothing leaks, and the engine goes on."""

from collections.abc import Sequence
from random import Random

import anyio

from engine import Aggregate, Cell, Counts, Effect, Engine, EngineConfig, Event, Message, Period, Totals, identity_of
from engine.sim.broker import SimulatedBroker, SimulatedLog, SimulatedSender
from engine.sim.loop import EPOCH_MS, SimulatedClock, run
from engine.sim.server import SimulatedServer
from tests.simulation.plain import TOPIC, all_committed, until

HOUR_S = EPOCH_MS // 1000
PERIOD = Period.of(HOUR_S, HOUR_S + 86_400, keep=True, watched=True)


class Broken:
    """Says that an alert is due, once it is mended."""

    broken = True
    called = 0

    def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
        cell = Cell.of(Aggregate.COUNT, HOUR_S, b"c")
        return [Counts(identity_of(b"", key, b"", event.value or b""), ((cell, None),), PERIOD) for event in events]

    def react(self, totals: Totals) -> list[Effect]:
        self.called += 1
        if self.broken:
            raise KeyError("a rate that nobody knows")
        return [Effect(b"due", Message("alerts", totals.key, b"due"))]


def test_a_reaction_that_fails_is_called_again_and_holds_what_it_is_about() -> None:
    """Guards `Writer._reaction_failed`: neither is the event done before its effect is in, nor does anything leak."""

    async def scenario() -> None:
        broker = SimulatedBroker(Random(1), TOPIC, 1)
        processor = Broken()
        engine = Engine(
            EngineConfig(topic=TOPIC, group="g", buckets=2), log=SimulatedLog(broker), sender=SimulatedSender(broker),
            clock=SimulatedClock(), processor=processor, state=SimulatedServer(Random(1)), random=Random(1),
        )  # fmt: skip
        for number in range(10):
            broker.append(TOPIC, 0, b"k", b"%d" % number)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run)
            await until(lambda: processor.called >= 3)
            partition = engine.statistics().partitions[0]
            assert partition.in_flight == 0, "what is written has left the limits"
            assert partition.watermark == 0, "and is not done"
            assert (TOPIC, 0) in broker.logs
            processor.broken = False
            await until(all_committed(broker))
            engine.stop()
        assert [alert.value for alert in broker.logs["alerts", 0]] == [b"due"]

    run(scenario)
