"""What happens after a handler failed for the last time, and when everybody's handlers fail."""

from collections.abc import Sequence
from random import Random

import anyio
import pytest

from engine import Event, HandlerFailed, Message, Unsendable
from engine.sim.broker import SimulatedBroker, SimulatedEvent, SimulatedSender
from engine.sim.loop import run
from tests.simulation.plain import Away, all_committed, broker_with, parked, running, until


class Unheard(BaseException):
    """What no `except Exception` sees."""


def values(events: list[SimulatedEvent]) -> list[bytes | None]:
    return [event.value for event in events]


def test_failing_keys_keep_no_place_while_the_dead_letter_topic_is_away() -> None:
    """Traps 16 and 21. Guards `DeadLetters.push`: a lane that waits for an acknowledgement holds no place to run."""

    async def scenario() -> None:
        broker = broker_with([f"{'bad' if number < 50 else 'good'}{number}" for number in range(100)])
        sender = Away(broker)
        good: list[bytes | None] = []

        async def handle(event: Event) -> None:
            if (event.key or b"").startswith(b"bad"):
                raise ValueError("poison")
            good.append(event.value)

        async with running(broker, handle, sender=sender, concurrency=4, retry_max=0, breaker_keys=0) as engine:
            await until(lambda: len(good) == 50, within_s=1)
            await until(lambda: sender.tried > 2)
            assert engine.statistics().counters.retries == 0
            assert broker.committed[0].offset == 0, "nothing is done before its letter is acknowledged"
            held = engine.statistics().partitions[0].held_back_by
            assert held is not None
            assert held.reason == "the dead-letter topic does not answer: the topic is away"
            sender.away = False
            await until(all_committed(broker))
        assert sorted(values(broker.logs["events.dead", 0]), key=lambda value: int(value or b"")) == [
            b"%d" % number for number in range(50)
        ]

    run(scenario)


def test_a_handler_that_raises_what_nobody_catches_fails_like_any_other() -> None:
    """Trap 20. Guards the `except BaseException` of `Arrivals._over` and `Turns._handle_each`."""

    async def scenario() -> None:
        broker = broker_with(["a", "b", "a"])
        handled: list[bytes | None] = []

        async def handle(event: Event) -> None:
            if event.value == b"0":
                raise Unheard
            handled.append(event.value)

        async with running(broker, handle, retry_max=2, retry_base_s=0.01) as engine:
            await until(all_committed(broker))
            statistics = engine.statistics()
        assert handled == [b"1", b"2"]
        assert values(broker.logs["events.dead", 0]) == [b"0"]
        assert (statistics.lanes.running, statistics.lanes.ready, statistics.lanes.deferred) == (0, 0, 0)
        assert statistics.partitions[0].in_flight_bytes == 0

    run(scenario)


@pytest.mark.parametrize("bury", [False, True])
def test_a_parked_key_stops_and_is_released_by_command(bury: bool) -> None:
    """Trap 22. Guards the `park` of `Turns._give_up`, and `Turns.release`."""

    async def scenario() -> None:
        broker = broker_with(["a", "b", "a", "b", "a"])
        handled: list[bytes | None] = []
        broken = True

        async def handle(event: Event) -> None:
            if broken and event.key == b"a":
                raise ValueError("poison")
            handled.append(event.value)

        async with running(broker, handle, on_failure="park", retry_max=1, retry_base_s=0.01) as engine:
            await until(lambda: bool(parked(engine)))
            await anyio.sleep(5)
            partition = engine.statistics().partitions[0]
            stuck = partition.parked[0]
            assert (stuck.offset, stuck.events, partition.in_flight) == (0, 3, 3), "what is behind it waits"
            assert partition.held_back_by is not None
            assert "parked after 2 attempts: ValueError: poison" in partition.held_back_by.reason
            assert handled == [b"1", b"3"], "everything else goes on"
            with pytest.raises(LookupError, match="not parked"):
                engine.release(b"b")
            broken = False
            engine.release(b"a", bury=bury)
            await until(all_committed(broker))
        assert handled[2:] == ([b"2", b"4"] if bury else [b"0", b"2", b"4"])
        assert values(broker.logs.get(("events.dead", 0), [])) == ([b"0"] if bury else [])

    run(scenario)


def test_a_parked_key_holds_others_only_at_the_limit_of_what_is_in_flight() -> None:
    """Trap 22: it counts into the partition's limit, and when that is reached everything waits, and says so."""

    async def scenario() -> None:
        broker = broker_with(["a"] * 30 + ["b"] * 30)

        async def handle(event: Event) -> None:
            if event.key == b"a":
                raise ValueError("poison")

        async with running(
            broker, handle, on_failure="park", retry_max=0, in_flight_max=20, fetch_max=10, stops=False
        ) as engine:
            await anyio.sleep(5)
            partition = engine.statistics().partitions[0]
            assert partition.state == "paused"
            assert partition.in_flight == 20
            engine.release(b"a", bury=True)
            await until(lambda: [each.offset for each in parked(engine)] == [1])

    run(scenario)


def test_a_stop_does_not_wait_for_what_is_parked() -> None:
    async def scenario() -> None:
        broker = broker_with(["a", "b"])

        async def handle(event: Event) -> None:
            if event.key == b"a":
                raise ValueError("poison")

        async with running(broker, handle, on_failure="park", retry_max=0, drain_s=50) as engine:
            await until(lambda: bool(parked(engine)))
            begun_s = anyio.current_time()
        assert anyio.current_time() - begun_s < 10
        assert broker.committed[0].offset == 0

    run(scenario)


