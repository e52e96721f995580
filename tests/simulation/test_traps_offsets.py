"""Traps of offsets and commits: gaps, late completions, torn metadata, commits that are refused, logs that were cut."""

import asyncio
import contextlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping

import anyio
import anyio.lowlevel
import pytest

from engine import Event
from engine.core.done_map import encode_done
from engine.errors import Unanswered
from engine.ports import Committed
from engine.sim.broker import SimulatedBroker, SimulatedLog
from engine.sim.loop import run
from tests.simulation.plain import TOPIC, all_committed, broker_with, running, until


def test_gaps_and_a_tail_of_nothing_are_crossed() -> None:
    """Trap 1. Guards `OffsetTracker.read_to`: what never arrives holds no watermark, and the lag ends at 0."""

    async def scenario() -> None:
        broker = broker_with([])
        handled: list[int] = []

        async def handle(event: Event) -> None:
            handled.append(event.offset)

        for number in range(50):
            broker.append(TOPIC, 0, b"k%d" % (number % 5), b"", gap=number % 4)
        broker.append_gap(0, 7)
        async with running(broker, handle) as engine:
            await until(all_committed(broker))
            (partition,) = engine.statistics().partitions
        assert partition.watermark == partition.end == broker.end(0) == broker.committed[0].offset
        assert sorted(handled) == [event.offset for event in broker.logs[TOPIC, 0]]

    run(scenario)


