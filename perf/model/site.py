"""The model of a whole deployment: workers, partitions and Redis of a given size, and what they get done.

The engine is the production code; group, log and function library are the simulation's. Everything that arrived must
be in the state when it comes to rest, once and in the order of its key, and every write is checked as it is made.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import anyio
from anyio.abc import TaskGroup

from engine.config import EngineConfig
from engine.processor import Processor
from engine.runtime.engine import Engine
from engine.sim.broker import SimulatedBroker, SimulatedSender
from engine.sim.loop import Process, SimulatedClock, run, simulated_loop
from engine.sim.network import Weather
from engine.sim.payload import PackedSlice
from engine.sim.stored import Stored
from engine.sim.watch import Watch
from perf.harness.checks import CheckFailed, Handled
from perf.model.core import Core
from perf.model.costs import US, Costs
from perf.model.load import CELL, TOPIC, Awaiting, Counting, Load
from perf.model.servers import ModelClient, ModelLog, ModelRedis
from perf.model.steps import Steps

GROUP = "model"
BROKER_ROUND_TRIP_S = 0.001
SETTLED_S = 1.0
"""So long the group must not have changed before the load begins."""
DRAIN_S = 600.0


@dataclass(frozen=True, slots=True)
class Shape:
    """What is built, and what arrives. Without a rate, all `events` are there at the start."""

    costs: Costs
    partitions: int = 1
    workers: int = 1
    latency_s: float = 0.0
    """How long a turn of user code awaits; 0: it answers at once."""
    redis_round_trip_s: float = 0.0002
    events_per_s: float | None = None
    seconds: float = 1.0
    """For so long events arrive."""
    events: int = 0
    keys: int = 1_000
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `EngineConfig`."""


class Meanwhile(NamedTuple):
    """How busy everything was up to a moment."""

    time_s: float
    workers_s: list[float]
    redis_s: float
    calls: int
    done: int


class Site:
    """Run `main` in a simulated loop, once."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self._shape = shape
        self._seed = seed
        self._config = EngineConfig(**{"topic": TOPIC, "group": GROUP, **shape.settings})
        self._watch = Watch()
        self._steps = Steps()
        self._handled = Handled()
        self._clock = SimulatedClock()
        self._broker = SimulatedBroker(
            Random(f"{seed}/broker"), TOPIC, shape.partitions, session_s=45.0, rebalance_s=60.0,
            weather=Weather(longest_s=BROKER_ROUND_TRIP_S / 2), clock=self._clock,
        )  # fmt: skip
        self._broker.observe = self._watch.committed
        self._redis = ModelRedis(shape.costs, shape.redis_round_trip_s, self._wrote)
        self._load = Load(self._broker, self._watch, keys=shape.keys, buckets=self._config.buckets, seed=seed)
        self._cores: list[Core] = []
        self._engines: list[Engine] = []

    def _wrote(self, part: PackedSlice) -> None:
        self._watch.wrote(part)
        self._steps.add(asyncio.get_running_loop().time(), sum(part.counters))

    # ---------------------------------------------------------------- the run
    async def main(self) -> dict[str, float]:
        """Figures. Raises CheckFailed, NotSteady."""
        async with anyio.create_task_group() as tasks:
            for number in range(self._shape.workers):
                self._start_worker(tasks, number)
            await self._settled()
            began = self._now()
            await self._arrive()
            ended = self._now()
            await self._drained()
            for engine in self._engines:
                engine.stop()
        self._check()
        return self._figures(began, ended)

    def _start_worker(self, tasks: TaskGroup, number: int) -> None:
        shape, process = self._shape, Process()
        core = Core(process)
        log = ModelLog(self._broker, number, core, shape.costs, ahead_max=self._config.fetch_max)
        engine = Engine(
            self._config, log=log, sender=SimulatedSender(self._broker), processor=self._processor(core),
            state=ModelClient(self._redis, number, core, shape.costs), clock=self._clock,
            random=Random(f"{self._seed}/worker {number}"), name=f"worker {number}", deletes_identities=False,
        )  # fmt: skip
        self._cores.append(core)
        self._engines.append(engine)
        process.context().run(tasks.start_soon, engine.run)

    def _processor(self, core: Core) -> Processor:
        if not self._shape.latency_s:
            return Counting(self._handled)
        return Awaiting(self._handled, core, self._shape.costs.worker_turn_us * US, self._shape.latency_s)

    async def _settled(self) -> None:
        """Every worker holds its partitions."""
        generation, since_s = 0, anyio.current_time()
        while anyio.current_time() - since_s < SETTLED_S or len(self._broker.group.members) < self._shape.workers:
            await anyio.sleep(0.1)
            if self._broker.group.generation != generation:
                generation, since_s = self._broker.group.generation, anyio.current_time()

    async def _arrive(self) -> None:
        """All that is measured happens meanwhile."""
        if self._shape.events_per_s is None:
            self._load.arrive(self._shape.events)
            await self._drained()
        else:
            await self._load.arrive_at(self._shape.events_per_s, self._shape.seconds)

    async def _drained(self) -> None:
        """Returns when all is done, or when it never will be."""
        until_s = anyio.current_time() + DRAIN_S
        while self._steps.done < len(self._load.arrived_s) and self._watch.problem is None:
            if anyio.current_time() > until_s:
                self._watch.failed(
                    f"{self._steps.done} of {len(self._load.arrived_s)} events are done, {DRAIN_S} s later"
                )
            await anyio.sleep(0.005)

    # ---------------------------------------------------------------- figures
    def _now(self) -> Meanwhile:
        worked_s = [core.busy_s for core in self._cores]
        return Meanwhile(anyio.current_time(), worked_s, self._redis.line.busy_s, self._redis.calls, self._steps.done)

    def _figures(self, began: Meanwhile, ended: Meanwhile) -> dict[str, float]:
        backlog = self._shape.events_per_s is None
        figures = self._steps.figures(self._load.arrived_s, began.time_s, ended.time_s, backlog=backlog)
        took_s = ended.time_s - began.time_s
        worked = [(after - before) / took_s for before, after in zip(began.workers_s, ended.workers_s, strict=True)]
        figures["worker_busy_share"] = min(1.0, sum(worked) / len(worked))
        figures["busiest_worker_share"] = min(1.0, max(worked))
        figures["redis_busy_share"] = min(1.0, (ended.redis_s - began.redis_s) / took_s)
        figures["events_per_call"] = (ended.done - began.done) / max(1, ended.calls - began.calls)
        return figures

    # ---------------------------------------------------------------- checks
    def _check(self) -> None:
        if failures := simulated_loop().failures:
            raise CheckFailed(f"{failures[0]!r} in the simulation")
        if self._watch.problem is not None:
            raise CheckFailed(self._watch.problem)
        self._handled.check(len(self._load.arrived_s))
        state = self._redis.shards[0].functions.state
        stored = Stored(state, group=GROUP, buckets=self._config.buckets)
        for key, events in self._load.by_key.items():
            cells = stored.cells(key)
            if {cell: (each.count, each.number) for cell, each in cells.items()} != {CELL: (events, events)}:
                raise CheckFailed(f"{key!r}: cells are {cells}, {events} events arrived")


def simulated(shape: Shape, seed: int) -> dict[str, float]:
    """The same shape and seed give the same figures. Raises CheckFailed, NotSteady."""
    return run(Site(shape, seed).main)
