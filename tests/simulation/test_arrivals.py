"""Events that are handed over as they came, before lanes are made: what is promised of lanes holds."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from random import Random

import anyio
import anyio.lowlevel
import pytest

from engine import Engine, Event
from engine.runtime.attempts import UNBROKEN_MAX
from engine.runtime.ledger import PlainLedger
from engine.sim.broker import SimulatedBroker
from engine.sim.loop import run
from engine.testing.guarantees import Guarantees
from engine.testing.journal import Occurrence
from engine.testing.simulation import SeenLog
from tests.simulation.plain import TOPIC, all_committed, broker_with, running, until

SEEN: ContextVar[int] = ContextVar("seen", default=-1)


@pytest.mark.parametrize("waits", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("seed", range(6))
def test_whatever_waits_or_fails_order_and_one_at_a_time_hold(seed: int, waits: float) -> None:
    """Guards `Arrivals._disperse` and `Arrivals._first`: what is behind an event of its key stays behind it."""

    async def scenario() -> None:
        random, guarantees = Random(seed), Guarantees()
        broker = broker_with([f"k{random.randrange(9)}" for _ in range(600)], seed=seed)

        async def handle(event: Event) -> None:
            def see(what: str) -> None:
                guarantees.see(Occurrence.of(what, event, worker="w", time_s=anyio.current_time()))

            see("started")
            if random.random() < waits:
                await anyio.sleep(random.expovariate(100))
            if random.random() < 0.01:
                see("failed")
                raise ConnectionError("the dependency hiccups")
            see("done")

        log = SeenLog(broker, "w", guarantees)
        async with running(broker, handle, log=log, retry_max=50, retry_base_s=0.01, fetch_max=100):
            await until(all_committed(broker))
        assert guarantees.faults((0, event.offset) for event in broker.logs[TOPIC, 0]) == []

    run(scenario)


async def _zero() -> None:
    await asyncio.sleep(0)


async def _checkpoint() -> None:
    await anyio.lowlevel.checkpoint()


async def _timer_then_zero() -> None:
    await asyncio.sleep(0.01)
    await asyncio.sleep(0)


@pytest.mark.parametrize("waits", [_zero, _checkpoint, _timer_then_zero])
def test_a_handler_that_only_lets_others_go_on_waits_too(waits: Callable[[], Awaitable[None]]) -> None:
    """Guards the flag in `Walk`: what such a handler yields is None."""

    async def scenario() -> None:
        guarantees = Guarantees()
        broker = broker_with([f"k{number % 9}" for number in range(100)])

        async def handle(event: Event) -> None:
            def see(what: str) -> None:
                guarantees.see(Occurrence.of(what, event, worker="w", time_s=anyio.current_time()))

            see("started")
            await waits()
            see("done")

        log = SeenLog(broker, "w", guarantees)
        async with running(broker, handle, log=log) as engine:
            await until(all_committed(broker))
            assert engine.statistics().counters.consumed == 100
        assert guarantees.faults((0, event.offset) for event in broker.logs[TOPIC, 0]) == []

    run(scenario)


def test_a_pause_from_within_a_handler_holds_from_the_next_event_on() -> None:
    """Guards `holds` in `Walk`."""

    async def scenario() -> None:
        broker = broker_with(["k"] * 50)
        handled: list[int] = []

        async def handle(event: Event) -> None:
            handled.append(event.offset)
            if event.offset == 9:
                pauses[0].pause(key=b"k")

        pauses: list[Engine] = []
        async with running(broker, handle) as engine:
            pauses.append(engine)
            await anyio.sleep(2)
            assert handled == list(range(10))
            engine.resume(key=b"k")
            await until(all_committed(broker))
        assert handled == list(range(50))

    run(scenario)


def test_a_fault_of_the_book_keeping_ends_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards `broken` in `Turns._settle_soon`: nobody waits for a callback, and nothing may go on without it."""

    def lose(ledger: PlainLedger, events: Sequence[Event]) -> None:
        raise LookupError("an offset that was never opened")

    async def scenario() -> None:
        monkeypatch.setattr(PlainLedger, "handled", lose)

        async def handle(event: Event) -> None:
            return

        async with running(broker_with(["k"]), handle):
            await anyio.sleep(2)

    with pytest.raises(ExceptionGroup) as raised:
        run(scenario)
    assert raised.value.subgroup(LookupError) is not None