async def refuse_to_end(seconds: float) -> None:
    """Sleeps so long, whoever cancels it."""
    until_s = anyio.current_time() + seconds
    while (left_s := until_s - anyio.current_time()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(left_s)


def test_a_late_completion_of_the_assignment_before_changes_nothing() -> None:
    """Trap 2. Guards `Lanes.requeue`: a lane that was dropped ends with the handler that still runs in it."""

    async def scenario() -> None:
        broker = broker_with(["k"] * 3)
        started: list[int] = []

        async def handle(event: Event) -> None:
            started.append(event.offset)
            if started == [0]:
                await refuse_to_end(20)
            else:
                await anyio.sleep(60 if started == [0, 0] else 1)

        async with running(broker, handle, drain_s=1.0, handler_timeout_s=500.0):
            await until(lambda: started == [0])
            await broker.rebalance()
            await until(lambda: started == [0, 0])
            await anyio.sleep(40)
            assert started == [0, 0], "the second run of the first event is not over"
            assert broker.committed[0].offset == 0
            await until(all_committed(broker))
        assert started == [0, 0, 1, 2]

    run(scenario)


def test_what_was_queued_before_a_revoke_is_not_skipped_after_it() -> None:
    """Trap 3. Guards `PlainLedger.snapshot`: what is let go is what is done, not what was read."""

    async def scenario() -> None:
        broker = broker_with([f"k{number % 5}" for number in range(40)])
        handled: list[int] = []

        async def handle(event: Event) -> None:
            await anyio.sleep(1)
            handled.append(event.offset)

        async with running(broker, handle, concurrency=2, drain_s=0.5):
            for _ in range(4):
                await anyio.sleep(3)
                await broker.rebalance()
            await until(all_committed(broker))
        assert set(handled) == set(range(40))

    run(scenario)


def flipped(metadata: str, byte: int, bits: int) -> str:
    """The same with some bits of what stands behind the last slash changed."""
    head, slash, encoded = metadata.rpartition("/")
    content = bytearray(a2b_base64(encoded))
    content[byte] ^= bits
    return head + slash + b2a_base64(bytes(content), newline=False).decode()


def handled_from(committed: Committed, *, events: int = 40) -> list[int]:
    """What is handled by an engine that finds this commit."""
    handled: list[int] = []

    async def scenario() -> None:
        broker = broker_with([f"k{number}" for number in range(events)])
        broker.committed[0] = committed

        async def handle(event: Event) -> None:
            handled.append(event.offset)

        async with running(broker, handle):
            await until(all_committed(broker))

    run(scenario)
    return sorted(handled)


WHOLE = encode_done(5, 15, [5, 9])


def test_metadata_as_it_was_written_is_believed() -> None:
    """What the two tests below change."""
    assert handled_from(Committed(5, WHOLE)) == [5, 9, *range(15, 40)]


def test_metadata_that_was_torn_claims_nothing() -> None:
    """Trap 5. Guards the checksum in `_opened`: one bit more would claim the event at offset 9."""
    torn = flipped(WHOLE, 13, 0x08)
    assert torn != WHOLE
    assert handled_from(Committed(5, torn)) == list(range(5, 40))


def test_metadata_beyond_the_end_of_the_log_claims_nothing() -> None:
    """Trap 5. Guards the comparison with the end in `decode_done`: the log is another one than it was written for."""
    assert handled_from(Committed(5, encode_done(5, 100, [5]))) == list(range(5, 40))


class SlowCommits(SimulatedLog):
    """Every commit is on its way for a second."""

    async def commit(self, offsets: Mapping[int, Committed]) -> bool:
        await anyio.sleep(1.0)
        return await super().commit(offsets)


def test_what_is_done_during_a_commit_is_committed_too() -> None:
    """Trap 6. Guards `Committer.commit`: what counts as committed is what was sent, not what is done by then."""

    async def scenario() -> None:
        broker = broker_with(["k"] * 10)

        async def handle(event: Event) -> None:
            await anyio.sleep(0.15)

        async with running(broker, handle, log=SlowCommits(broker)):
            await anyio.sleep(1.2)
            assert 0 not in broker.committed, "the first commit is on its way"
            await until(all_committed(broker), within_s=10)

    run(scenario)


class RefusedCommits(SimulatedLog):
    """As mid-rebalance: refused, or not answered at all; then as it should be."""

    def __init__(self, broker: SimulatedBroker) -> None:
        super().__init__(broker)
        self.outcomes = ["refused", "unanswered", "refused"]

    async def commit(self, offsets: Mapping[int, Committed]) -> bool:
        match self.outcomes.pop(0) if self.outcomes else "taken":
            case "refused":
                return False
            case "unanswered":
                raise Unanswered("the coordinator is away")
        return await super().commit(offsets)


def test_a_commit_that_is_refused_is_neither_fatal_nor_counts() -> None:
    """Trap 7. Guards `if taken` in `Committer.commit`."""

    async def scenario() -> None:
        broker = broker_with(["k"] * 10)
        log = RefusedCommits(broker)

        async def handle(event: Event) -> None:
            await anyio.lowlevel.checkpoint()

        async with running(broker, handle, log=log):
            await until(lambda: not log.outcomes, within_s=10)
            assert broker.committed == {}
            await until(all_committed(broker), within_s=10)

    run(scenario)


@pytest.mark.parametrize("moved", ["cut", "truncated"])
def test_a_log_that_moves_under_its_reader_halts_the_partition(moved: str) -> None:
    """Trap 8. Guards what `Fetcher.run` does with OffsetOutOfRange: a clear error, never a silent reset."""

    async def scenario() -> None:
        broker = broker_with([f"k{number}" for number in range(20)])
        handled: list[int] = []

        async def handle(event: Event) -> None:
            handled.append(event.offset)

        async with running(broker, handle) as engine:
            await until(all_committed(broker))
            if moved == "cut":
                broker.append_gap(0, 30)
                broker.beginnings[0] = 40
            else:
                broker.ends[TOPIC, 0] = 10
                del broker.logs[TOPIC, 0][10:]
            await until(lambda: engine.statistics().partitions[0].state == "halted")
            held = engine.statistics().partitions[0].held_back_by
            assert held is not None
            assert ("retention cut them" if moved == "cut" else "it was truncated") in held.reason
        assert len(handled) == 20
        assert broker.committed[0].offset == 20

    run(scenario)
