"""One seeded run of the whole engine: workers, group, log, Redis and chance, with faults, and what must hold then.

Runtime and state are the production code; broker, server, clock and chance are simulated. A worker is a process: it can
stand still and die. When the faults are over the system must drain in bounded virtual time, and everything in the
simulated Redis is recounted from the log.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio
from anyio.abc import TaskGroup

from engine.sim.audit import Audit
from engine.sim.broker import SimulatedBroker
from engine.sim.loop import WORLD, SimulatedClock, run, simulated_loop
from engine.sim.network import Digest, Weather
from engine.sim.plan import END_S, PARTITIONS, WORKERS, Arrival, Fault, Plan, plan_of
from engine.sim.server import SimulatedServer
from engine.sim.shard import harm_node
from engine.sim.store import Geometry, Value
from engine.sim.stored import Stored
from engine.sim.watch import Watch
from engine.sim.worker import (
    BUCKETS,
    CLOCK_SCALE,
    FETCH_MAX,
    GROUP,
    HORIZON_D,
    IN_FLIGHT_MAX,
    REBALANCE_S,
    TOPIC,
    Worker,
    metering_worker,
)  # fmt: skip
from engine.state.identity import arrival_day, bucket_of

SESSION_S = 0.6
LOST_MAX = 0.1
"""Of what goes to the broker: with more, nobody would stay in the group."""
DRAIN_S = 60.0
"""Virtual time in which everything must come to rest, once all faults are over."""
REST_S = 1.0
"""So long nothing may be left to do: what is still on its way arrives."""
REST_LOOK_S = 0.25
MONITOR_S = 0.3
GEOMETRY = Geometry(level_min=1, chunk_load=3, floor_every=1)


@dataclass
class Outcome:
    """What happened in a run; `problem` is None if everything held."""

    seed: int
    problem: str | None = None
    happened: Counter[str] = field(default_factory=Counter)
    digest: str = ""


class World:
    """Made of a plan."""

    clock_scale = CLOCK_SCALE
    workers_at_start = WORKERS

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.outcome = Outcome(plan.seed)
        self.digest = Digest()
        self.watch = self.new_watch()
        weather = {"lost": plan.lost, "late": plan.late, "twice": plan.twice}
        created = sum(created_s <= 0 for created_s in plan.created_s)
        self.broker = SimulatedBroker(
            plan.dice("broker"), TOPIC, created, session_s=SESSION_S, rebalance_s=REBALANCE_S, digest=self.digest,
            weather=Weather(**{**weather, "lost": min(plan.lost, LOST_MAX)}, longest_s=0.02),
            clock=SimulatedClock(scale=self.clock_scale),
        )  # fmt: skip
        self.server = SimulatedServer(
            plan.dice("server"), nodes=plan.nodes, weather=Weather(**weather), geometry=GEOMETRY, spite=plan.spite,
            digest=self.digest,
        )  # fmt: skip
        for shard in self.server.shards:
            shard.functions.observe = self.watch.wrote
        self.broker.observe = self.watch.committed
        self.workers: list[Worker] = []
        self.quiet = False
        self._tasks: TaskGroup | None = None

    def new_watch(self) -> Watch:
        return Watch()

    # ---------------------------------------------------------------- the run
    async def main(self) -> Outcome:
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                await self._happen(tasks)
                self.outcome.digest = str(self.digest)
                self.judge()
            finally:
                simulated_loop().revive()
            tasks.cancel_scope.cancel()
        return self.outcome

    async def _happen(self, tasks: TaskGroup) -> None:
        self._begin()
        tasks.start_soon(self._monitor)
        for fault in self.plan.faults:
            await self._until(fault.at_s)
            self.inflict(fault)
        await self._until(END_S + 0.1)
        await self._rest()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        for at_s in self.plan.created_s:
            if at_s > 0:
                loop.call_at(at_s, self.broker.add_partition, self.plan.noticed_after_s, context=WORLD)
        self.begin_arrivals()
        for partition, offsets in enumerate(self.plan.tails):
            if offsets:
                loop.call_at(END_S, self.broker.append_gap, partition, offsets, context=WORLD)
        for partition, until_s in self.plan.away:
            self.broker.send_away(partition, until_s)
            self.outcome.happened["lagging partition"] += 1
        for _ in range(self.workers_at_start):
            self.start_worker()

    def begin_arrivals(self) -> None:
        for arrival in self.plan.arrivals:
            if arrival.at_s <= 0:
                self.append(arrival)
            else:
                asyncio.get_running_loop().call_at(arrival.at_s, self.append, arrival, context=WORLD)

    async def _until(self, at_s: float) -> None:
        await anyio.sleep(max(0.0, at_s - anyio.current_time()))

    def append(self, arrival: Arrival) -> None:
        usage = arrival.usage
        offset = self.broker.append(
            TOPIC, arrival.partition, arrival.key, usage.encode(), gap=arrival.gap, timestamp=arrival.timestamp_ms
        )
        day = arrival_day(arrival.timestamp_ms)
        self.watch.arrived(bucket_of(arrival.key, BUCKETS), arrival.partition, offset, day, poison=not usage.number)
        self.outcome.happened["events"] += 1

    # ---------------------------------------------------------------- workers
    def _start_soon(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
        assert self._tasks is not None, "the world runs"
        self._tasks.start_soon(function, *arguments)

    def start_worker(self) -> None:
        number = len(self.workers)
        worker = self.new_worker(number, self.plan.dice(f"worker {number}"))
        self.workers.append(worker)
        worker.process.context().run(self._start_soon, self._watched, worker.live)

    def new_worker(self, number: int, dice: Random) -> Worker:
        trouble = 0.0 if self.quiet else self.plan.trouble
        return metering_worker(number, dice, self.broker, self.server, self.plan.facts, trouble=trouble)

    async def _watched(self, live: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await live()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run has failed
            self.watch.failed(f"ERROR: {_innermost(error)!r}")

    def one_of_the_alive(self, who: float) -> Worker | None:
        """Rather one that owns something."""
        alive = [worker for worker in self.workers if worker.alive]
        owning = [worker for worker in alive if worker.number in self.broker.group.owners.values()]
        choice = alive + 2 * owning
        return choice[int(who * len(choice))] if choice else None

    # ---------------------------------------------------------------- faults
    def inflict(self, fault: Fault) -> None:
        self.digest.note(str(fault).encode())
        self.outcome.happened[fault.kind] += 1
        match fault.kind:
            case "failover" | "wipe" | "node away":
                shard = self.server.shards[int(fault.who * len(self.server.shards))]
                if harm_node(shard, fault, len(self.workers), self.plan.dice(f"cut off {fault}")):
                    self.outcome.happened["demoted primary"] += 1
            case "crash" | "pause" | "stall" | "leave" | "evict":
                if (worker := self.one_of_the_alive(fault.who)) is not None:
                    self.harm_worker(worker, fault)
            case "rebalance":
                self.broker.group.rebalance()
            case "join":
                self.start_worker()
            case "producing away":
                self.broker.refuse_messages(anyio.current_time() + fault.for_s)
            case "leader away":
                self.broker.send_away(int(fault.who * PARTITIONS), anyio.current_time() + fault.for_s)

    def harm_worker(self, worker: Worker, fault: Fault) -> None:
        loop = asyncio.get_running_loop()
        match fault.kind:
            case "crash":
                worker.process.kill()
                self._start_soon(self._replace, fault.for_s)
            case "leave":
                worker.leaving = True
                worker.engine.stop()
                self.start_worker()
            case "evict":
                self.broker.group.evict(worker.number)
            case _:
                worker.process.hold()
                loop.call_later(fault.for_s, worker.process.go_on, context=WORLD)

    async def _replace(self, after_s: float) -> None:
        await anyio.sleep(after_s)
        self.start_worker()

    # ---------------------------------------------------------------- rest
    async def _rest(self) -> None:
        """No more faults: everything must drain, and stay so."""
        self.quiet = True
        self.server.calm_down()
        self.broker.calm_down()
        for worker in self.workers:
            worker.process.go_on()
            if worker.processor is not None:
                worker.processor.trouble = 0.0
        if not any(worker.alive for worker in self.workers):
            self.start_worker()
        until_s = anyio.current_time() + DRAIN_S
        rested_s = 0.0
        while rested_s < REST_S and self.watch.problem is None:
            if anyio.current_time() > until_s:
                self.watch.failed(f"NOT LIVE: {self.busy()[:4]}")
            await anyio.sleep(REST_LOOK_S)
            rested_s = 0.0 if self.busy() else rested_s + REST_LOOK_S

    def stored(self) -> Stored:
        state: dict[bytes, Value] = {}
        for shard in self.server.shards:
            state |= shard.functions.state
        return Stored(state, group=GROUP, buckets=BUCKETS)

    def busy(self) -> list[str]:
        """What is not done."""
        broker, stored = self.broker, self.stored()
        waiting = []
        for number in range(broker.partitions):
            end = broker.end(number)
            committed = broker.committed.get(number)
            if (committed.offset if committed else 0) != end:
                waiting.append(f"partition {number} is committed to {committed} of {end}")
            for bucket in range(BUCKETS):
                low = stored.record(bucket, number).low
                if low != end or stored.owes(bucket, number):
                    waiting.append(f"slice {bucket}/{number} stands at {low} of {end}")
        return waiting

    async def _monitor(self) -> None:
        """Memory stays bounded; and is free again at rest."""
        while True:
            await anyio.sleep(MONITOR_S)
            for worker in self.workers:
                if worker.process.held or worker.leaving:
                    continue
                for partition in worker.engine.statistics().partitions:
                    if partition.in_flight > IN_FLIGHT_MAX + FETCH_MAX:
                        self.watch.failed(f"MEMORY: {partition.in_flight} events of partition {partition.partition}")

    # ---------------------------------------------------------------- the verdict
    def judge(self) -> None:
        if failures := simulated_loop().failures:
            self.watch.failed(f"ERROR: {failures[0]!r}")
        if self.watch.problem is None:
            self._check_workers()
        if self.watch.problem is None:
            self.audit()
        self.outcome.problem = self.watch.problem
        self._tell_what_happened()

    def audit(self) -> None:
        audit = Audit(self.stored(), self.broker, self.plan.facts, horizon_d=HORIZON_D)
        for problem in audit.problems():
            self.watch.failed(problem)
        happened = self.outcome.happened
        happened["counted"] += len(audit.counted)
        happened["duplicates"] += sum(map(len, audit.copies.values())) - len(audit.counted)
        happened["identities deleted"] += max(0, len(audit.counted) - audit.remembered)

    def _tell_what_happened(self) -> None:
        happened, shards = self.outcome.happened, self.server.shards
        happened["writes lost"] += sum(shard.writes_lost for shard in shards)
        happened["failovers out of spite"] += sum(shard.failovers for shard in shards) - happened["failover"]
        happened["writes to a demoted primary"] += sum(shard.written_in_vain for shard in shards)
        happened["libraries loaded"] += sum(shard.loads for shard in shards)
        happened["calls"] += self.server.calls
        happened["virtual seconds"] += round(anyio.current_time())
        happened["epochs"] += len(self.watch.epochs)
        happened["failed handlers"] += sum(each.processor.failures for each in self.workers if each.processor)
        happened["partitions added"] += sum(at_s > 0 for at_s in self.plan.created_s)
        happened["rebalances"] += self.broker.group.rebalances

    def _check_workers(self) -> None:
        for worker in self.workers:
            if not worker.alive:
                continue
            statistics = worker.engine.statistics()
            for kind, count in statistics.counters.refused.items():
                self.outcome.happened[f"refused, {kind}"] += count
            if statistics.counters.refused.get("fork"):
                self.watch.failed(f"FORK: worker {worker.number}")
            for partition in statistics.partitions:
                if partition.in_flight or partition.in_flight_bytes:
                    self.watch.failed(f"LEAK: {partition.in_flight} events of partition {partition.partition} at rest")


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def run_world(world: World) -> Outcome:
    """Whatever goes wrong is told in the outcome."""
    try:
        return run(world.main)
    except Exception as error:  # noqa: BLE001 - the production code's own checks fail the run too
        world.outcome.problem = world.watch.problem or f"ERROR: {_innermost(error)!r}"
        return world.outcome


def run_plan(plan: Plan) -> Outcome:
    return run_world(World(plan))


def run_seed(seed: int) -> Outcome:
    """The same seed gives the same run."""
    return run_plan(plan_of(seed))
