"""Partitions and keys take turns: whatever a hot key or a backlog does, a runnable key starts within two rounds."""

from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from engine import Event
from engine.sim.broker import SimulatedLog
from engine.sim.loop import run
from tests.simulation.plain import all_committed, broker_with, running, until

SERVICE_S = 0.01
PLACES = 4


def test_a_backlog_of_one_partition_delays_the_key_of_another_by_a_turn() -> None:
    """Guards `Ready.take`: the next turn is another owner's."""

    async def scenario() -> None:
        broker = broker_with([], partitions=2)
        started_s: dict[bytes | None, float] = {}

        async def handle(event: Event) -> None:
            started_s.setdefault(event.key, anyio.current_time())
            await anyio.sleep(SERVICE_S)

        async with running(broker, handle, concurrency=PLACES) as engine:
            await anyio.sleep(1)
            for number in range(5_000):
                broker.append("events", 0, b"k%d" % number, b"")
            await until(lambda: engine.statistics().lanes.ready > 1_000)
            broker.append("events", 1, b"alone", b"")
            appended_s = anyio.current_time()
            await until(lambda: b"alone" in started_s)
            assert engine.statistics().lanes.ready > 1_000, "the backlog is still there"
            assert started_s[b"alone"] - appended_s < 0.2 + 2 * SERVICE_S, "a fetch and a turn, not 1,000 turns"
            await until(all_committed(broker))

    run(scenario)


def test_a_hot_key_makes_room_for_the_others_of_its_partition() -> None:
    """Trap 17. Guards `TURN_S`: a key with a long queue gives its place up between two events."""

    async def scenario() -> None:
        broker = broker_with(["hot"] * 2_000)
        delays_s: list[float] = []

        async def handle(event: Event) -> None:
            if event.key != b"hot":
                delays_s.append(anyio.current_time() - float(event.value or b"0"))
            await anyio.sleep(SERVICE_S)

        async with running(broker, handle, concurrency=1) as engine:
            await until(lambda: engine.statistics().counters.consumed > 1_000)
            for number in range(50):
                broker.append("events", 0, b"cold%d" % number, b"%f" % anyio.current_time())
                await anyio.sleep(0.1)
            await until(lambda: len(delays_s) == 50)
            assert engine.statistics().partitions[0].in_flight > 500, "the hot key still has its backlog"
            assert max(delays_s) < 0.2 + 2 * SERVICE_S
            await until(all_committed(broker))

    run(scenario)


class CountingLog(SimulatedLog):
    """Counts the fetches that brought something."""

    fetches = 0

    async def fetch(
        self, partitions: Sequence[int], *, events_max: int, wait_s: float, bytes_max: int | None = None
    ) -> Mapping[int, Sequence[Event]]:
        fetched = await super().fetch(partitions, events_max=events_max, wait_s=wait_s, bytes_max=bytes_max)
        self.fetches += any(fetched.values())
        return fetched


def test_a_partition_that_is_nearly_full_does_not_make_the_others_trickle() -> None:
    """Guards the `TRICKLE` of `InFlight.room`: one fetch serves all partitions, and asks for the least room of them."""

    async def scenario() -> None:
        broker = broker_with([], partitions=2)
        handled = 0

        async def handle(event: Event) -> None:
            nonlocal handled
            if event.partition == 0:
                raise ValueError("poison")
            handled += 1

        limits: dict[str, Any] = {"in_flight_max": 100, "fetch_max": 100, "on_failure": "park", "retry_max": 0}
        log = CountingLog(broker)
        async with running(broker, handle, log=log, stops=False, breaker_keys=0, **limits) as engine:
            for _ in range(99):
                broker.append("events", 0, b"parked", b"")
            await until(lambda: engine.statistics().counters.consumed == 99)
            for number in range(4_000):
                broker.append("events", 1, b"k%d" % (number % 50), b"")
            await until(lambda: handled == 4_000)
        assert log.fetches < 4_000 / 10, "not an event or two at a time"

    run(scenario)
