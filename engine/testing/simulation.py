"""Your processor or handler in the simulation: workers, a group, a log and Redis that do everything wrong, in no time.

    from engine import Aggregate, Cell, Counts, identity_of
    from engine.testing.simulation import Given, simulate

    class Requests:
        def prepare(self, key, events):
            return [
                Counts(identity_of(b"", key, b"", event.value), ((Cell.of(Aggregate.COUNT, 0, b"requests"), None),))
                for event in events
            ]

    seen = simulate(Requests, [Given(b"acme", b"%d" % number) for number in range(40)], seed=1)
    assert seen.problems == []
    assert seen.cells[b"acme"][Cell.of(Aggregate.COUNT, 0, b"requests")].count == 40

A seed is a run, the same every time. Of a processor what is stored must equal what one worker stores that nothing
happens to, and every write is checked by itself. So copies of an event must have equal content, and totals must not
fall, or the outcome rightly depends on who came first. Of a handler the checkers of `guarantees` are applied: at least
once, order of a key, one at a time. Either way everything must come to rest once the faults are over.
"""

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, NamedTuple, cast

import anyio

from engine.aggregate import Cell, Reading, Series
from engine.event import Event
from engine.ports import Committed, RebalanceListener
from engine.processor import Handler, Processor
from engine.runtime.engine import Engine
from engine.sim.broker import SimulatedBroker, SimulatedEvent, SimulatedLog, SimulatedSender
from engine.sim.loop import WORLD, SimulatedClock
from engine.sim.plan import END_S, PARTITIONS, Fault, Plan, plan_of, quiet
from engine.sim.watch import Watch
from engine.sim.worker import AHEAD_MAX, BUCKETS, TOPIC, Worker, small_config
from engine.sim.world import World, run_world
from engine.state.identity import arrival_day, bucket_of
from engine.testing.guarantees import Guarantees
from engine.testing.journal import Occurrence

SPREAD_S = 4.0
"""Virtual time over which the events arrive."""