def test_the_engine_stops_where_it_is_told_to_and_says_why() -> None:
    async def scenario() -> None:
        broker = broker_with(["a", "b", "a", "b"])
        handled: list[bytes | None] = []

        async def handle(event: Event) -> None:
            if event.value == b"2":
                raise ValueError("poison")
            handled.append(event.value)

        with pytest.raises(HandlerFailed) as caught:
            async with running(broker, handle, on_failure="stop", retry_max=1, retry_base_s=0.01):
                await anyio.sleep(30)
        failure = caught.value
        assert (failure.partition, failure.offset) == (0, 2)
        assert "ValueError: poison" in str(failure)
        assert handled == [b"0", b"1", b"3"]
        assert broker.committed[0].offset == 2, "a restart begins with the event that failed"

    run(scenario)


def test_what_is_down_for_everybody_makes_no_dead_letters() -> None:
    """Capability 6. Guards `Circuit.failed` in `Turns._failed`: an attempt that says nothing does not count."""

    async def scenario() -> None:
        broker = broker_with([f"k{number}" for number in range(500)])
        calls = 0
        down = True

        async def handle(event: Event) -> None:
            nonlocal calls
            calls += 1
            await anyio.sleep(0.01)
            if down:
                raise ConnectionError("the dependency is down")

        async with running(broker, handle, concurrency=10, retry_max=2, retry_base_s=0.01, breaker_keys=20) as engine:
            await anyio.sleep(300)
            assert engine.statistics().lanes.breaker_open
            assert calls < 100, "one at a time is tried, further and further apart"
            held = engine.statistics().partitions[0].held_back_by
            assert held is not None
            assert "circuit breaker" in held.reason
            down = False
            await until(all_committed(broker), within_s=40)
            assert not engine.statistics().lanes.breaker_open
        assert ("events.dead", 0) not in broker.logs

    run(scenario)


def test_many_failing_keys_do_not_open_the_breaker_while_others_succeed() -> None:
    async def scenario() -> None:
        broker = broker_with([f"k{number}" for number in range(1_000)])

        async def handle(event: Event) -> None:
            await anyio.sleep(0.001)
            if event.offset % 2:
                raise ValueError("poison")

        async with running(broker, handle, concurrency=14, retry_max=1, retry_base_s=0.01, breaker_keys=20):
            await until(all_committed(broker), within_s=10)
        assert len(broker.logs["events.dead", 0]) == 500

    run(scenario)


class Strict(SimulatedSender):
    """Takes no message whose key or value is longer than this."""

    bytes_max = 2_000
    tried = 0

    async def send(self, messages: Sequence[Message]) -> None:
        self.tried += 1
        if any(max(len(message.key or b""), len(message.value or b"")) > self.bytes_max for message in messages):
            raise Unsendable("a message is too large")
        await super().send(messages)


def test_a_letter_that_is_too_large_is_cut_and_no_other_is() -> None:
    """Guards `DeadLetters._send_each`: one of many letters is refused, and nobody says which."""

    async def scenario() -> None:
        broker = SimulatedBroker(Random(1), "events", 1)
        for key, value in ((b"a", b"x" * 5_000), (b"b", b"y" * 1_500), (b"k" * 4_000, b"z" * 1_500)):
            broker.append("events", 0, key, value)
        sender = Strict(broker)

        async def handle(event: Event) -> None:
            raise ValueError("poison")

        async with running(broker, handle, sender=sender, retry_max=0, breaker_keys=0):
            await until(all_committed(broker))
        letters = {dict(letter.headers)["source-offset"]: letter for letter in broker.logs["events.dead", 0]}
        assert letters[b"0"].value == b"x" * 1_000
        assert letters[b"1"].value == b"y" * 1_500, "whole"
        assert letters[b"2"].key == b"k" * 1_000

    run(scenario)


def test_a_letter_that_is_never_taken_waits_and_holds_its_own_key_alone() -> None:
    async def scenario() -> None:
        broker = broker_with(["a", "b", "b"])
        sender = Strict(broker)

        async def handle(event: Event) -> None:
            if event.key == b"a":
                sender.bytes_max = 0
            raise ValueError("poison")

        async with running(broker, handle, sender=sender, retry_max=0, breaker_keys=0, concurrency=1, stops=False):
            await anyio.sleep(60)
            assert sender.tried < 60, "further and further apart"
            sender.bytes_max = 2_000
            await until(all_committed(broker))
        assert len(broker.logs["events.dead", 0]) == 3

    run(scenario)


@pytest.mark.parametrize("ordering", ["key", "none"])
def test_the_breaker_counts_what_shares_an_order(ordering: str) -> None:
    """Without an order every event is by itself: an outage is seen though no event has a key."""

    async def scenario() -> None:
        broker = SimulatedBroker(Random(1), "events", 1)
        for number in range(500):
            broker.append("events", 0, b"k%d" % number if ordering == "key" else None, b"")

        async def handle(event: Event) -> None:
            await anyio.sleep(0.01)
            raise ConnectionError("the dependency is down")

        async with running(broker, handle, ordering=ordering, concurrency=10, retry_base_s=0.01, stops=False) as engine:
            await anyio.sleep(60)
            assert engine.statistics().lanes.breaker_open
        assert ("events.dead", 0) not in broker.logs

    run(scenario)
