"""What is done beyond the watermark travels in the commit's metadata: a restart does not run it again."""

from typing import Any

import anyio
import pytest

from engine import Event
from engine.core.done_map import METADATA_BYTES_MAX
from engine.ports import Committed
from engine.sim.broker import SimulatedBroker
from engine.sim.loop import run
from tests.simulation.plain import all_committed, broker_with, running, until

STUCK = b"0"


async def run_with_a_stuck_key(broker: SimulatedBroker, handled: list[int], **changes: Any) -> None:
    """Everything but the first event is handled and committed; then the process is gone."""

    async def handle(event: Event) -> None:
        if event.value == STUCK:
            await anyio.sleep_forever()
        handled.append(event.offset)

    begun = len(broker.logs["events", 0]) - 1
    async with running(broker, handle, stops=False, **changes):
        await until(lambda: len(handled) >= begun)
        await anyio.sleep(3)


def test_a_restart_runs_nothing_again_that_was_done_beyond_the_watermark() -> None:
    """Trap 4. Guards `PlainLedger.snapshot` and `PlainLedger.read`."""

    async def scenario() -> None:
        broker = broker_with([f"k{number % 40}" if number else "stuck" for number in range(2_000)])
        first: list[int] = []
        await run_with_a_stuck_key(broker, first)
        assert broker.committed[0].offset == 0, "the first event holds the watermark"
        second: list[int] = []

        async def handle(event: Event) -> None:
            second.append(event.offset)

        async with running(broker, handle):
            await until(all_committed(broker))
        assert second == [0], "the one that was not done, and nothing else"

    run(scenario)


def test_what_an_earlier_start_had_done_is_still_claimed_before_it_is_read_again() -> None:
    async def scenario() -> None:
        broker = broker_with([f"k{number % 40}" if number else "stuck" for number in range(2_000)])
        await run_with_a_stuck_key(broker, [])
        second: list[int] = []

        async def stuck_again(event: Event) -> None:
            await anyio.sleep_forever()

        async with running(broker, stuck_again, stops=False, fetch_max=10, in_flight_max=10, fetch_wait_s=5):
            await anyio.sleep(5)
        third: list[int] = []

        async def handle(event: Event) -> None:
            third.append(event.offset)

        async with running(broker, handle):
            await until(all_committed(broker))
        assert second == []
        assert third == [0]

    run(scenario)


def test_intake_never_stops_because_the_map_does_not_fit() -> None:
    """Trap 4: every second event of 28,000 is open; what is cut from the map is repeated, nothing is lost."""

    async def scenario() -> None:
        count = 28_000
        broker = broker_with(["odd" if number % 2 else f"k{number}" for number in range(count)])
        handled: list[int] = []

        async def handle(event: Event) -> None:
            if event.key != b"odd":
                await anyio.sleep_forever()
            handled.append(event.offset)

        limits: dict[str, Any] = {"in_flight_max": count, "fetch_max": 20_000, "concurrency": count}
        async with running(broker, handle, stops=False, **limits):
            await until(lambda: len(handled) == count // 2, within_s=600)
            await anyio.sleep(3)
        metadata = broker.committed[0].metadata
        assert 0 < len(metadata) <= METADATA_BYTES_MAX
        again: set[int] = set()

        async def handle_all(event: Event) -> None:
            again.add(event.offset)

        async with running(broker, handle_all, **limits):
            await until(all_committed(broker), within_s=600)
        assert set(range(0, count, 2)) <= again, "all that was open is handled"
        assert len(again) < count, "and some of what was done is not handled again"

    run(scenario)


@pytest.mark.parametrize("metadata", ["somebody else's", "keylane-done/9/AAAA", "keylane-done/1/AAAAAAAA", "ü" * 100])
def test_metadata_that_we_did_not_write_claims_nothing_and_crashes_nothing(metadata: str) -> None:
    """Trap 5."""

    async def scenario() -> None:
        broker = broker_with([f"k{number}" for number in range(20)])
        broker.committed[0] = Committed(5, metadata)
        handled: list[int] = []

        async def handle(event: Event) -> None:
            handled.append(event.offset)

        async with running(broker, handle):
            await until(all_committed(broker))
        assert sorted(handled) == list(range(5, 20))

    run(scenario)


def test_a_committed_offset_outside_the_log_halts_the_partition() -> None:
    """Trap 8, for plain handlers: never a silent reset. Guards `PlainLedger.start_offset`."""

    async def scenario(committed: int, beginning: int, reason: str) -> None:
        broker = broker_with([f"k{number}" for number in range(20)])
        broker.committed[0] = Committed(committed, "")
        broker.beginnings[0] = beginning
        handled: list[int] = []

        async def handle(event: Event) -> None:
            handled.append(event.offset)

        async with running(broker, handle) as engine:
            await anyio.sleep(3)
            held = engine.statistics().partitions[0].held_back_by
            assert held is not None
            assert reason in held.reason
        assert handled == []
        assert broker.committed[0].offset == committed

    run(lambda: scenario(25, 0, "truncated"))
    run(lambda: scenario(3, 10, "retention"))