def test_nobody_is_kept_waiting_by_handlers_that_do_not_wait() -> None:
    """Guards UNBROKEN_MAX: what else runs in the process gets its turn between the events."""

    async def scenario() -> None:
        broker = broker_with([f"k{number % 7}" for number in range(20 * UNBROKEN_MAX)])
        unbroken = longest = 0

        def others() -> None:
            nonlocal unbroken
            unbroken = 0

        async def handle(event: Event) -> None:
            nonlocal unbroken, longest
            if not unbroken:
                asyncio.get_running_loop().call_soon(others)
            unbroken += 1
            longest = max(longest, unbroken)

        async with running(broker, handle, in_flight_max=100_000, fetch_max=50_000):
            await until(all_committed(broker))
        assert longest == UNBROKEN_MAX

    run(scenario)


def test_the_first_that_waits_holds_nobody_back() -> None:
    async def scenario() -> None:
        broker = broker_with([f"k{number}" for number in range(200)])
        begun: list[float] = []

        async def handle(event: Event) -> None:
            begun.append(anyio.current_time())
            await anyio.sleep(1.0)

        async with running(broker, handle):
            await until(lambda: len(begun) == 200)
            assert max(begun) - min(begun) < 0.5
            await until(all_committed(broker))

    run(scenario)


def test_a_handler_stays_in_its_task_and_its_context_when_it_waits() -> None:
    """Time-outs of the user's, and whatever else asks for the current task, work from the first step on."""

    async def scenario() -> None:
        broker = broker_with(["a", "b", "a"])
        timed_out: list[int] = []

        async def handle(event: Event) -> None:
            task = asyncio.current_task()
            SEEN.set(event.offset)
            try:
                async with asyncio.timeout(0.05):
                    await asyncio.sleep(0.01 if event.offset == 1 else 10)
            except TimeoutError:
                timed_out.append(event.offset)
            await asyncio.sleep(0.01)
            assert SEEN.get() == event.offset
            assert asyncio.current_task() is task

        async with running(broker, handle, retry_max=0):
            await until(all_committed(broker))
        assert timed_out == [0, 2]
        assert (f"{TOPIC}.dead", 0) not in broker.logs

    run(scenario)


def test_a_pause_holds_what_has_arrived_and_was_not_handed_over() -> None:
    async def scenario() -> None:
        broker = broker_with([f"k{number % 3}" for number in range(4 * UNBROKEN_MAX)])
        handled: list[int] = []

        async def handle(event: Event) -> None:
            handled.append(event.offset)
            if event.offset == 10:
                engine.pause(key=b"k0")

        async with running(broker, handle) as engine:
            await until(lambda: len(handled) > UNBROKEN_MAX)
            await anyio.sleep(1)
            assert [offset for offset in handled if offset % 3 == 0 and offset >= UNBROKEN_MAX] == []
            engine.resume(key=b"k0")
            await until(all_committed(broker))
        assert [offset for offset in handled if offset % 3 == 0] == [*range(0, 4 * UNBROKEN_MAX, 3)]

    run(scenario)


def test_what_has_arrived_is_let_go_with_its_partition() -> None:
    """A worker that is killed in the middle loses nothing, and its heir repeats no key out of order."""

    async def scenario() -> None:
        broker = SimulatedBroker(Random(1), TOPIC, 1)
        for number in range(3 * UNBROKEN_MAX):
            broker.append(TOPIC, 0, b"k%d" % (number % 5), b"")
        done: list[int] = []

        async def stuck(event: Event) -> None:
            if event.offset == UNBROKEN_MAX + 5:
                await anyio.sleep_forever()
            done.append(event.offset)

        async def handle(event: Event) -> None:
            done.append(event.offset)

        async with running(broker, stuck, drain_s=1.0, handler_timeout_s=1_000.0) as engine:
            await until(lambda: len(done) > 2 * UNBROKEN_MAX)
            held = engine.statistics().partitions[0].held_back_by
            assert held is not None
            assert (held.offset, held.reason) == (UNBROKEN_MAX + 5, "running")
        assert broker.committed[0].offset == UNBROKEN_MAX + 5
        assert UNBROKEN_MAX + 5 not in done
        async with running(broker, handle):
            await until(all_committed(broker))
        assert sorted(done) == [*range(3 * UNBROKEN_MAX)], "nothing is lost, and nothing that was done runs again"

    run(scenario)


@pytest.mark.parametrize("first", [0, 1])
def test_what_returns_when_it_is_cancelled_is_done_and_nothing_of_its_key_follows(first: int) -> None:
    """Guards `attempts.over` in `Turns._handle_each`."""

    async def scenario() -> None:
        broker = broker_with(["k"] * 5)
        begun: list[int] = []

        async def stubborn(event: Event) -> None:
            begun.append(event.offset)
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(100 if event.offset >= first else 0.01)

        async with running(broker, stubborn, drain_s=1.0):
            await until(lambda: len(begun) == first + 1)
        assert begun == [*range(first + 1)]
        assert broker.committed[0].offset == first + 1

    run(scenario)
