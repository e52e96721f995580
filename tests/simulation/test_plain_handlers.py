"""Plain handlers in virtual time: order of a key, one at a time, nothing lost, whatever group and handler do."""

from collections.abc import Awaitable, Callable
from random import Random

import anyio
import pytest

from engine import Engine, EngineConfig, Event
from engine.sim.broker import SimulatedBroker, SimulatedLog, SimulatedSender
from engine.sim.loop import SimulatedClock, run
from engine.testing.guarantees import Guarantees, HashChain
from engine.testing.journal import Occurrence
from engine.testing.simulation import SeenLog

TOPIC = "events"


def config(**changes: object) -> EngineConfig:
    return EngineConfig.from_settings({}, topic=TOPIC, group="g", **changes)


async def until_committed(broker: SimulatedBroker, longest_s: float = 60) -> None:
    with anyio.fail_after(longest_s):
        while any(  # noqa: ASYNC110
            (
                broker.committed.get(number) is None
                or broker.committed[number].offset < broker.ends.get((TOPIC, number), 0)
            )
            for number in range(broker.partitions)
        ):
            await anyio.sleep(0.1)


def new_engine(
    broker: SimulatedBroker,
    handler: object,
    warnings: list[str],
    log: SimulatedLog | None = None,
    **changes: object,
) -> Engine:
    return Engine(
        config(**changes),
        log=log or SimulatedLog(broker),
        sender=SimulatedSender(broker),
        clock=SimulatedClock(),
        handler=handler,  # type: ignore[arg-type]
        random=broker.random,
        warn=warnings.append,
    )


@pytest.mark.parametrize("seed", range(20))
def test_order_and_at_least_once_through_rebalances(seed: int) -> None:
    async def scenario() -> None:
        random = Random(seed)
        broker = SimulatedBroker(random, TOPIC, 1, loss=0.02)
        guarantees, chain = Guarantees(), HashChain()

        def handler(worker: str) -> Callable[[Event], Awaitable[None]]:
            def see(what: str, event: Event) -> None:
                guarantees.see(Occurrence.of(what, event, worker=worker, time_s=anyio.current_time()))

            async def handle(event: Event) -> None:
                see("started", event)
                await anyio.sleep(random.expovariate(50))
                if random.random() < 0.05:
                    see("failed", event)
                    raise ConnectionError("the dependency hiccups")
                chain.apply(event.partition, event.key or b"", event.offset, event.value or b"")
                see("done", event)

            return handle

        for number in range(300):
            broker.append(TOPIC, 0, b"k%d" % random.randrange(12), b"%d" % number, gap=random.choice((0, 0, 0, 2)))
        async with anyio.create_task_group() as tasks:
            engines = []
            for worker in ("a", "b"):
                log = SeenLog(broker, worker, guarantees)
                engines.append(new_engine(broker, handler(worker), [], log=log, retry_max=50, drain_s=2.0))
                tasks.start_soon(engines[-1].run)
            for _ in range(3):
                await anyio.sleep(random.uniform(0.1, 0.6))
                await broker.rebalance()
            await until_committed(broker)
            for engine in engines:
                engine.stop()
        log_of_topic = broker.logs[TOPIC, 0]
        assert guarantees.faults((0, event.offset) for event in log_of_topic) == []
        wanted = HashChain()
        for event in log_of_topic:
            wanted.apply(0, event.key or b"", event.offset, event.value or b"")
        assert wanted.differences(chain.links) == []

    run(scenario)


def test_a_failing_key_holds_back_no_other() -> None:
    """Trap 16: half of 1,000 keys fail for ever at concurrency 14; the good half is done in its normal time."""

    async def scenario() -> None:
        random = Random(1)
        broker = SimulatedBroker(random, TOPIC, 1)
        good: set[bytes] = set()

        async def handle(event: Event) -> None:
            await anyio.sleep(0.001)
            if int((event.key or b"0")[1:]) % 2:
                raise ValueError("poison")
            good.add(event.key or b"")

        for number in range(1_000):
            broker.append(TOPIC, 0, b"k%d" % number, b"")
        async with anyio.create_task_group() as tasks:
            engine = new_engine(broker, handle, [], concurrency=14, retry_max=1_000, retry_base_s=1.0, retry_cap_s=5.0)
            tasks.start_soon(engine.run)
            with anyio.fail_after(5):
                while len(good) < 500:  # noqa: ASYNC110
                    await anyio.sleep(0.05)
            held = engine.statistics().partitions[0].held_back_by
            assert held is not None
            assert held.offset == 1
            assert "ValueError: poison" in held.reason
            tasks.cancel_scope.cancel()

    run(scenario)


