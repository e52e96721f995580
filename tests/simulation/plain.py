"""A broker and engines with plain handlers in virtual time, for the tests beside."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

import anyio

from engine import Engine, EngineConfig, Event
from engine.errors import Unanswered
from engine.event import Message
from engine.runtime.statistics import Parked
from engine.sim.broker import SimulatedBroker, SimulatedLog, SimulatedSender
from engine.sim.loop import Process, SimulatedClock

TOPIC = "events"


class Away(SimulatedSender):
    """A dead-letter topic that is away until somebody says otherwise."""

    away = True
    tried = 0

    async def send(self, messages: Sequence[Message]) -> None:
        self.tried += 1
        if self.away:
            await anyio.sleep(1.0)
            raise Unanswered("the topic is away")
        await super().send(messages)


def broker_with(keys: Sequence[str], *, partitions: int = 1, seed: int = 1) -> SimulatedBroker:
    """One event for each of `keys`, in this order; its value is its place in it."""
    broker = SimulatedBroker(Random(seed), TOPIC, partitions)
    for number, key in enumerate(keys):
        broker.append(TOPIC, number % partitions, key.encode(), b"%d" % number)
    return broker


@asynccontextmanager
async def running(
    broker: SimulatedBroker,
    handler: Callable[[Event], Awaitable[None]] | None = None,
    *,
    batch_handler: Callable[[Sequence[Event]], Awaitable[None]] | None = None,
    log: SimulatedLog | None = None,
    sender: SimulatedSender | None = None,
    stops: bool = True,
    **changes: object,
) -> AsyncIterator[Engine]:
    """An engine that runs; stopped (or, without `stops`, killed) when the block ends."""
    engine = Engine(
        EngineConfig.from_settings({}, topic=TOPIC, group="g", **changes),
        log=log or SimulatedLog(broker),
        sender=sender or SimulatedSender(broker),
        clock=SimulatedClock(),
        handler=handler,
        batch_handler=batch_handler,
        random=broker.random,
    )
    process = Process()
    task = process.context().run(asyncio.create_task, engine.run())
    try:
        yield engine
    finally:
        if task.done():
            task.result()  # why the block failed
    if stops:
        engine.stop()
        await task
    else:
        process.kill()


async def until(condition: Callable[[], bool], *, within_s: float = 60.0) -> None:
    """Fails if it does not hold within so many virtual seconds."""
    with anyio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.01)


def parked(engine: Engine) -> Sequence[Parked]:
    return [each for partition in engine.statistics().partitions for each in partition.parked]


def all_committed(broker: SimulatedBroker) -> Callable[[], bool]:
    def holds() -> bool:
        return all(
            (done := broker.committed.get(number)) is not None and done.offset >= broker.ends.get((TOPIC, number), 0)
            for number in range(broker.partitions)
        )

    return holds
