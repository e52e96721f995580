"""A call to the state holds its server up, so what it touches is bounded, whatever gathers for it."""

from collections.abc import Iterator, Sequence
from random import Random

import anyio
import pytest

from engine import Aggregate, Cell, Counts, Engine, EngineConfig, Event, Period, identity_of
from engine.sim.broker import SimulatedBroker, SimulatedLog, SimulatedSender
from engine.sim.loop import EPOCH_MS, SimulatedClock, run
from engine.sim.payload import Cursor, PackedSlice, read_slice
from engine.sim.server import SimulatedServer
from engine.state.weight import KEY_WEIGHT, QUESTIONS_AN_EVENT
from tests.simulation.plain import TOPIC, all_committed, until

HOUR_S = EPOCH_MS // 1000
PERIOD = Period.of(HOUR_S, HOUR_S + 86_400, keep=True, watched=False)
WEIGHT_MAX = 300


class Metering:
    """Every event moves a cell of its own."""

    def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
        return [
            Counts(
                identity_of(b"default", key, b"s", event.value or b""),
                ((Cell.of(Aggregate.SUM, HOUR_S, b"group" + (event.value or b"")), 1),),
                PERIOD,
            )
            for event in events
        ]


def slices_of(payload: bytes) -> Iterator[PackedSlice]:
    cursor = Cursor(payload)
    *_, count = cursor.numbers("HBH")
    for _ in range(count):
        yield read_slice(Cursor(cursor.text("I")))


def weight_of(payload: bytes) -> int:
    """Events, keys and questions, as the protocol's own bytes name them."""
    return sum(
        len(each.judged) + KEY_WEIGHT * len(each.keys) + len(each.asked) // QUESTIONS_AN_EVENT
        for each in slices_of(payload)
    )


@pytest.mark.parametrize("keys", [20_000, 1], ids=["many keys", "many cells of one key"])
def test_what_gathers_is_cut_into_calls_that_hold_nobody_up(keys: int) -> None:
    """Trap 34. Guards `weight.cut`."""

    async def scenario() -> None:
        broker = SimulatedBroker(Random(1), TOPIC, 1)
        server = SimulatedServer(Random(1))
        weights: list[int] = []
        server.observe = lambda function, payload, reply: (
            weights.append(weight_of(payload)) if function == "apply" else None
        )
        for number in range(20_000):
            broker.append(TOPIC, 0, b"k%d" % (number % keys), b"%d" % number)
        config = EngineConfig(
            topic=TOPIC, group="g", buckets=4, call_events_max=WEIGHT_MAX, in_flight_max=20_000, fetch_max=20_000
        )
        engine = Engine(
            config, log=SimulatedLog(broker), sender=SimulatedSender(broker), clock=SimulatedClock(),
            processor=Metering(), state=server, random=Random(1),
        )  # fmt: skip
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run)
            await until(all_committed(broker), within_s=600)
            engine.stop()
        assert engine.statistics().counters.counted == 20_000
        assert max(weights) <= WEIGHT_MAX
        assert len(weights) < 2 * 20_000 * (1 + KEY_WEIGHT) / WEIGHT_MAX, "and they are not small either"

    run(scenario)