def test_the_last_failure_goes_to_the_dead_letter_topic_with_its_cause() -> None:
    async def scenario() -> None:
        broker = SimulatedBroker(Random(1), TOPIC, 1, loss=0.1)

        async def handle(event: Event) -> None:
            if event.value == b"bad":
                raise ValueError("cannot be handled")

        broker.append(TOPIC, 0, b"a", b"good")
        broker.append(TOPIC, 0, b"a", b"bad")
        broker.append(TOPIC, 0, b"a", b"good")
        async with anyio.create_task_group() as tasks:
            engine = new_engine(broker, handle, [], retry_max=2, retry_base_s=0.01)
            tasks.start_soon(engine.run)
            await until_committed(broker)
            engine.stop()
        letters = broker.logs[f"{TOPIC}.dead", 0]
        assert {letter.value for letter in letters} == {b"bad"}
        headers = dict(letters[0].headers)
        assert headers["error"] == b"ValueError: cannot be handled"
        assert (headers["attempts"], headers["source-offset"]) == (b"3", b"1")

    run(scenario)


def test_a_handler_that_never_returns_is_timed_out_and_leaks_nothing() -> None:
    """Trap 20, the handler's side: raises, cancels itself, hangs."""

    async def scenario() -> None:
        broker = SimulatedBroker(Random(1), TOPIC, 1)

        async def handle(event: Event) -> None:
            match event.value:
                case b"hang":
                    await anyio.sleep_forever()
                case b"cancel":
                    raise anyio.get_cancelled_exc_class()()

        for value in (b"fine", b"hang", b"cancel", b"fine"):
            broker.append(TOPIC, 0, b"a", value)
        async with anyio.create_task_group() as tasks:
            engine = new_engine(broker, handle, [], retry_max=1, retry_base_s=0.01, handler_timeout_s=0.5)
            tasks.start_soon(engine.run)
            await until_committed(broker)
            statistics = engine.statistics()
            engine.stop()
        assert statistics.partitions[0].in_flight == 0
        assert [letter.value for letter in broker.logs[f"{TOPIC}.dead", 0]] == [b"hang", b"cancel"]

    run(scenario)


def test_reading_pauses_at_the_limit_and_goes_on() -> None:
    """Trap 19: bounded in flight, and a fast drain loses no wake-up."""

    async def scenario() -> None:
        broker = SimulatedBroker(Random(1), TOPIC, 2)
        most = 0

        async def handle(event: Event) -> None:
            nonlocal most
            most = max(most, sum(each.in_flight for each in engine.statistics().partitions))
            await anyio.sleep(0.01)

        for number in range(2_000):
            broker.append(TOPIC, number % 2, b"k%d" % (number % 50), b"x" * 10)
        async with anyio.create_task_group() as tasks:
            engine = new_engine(broker, handle, [], in_flight_max=100, fetch_max=40)
            tasks.start_soon(engine.run)
            await until_committed(broker)
            engine.stop()
        assert 100 <= most <= 2 * 100 + 2 * 40

    run(scenario)


def test_stop_finishes_what_runs_and_commits_it() -> None:
    """Trap 13: a second start repeats only what was not committed."""

    async def scenario() -> None:
        broker = SimulatedBroker(Random(1), TOPIC, 1)
        handled: list[int] = []

        async def handle(event: Event) -> None:
            await anyio.sleep(0.05)
            handled.append(event.offset)

        for number in range(200):
            broker.append(TOPIC, 0, b"k%d" % (number % 10), b"")
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                engine = new_engine(broker, handle, [], in_flight_max=50, fetch_max=10)
                tasks.start_soon(engine.run)
                await anyio.sleep(0.3)
                engine.stop()
            assert broker.committed[0].offset == len(handled), "every event handled is committed, and in order"
        assert sorted(handled) == list(range(len(handled))), "nothing ran twice"

    run(scenario)


def test_a_handler_that_outlasts_the_drain_never_runs_beside_the_next_owner() -> None:
    """Trap 11: what still runs at the deadline is cancelled, and nothing behind it begins."""

    async def scenario() -> None:
        broker = SimulatedBroker(Random(1), TOPIC, 1)
        guarantees = Guarantees()

        def handler(worker: str) -> Callable[[Event], Awaitable[None]]:
            async def handle(event: Event) -> None:
                guarantees.see(Occurrence.of("started", event, worker=worker))
                what = "failed"
                try:
                    await anyio.sleep(3.0)
                    what = "done"
                finally:
                    guarantees.see(Occurrence.of(what, event, worker=worker))

            return handle

        for number in range(10):
            broker.append(TOPIC, 0, b"k", b"%d" % number)
        async with anyio.create_task_group() as tasks:
            engines = []
            for worker in ("a", "b"):
                log = SeenLog(broker, worker, guarantees)
                engines.append(new_engine(broker, handler(worker), [], log=log, drain_s=1.0))
                tasks.start_soon(engines[-1].run)
            for _ in range(8):
                await anyio.sleep(3.5)
                await broker.rebalance()
            await until_committed(broker)
            for engine in engines:
                engine.stop()
        assert guarantees.faults((0, event.offset) for event in broker.logs[TOPIC, 0]) == []

    run(scenario)
