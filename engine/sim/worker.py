"""One worker of a simulated world: a process with an engine in it."""

from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any, Final

import anyio

from engine.config import EngineConfig
from engine.runtime.engine import Engine
from engine.sim.broker import SimulatedBroker, SimulatedLog, SimulatedSender
from engine.sim.loop import Process, SimulatedClock
from engine.sim.metering import Fact, Knowledge, Metering
from engine.sim.plan import DAYS_A_SECOND
from engine.sim.server import SimulatedServer

TOPIC: Final = "events"
GROUP: Final = "simulated"
BUCKETS: Final = 3
HORIZON_D: Final = 2
IN_FLIGHT_MAX: Final = 20
FETCH_MAX: Final = 10
REBALANCE_S: Final = 0.9
AHEAD_MAX: Final = 25
CLOCK_SCALE: Final = DAYS_A_SECOND * 86_400
CLOCK_SKEW_MS: Final = round(0.1 * 86_400_000)


class Worker:
    """A process with an engine in it, and what else it does."""

    def __init__(
        self,
        number: int,
        engine: Engine,
        processor: Metering | None,
        beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self.number = number
        self.process = Process()
        self.engine = engine
        self.processor = processor
        self.leaving = False
        self._beside = beside

    async def live(self) -> None:
        async with anyio.create_task_group() as tasks:
            if self._beside is not None:
                tasks.start_soon(self._beside)
            await self.engine.run()
            tasks.cancel_scope.cancel()

    @property
    def alive(self) -> bool:
        return not self.process.killed and not self.leaving


def small_config(dice: Random, **changes: Any) -> EngineConfig:
    """Everything small and quick, so that every limit is met."""
    settings = {
        "topic": TOPIC, "group": GROUP, "buckets": BUCKETS, "horizon_d": HORIZON_D, "in_flight_max": IN_FLIGHT_MAX,
        "fetch_max": FETCH_MAX, "fetch_wait_s": 0.05, "call_events_max": dice.choice((4, 30)),
        "batch_max": dice.randrange(1, 6), "commit_interval_s": 0.15, "idle_write_s": 0.15, "drain_s": 0.4,
        "rebalance_s": REBALANCE_S, "status_interval_s": 2.0, "concurrency": dice.choice((2, 10)), "retry_max": 20,
        "retry_base_s": 0.01, "retry_cap_s": 0.1, "handler_timeout_s": 0.3,
    }  # fmt: skip
    return EngineConfig(**{**settings, **changes})


def metering_worker(
    number: int, dice: Random, broker: SimulatedBroker, server: SimulatedServer, facts: Sequence[Fact], *,
    trouble: float,
) -> Worker:  # fmt: skip
    """With the processor that the audit knows, and a copy of the facts that is never quite new."""
    knowledge = Knowledge()
    processor = Metering(dice, knowledge, slow=dice.random() < 0.6, trouble=trouble)
    log = SimulatedLog(broker, number)
    log.ahead_max = AHEAD_MAX
    engine = Engine(
        small_config(dice, ordering=dice.choice(("key", "key", "key", "partition"))), log=log,
        sender=SimulatedSender(broker), processor=processor, random=dice,
        clock=SimulatedClock(dice.randrange(-CLOCK_SKEW_MS, CLOCK_SKEW_MS), scale=CLOCK_SCALE),
        state=server.client(number), name=f"worker {number}", deletes_identities=True,
    )  # fmt: skip

    async def learn() -> None:
        while True:
            knowledge.hear(facts, anyio.current_time())
            await anyio.sleep(dice.uniform(0.02, 0.2))

    return Worker(number, engine, processor, learn)