class Given(NamedTuple):
    """An event to come. `timestamp_ms` None: when it arrives; `partition` None: one that follows from the key."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int | None = None
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass
class Simulated:
    """What is stored when everything is at rest, by key, and what happened."""

    problems: list[str] = field(default_factory=list)
    """What did not hold; empty is well."""
    cells: dict[bytes, dict[Cell, Reading]] = field(default_factory=dict)
    totals: dict[bytes, dict[tuple[int, int], dict[Series, Reading]]] = field(default_factory=dict)
    """By start and end of their period, in seconds since 1970."""
    effects: dict[bytes, frozenset[bytes]] = field(default_factory=dict)
    """Names of those that stand."""
    dead_letters: list[Event] = field(default_factory=list)
    messages: dict[str, list[Event]] = field(default_factory=dict)
    """By topic: what effects sent, some of it more than once."""
    happened: Counter[str] = field(default_factory=Counter)
    """Faults by kind, calls, epochs and so on."""


def simulate(
    what: Callable[[], Processor] | Handler,
    events: Iterable[Given | tuple[bytes | None, bytes | None]],
    *,
    seed: int = 0,
    faults: int | Sequence[Fault] = 8,
    workers: int = 3,
    **settings: Any,
) -> Simulated:
    """Run it.

    `what` makes a processor for each worker (a class will do), or is an `async def handle(event)`. `faults`: how many
    of the seed's, or your own. `settings` are fields of `EngineConfig`.
    """
    given = tuple(Given(*event) for event in events)
    drawn = plan_of(seed)
    plan = replace(quiet(drawn), lost=drawn.lost / 4, late=drawn.late, twice=drawn.twice, arrivals=())
    plan = replace(plan, faults=drawn.faults[:faults] if isinstance(faults, int) else tuple(faults))
    found = _run(what, given, plan, workers, settings)
    if not inspect.iscoroutinefunction(what):
        undisturbed = _run(what, given, replace(quiet(drawn), arrivals=()), 1, settings)
        found.problems += [f"with one worker and no faults: {problem}" for problem in undisturbed.problems]
        if not found.problems:
            found.problems += _differences(found, undisturbed)
    return found


def _differences(found: Simulated, undisturbed: Simulated) -> list[str]:
    return [
        f"{name} of {key!r}: {mine.get(key)}, but {theirs.get(key)} with one worker and no faults"
        for name in ("cells", "totals", "effects")
        for mine, theirs in [(getattr(found, name), getattr(undisturbed, name))]
        for key in sorted(mine.keys() | theirs.keys())
        if mine.get(key) != theirs.get(key)
    ]


def _run(
    what: Callable[[], Processor] | Handler, given: Sequence[Given], plan: Plan, workers: int, settings: dict[str, Any]
) -> Simulated:
    world = _Stage(what, given, plan, workers, settings)
    outcome = run_world(world)
    found = world.found
    found.happened = outcome.happened
    if outcome.problem is not None:
        found.problems.insert(0, outcome.problem)
    return found


class _Stage(World):
    """A world around somebody's code."""

    clock_scale = 1.0

    def __init__(
        self, what: Callable[[], Processor] | Handler, given: Sequence[Given], plan: Plan, workers: int,
        settings: dict[str, Any],
    ) -> None:  # fmt: skip
        super().__init__(plan)
        self.workers_at_start = workers
        self.found = Simulated()
        self._what = what
        self._handles = inspect.iscoroutinefunction(what)
        self._given = given
        self._settings = settings
        self._guarantees = Guarantees()
        if self._handles:
            self.broker.observe = self._committed

    def new_watch(self) -> Watch:
        return Watch(knows_poison=False)

    # ---------------------------------------------------------------- the log
    def begin_arrivals(self) -> None:
        loop = asyncio.get_running_loop()
        for index, event in enumerate(self._given):
            loop.call_at(min(END_S, SPREAD_S * index / len(self._given)), self._arrive, event, context=WORLD)

    def _arrive(self, event: Given) -> None:
        key = event.key or b""
        partition = bucket_of(key, PARTITIONS) if event.partition is None else event.partition
        arrival_ms = self.broker.clock.now_ms() if event.timestamp_ms is None else event.timestamp_ms
        offset = self.broker.append(
            TOPIC, partition, event.key, event.value, timestamp=arrival_ms, headers=event.headers
        )
        self.watch.arrived(bucket_of(key, BUCKETS), partition, offset, arrival_day(arrival_ms), poison=False)
        self.outcome.happened["events"] += 1

    # ---------------------------------------------------------------- workers
    def new_worker(self, number: int, dice: Random) -> Worker:
        name = f"worker {number}"
        log: SimulatedLog
        if self._handles:
            log = SeenLog(self.broker, name, self._guarantees, number)
            theirs: dict[str, Any] = {"handler": self._seen(name, cast("Handler", self._what))}
        else:
            log = SimulatedLog(self.broker, number)
            theirs = {"processor": cast("Callable[[], Processor]", self._what)(), "state": self.server.client(number)}
        log.ahead_max = AHEAD_MAX
        config = small_config(dice, **{"horizon_d": 34, "handler_timeout_s": 1.0, **self._settings})
        engine = Engine(
            config, log=log, sender=SimulatedSender(self.broker), clock=SimulatedClock(), random=dice, name=name,
            **theirs,
        )  # fmt: skip
        return Worker(number, engine, None)

    def _seen(self, worker: str, handler: Handler) -> Handler:
        async def handle(event: Event) -> None:
            self._see(worker, "started", event)
            try:
                await handler(event)
            except BaseException:
                self._see(worker, "failed", event)
                raise
            self._see(worker, "done", event)
            self.watch.written[event.partition].add(event.offset)

        return handle

    def _see(self, worker: str, what: str, event: Event) -> None:
        self._guarantees.see(Occurrence.of(what, event, worker=worker, time_s=anyio.current_time()))

    def harm_worker(self, worker: Worker, fault: Fault) -> None:
        if fault.kind != "leave":
            what = "died" if fault.kind == "crash" else "paused"
            self._guarantees.see(Occurrence(anyio.current_time(), f"worker {worker.number}", what))
        super().harm_worker(worker, fault)

    def _committed(self, offsets: Mapping[int, Committed]) -> None:
        """What is committed was handled, or stands in the dead-letter topic."""
        for letter in self._letters():
            partition, offset = _source(letter)
            self.watch.written[partition].add(offset)
        self.watch.committed(offsets)

    def _letters(self) -> list[SimulatedEvent]:
        return self.broker.logs.get((f"{TOPIC}.dead", 0), [])

    # ---------------------------------------------------------------- the end
    def busy(self) -> list[str]:
        if not self._handles:
            return super().busy()
        broker = self.broker
        committed = {number: broker.committed.get(number) for number in range(broker.partitions)}
        return [
            f"partition {number} is committed to {commit} of {broker.end(number)}"
            for number, commit in committed.items()
            if (commit.offset if commit else 0) != broker.end(number)
        ]

    def audit(self) -> None:
        """Nobody knows what it should be; `judge` looks at the rest."""

    def judge(self) -> None:
        super().judge()
        broker, found = self.broker, self.found
        found.dead_letters += self._letters()
        for (topic, _), log in broker.logs.items():
            if topic not in {TOPIC, f"{TOPIC}.dead"}:
                found.messages.setdefault(topic, []).extend(log)
        if self._handles:
            buried = {_source(letter) for letter in found.dead_letters}
            logs = [broker.logs[TOPIC, number] for number in range(PARTITIONS)]
            places = {(event.partition, event.offset) for log in logs for event in log}
            found.problems += self._guarantees.faults(places - buried)
        else:
            self._read_state()

    def _read_state(self) -> None:
        stored, found = self.stored(), self.found
        for key in sorted({event.key or b"" for event in self._given}):
            if cells := stored.cells(key):
                found.cells[key] = cells
            totals = {bounds: stored.total(key, *bounds) for bounds in sorted(stored.periods(key))}
            if totals:
                found.totals[key] = {bounds: values for bounds, (values, _) in totals.items()}
                found.effects[key] = frozenset().union(*(standing for _, standing in totals.values()))


def _source(letter: Event) -> tuple[int, int]:
    headers = dict(letter.headers)
    return int(headers["source-partition"]), int(headers["source-offset"])


class SeenLog(SimulatedLog):
    """A member of the simulated group that tells the checkers what it is assigned."""

    def __init__(self, broker: SimulatedBroker, worker: str, guarantees: Guarantees, number: int | None = None) -> None:
        super().__init__(broker, number)
        self._worker = worker
        self._guarantees = guarantees
        self._engine: RebalanceListener | None = None

    async def start(self, listener: RebalanceListener) -> None:
        self._engine = listener
        await super().start(self)

    async def revoked(self, partitions: frozenset[int]) -> None:
        assert self._engine is not None
        await self._engine.revoked(partitions)

    async def assigned(self, partitions: frozenset[int]) -> None:
        assert self._engine is not None
        self._guarantees.see(Occurrence(anyio.current_time(), self._worker, "assigned", partitions=partitions))
        await self._engine.assigned(partitions)
