"""What would grow without an end if nobody cut it: each test names the line that does."""

from collections.abc import Sequence

import anyio

from engine.core.lanes import Lane
from engine.event import EVENT_BYTES, Counts, Event, Message, memory_bytes, memory_bytes_of
from engine.notice import telling
from engine.runtime.dead_letters import DeadLetters, dead_letter
from engine.runtime.deferred import VOID_MAX, Deferred
from engine.runtime.ledger import PlainLedger
from engine.state.epoch import Epoch
from engine.state.packing import Counters, Stored
from engine.state.seen import Seen
from engine.telemetry import Silence
from tests.unit.state.events import FakeEvent


class NoSender:
    async def send(self, messages: Sequence[Message]) -> None:
        raise AssertionError("nothing is sent here")


def event(offset: int) -> Event:
    return FakeEvent(b"key-%d" % offset, 0, offset=offset, value=b"value")


def epoch(buckets: int) -> Epoch:
    return Epoch(
        0, [Stored(b"", Counters(), None)] * buckets, nonce=1, horizon_d=34, partitions=1, seen=Seen(),
        queue=lambda own: None, released=lambda prepared: None, on_end=lambda reason: None,
    )  # fmt: skip


def test_key_value_and_headers_count() -> None:
    bare = FakeEvent(None, 0)
    assert memory_bytes(bare) == EVENT_BYTES
    full = bare._replace(key=b"12", value=b"345", headers=(("6", b"789"),))
    assert memory_bytes(full) == EVENT_BYTES + 9
    for events in ([full], [bare, full, full]):
        assert memory_bytes_of(events) == sum(map(memory_bytes, events))


def test_lanes_that_wait_no_more_leave_the_heap() -> None:
    """Guards `_forget_void` in `hasten`."""

    async def scenario() -> None:
        deferred = Deferred(lambda lane: None)
        for number in range(4 * VOID_MAX):
            lane = Lane(number, None)
            deferred.push(lane, 3_600.0, "waits for more")
            deferred.hasten(lane)
        assert len(deferred) == 0
        assert len(deferred._heap) <= VOID_MAX

    anyio.run(scenario)


def test_nothing_of_an_ended_epoch_waits() -> None:
    """Guards `forget_dropped` of both."""

    async def scenario() -> None:
        deferred = Deferred(lambda lane: None)
        letters = DeadLetters(NoSender(), Silence(), telling(None, None))
        for number in range(10):
            lane = Lane(number, None)
            lane.dropped = number != 0
            deferred.push(lane, 3_600.0, "retries")
            letters.push(lane, [dead_letter(event(number), "poison", 1)], lambda: None)
        deferred.forget_dropped()
        letters.forget_dropped()
        assert [entry[2].name for entry in deferred._heap] == [0]
        assert [waiting.lane.name for waiting in letters._waiting] == [0]

    anyio.run(scenario)


def test_an_epoch_that_is_over_keeps_no_event() -> None:
    """Guards `forget` of both ledgers: cycles and calls in doubt may keep the ledger itself for long."""
    events = [event(number) for number in range(10)]
    plain = PlainLedger(0, released=lambda prepared: None, on_end=lambda reason: None, tell=telling(None, None))
    plain.begin(0)
    plain.read(events, 10, 0)
    plain.open(b"key", events)
    stateful = epoch(1)
    stateful.begin(0)
    stateful.read(events, 10, 0)
    stateful.open(b"key", events[:5])
    stateful.finish(b"key", [(each, Counts(bytes(16))) for each in events[5:]], waited=False)
    for ledger in (plain, stateful):
        ledger.end("over")
        ledger.forget()
    assert plain.oldest() is None
    assert stateful.slices[0].oldest() is None
