"""Handlers that get the consecutive events of a key together."""

from collections.abc import Sequence

import anyio

from engine import Event
from engine.sim.loop import run
from tests.simulation.plain import all_committed, broker_with, running, until


def test_a_batch_is_of_one_key_in_order_and_at_most_batch_max() -> None:
    async def scenario() -> None:
        broker = broker_with([f"k{number % 3}" for number in range(300)])
        batches: list[tuple[bytes | None, list[int]]] = []

        async def handle(events: Sequence[Event]) -> None:
            assert len({event.key for event in events}) == 1
            batches.append((events[0].key, [event.offset for event in events]))
            await anyio.sleep(0.01)

        async with running(broker, batch_handler=handle, batch_max=8):
            await until(all_committed(broker))
        assert max(len(offsets) for _, offsets in batches) == 8
        for key in {key for key, _ in batches}:
            offsets = [offset for batch_key, batch in batches if batch_key == key for offset in batch]
            assert offsets == sorted(set(offsets)), "in order, and each once"
        assert sum(len(offsets) for _, offsets in batches) == 300

    run(scenario)


def test_a_failing_batch_is_handed_over_again_event_by_event() -> None:
    async def scenario() -> None:
        broker = broker_with(["a"] * 6)
        sizes: list[int] = []

        async def handle(events: Sequence[Event]) -> None:
            sizes.append(len(events))
            if any(event.value == b"3" for event in events):
                raise ValueError("poison")

        async with running(broker, batch_handler=handle, retry_max=1, retry_base_s=0.01):
            await until(all_committed(broker))
        assert [letter.value for letter in broker.logs["events.dead", 0]] == [b"3"], "the poison alone is dead"
        assert sizes == [6, 1, 1, 1, 1, 1, 1, 1], "all together; then each alone, the poison twice"

    run(scenario)


def test_a_batch_that_is_not_full_waits_for_more_and_no_longer_than_it_may() -> None:
    async def scenario() -> None:
        broker = broker_with([])
        batches: list[tuple[float, int]] = []

        async def handle(events: Sequence[Event]) -> None:
            batches.append((anyio.current_time(), len(events)))

        async with running(broker, batch_handler=handle, batch_max=10, batch_linger_s=5.0, fetch_wait_s=0.01):
            await anyio.sleep(1)
            begun_s = anyio.current_time()
            for number in range(10):
                broker.append("events", 0, b"full", b"%d" % number)
                await anyio.sleep(0.1)
            await until(lambda: bool(batches), within_s=2)
            assert batches[0][1] == 10, "full, so it did not wait any longer"
            assert batches[0][0] - begun_s < 3
            broker.append("events", 0, b"alone", b"")
            appended_s = anyio.current_time()
            await until(lambda: len(batches) == 2, within_s=10)
            assert batches[1][1] == 1
            assert 5.0 <= batches[1][0] - appended_s < 6.0

    run(scenario)
