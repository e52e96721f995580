"""One seeded run of the whole engine: workers, group, log, Redis and chance, with faults, and what must hold then.

Runtime and state are the production code; broker, server, clock and chance are simulated. When the faults are over the
system must drain in bounded virtual time, and everything in the simulated Redis is recounted from the log.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import anyio
from anyio.abc import TaskGroup

from engine.aggregate import Aggregate, Cell, Period
from engine.config import EngineConfig
from engine.event import Counts, Dead, Effect, Event, Message, Totals
from engine.runtime.engine import Engine
from engine.sim.broker import SimulatedBroker, SimulatedEvent, SimulatedLog, SimulatedSender
from engine.sim.loop import EPOCH_MS, SimulatedClock, run
from engine.sim.server import SimulatedServer
from engine.state.identity import identity_of
from engine.state.reader import StateReader

TOPIC = "events"
ALERTS = "alerts"
GROUP = "simulated"
HOUR_S = 3_600
START_S = EPOCH_MS // 1000
PERIOD = Period.of(START_S - 86_400, START_S + 31 * 86_400, keep=True, watched=True)
BUCKETS = 4
PARTITIONS = 3
WORKERS = 3
KEYS = 8
EVENTS = 160
STEP = 20
"""An alert at every multiple of a total."""
DRAIN_S = 120.0


class Sums:
    """The processor: sums and counts by hour; alerts at every STEP of a total; `poison` is dead."""

    def __init__(self, random: Random, *, waits: bool) -> None:
        self._random = random
        self._waits = waits

    async def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts | Dead]:
        if self._waits:
            await anyio.sleep(self._random.expovariate(100))
        return [answer(event) for event in events]

    def react(self, totals: Totals) -> list[Effect]:
        total = sum(reading.number for series, reading in totals.values.items() if series.aggregate is Aggregate.SUM)
        names = [b"%b/%d" % (totals.key, level) for level in range(STEP, total + 1, STEP)]
        return [Effect(name, Message(ALERTS, totals.key, name)) for name in names]


def answer(event: Event) -> Counts | Dead:
    """What the event adds: a pure function of it. Its value is `identity hour number`."""
    identity, hour, number = (event.value or b"").split()
    if number == b"poison":
        return Dead("poison")
    start_s = START_S + int(hour) * HOUR_S
    adds = (
        (Cell.of(Aggregate.SUM, start_s, b"s"), int(number)),
        (Cell.of(Aggregate.COUNT, start_s, b"c"), None),
        (Cell.of(Aggregate.MAX, start_s, b"m"), int(number)),
    )
    return Counts(identity_of(b"default", event.key or b"", b"sim", identity), adds, PERIOD)


@dataclass
class Outcome:
    """What happened in a run; `problem` is None if everything held."""

    problem: str | None = None
    happened: Counter[str] = field(default_factory=Counter)


class World:
    def __init__(self, seed: int, *, faults: int = 10) -> None:
        self.random = Random(seed)
        self.faults = faults
        loss = self.random.choice((0.0, 0.02, 0.1))
        self.broker = SimulatedBroker(self.random, TOPIC, PARTITIONS, loss=loss)
        self.server = SimulatedServer(self.random, loss=loss)
        self.outcome = Outcome()
        self.scopes: list[tuple[anyio.CancelScope, SimulatedLog]] = []

    async def main(self) -> Outcome:
        with anyio.fail_after(600):
            async with anyio.create_task_group() as tasks:
                for _ in range(WORKERS):
                    self._start_worker(tasks)
                async with anyio.create_task_group() as world:
                    world.start_soon(self._produce)
                    world.start_soon(self._harm, tasks)
                await self._quiet(tasks)
                tasks.cancel_scope.cancel()
        if self.outcome.problem is None:
            self.outcome.problem = await Check(self).problem()
        return self.outcome

    # ---------------------------------------------------------------- what goes on
    def _start_worker(self, tasks: TaskGroup) -> None:
        log, scope = SimulatedLog(self.broker), anyio.CancelScope()
        config = EngineConfig(
            topic=TOPIC, group=GROUP, buckets=BUCKETS, in_flight_max=40, fetch_max=15, call_events_max=25, batch_max=4,
            commit_interval_s=0.5, idle_write_s=0.5, drain_s=1.0, concurrency=self.random.choice((2, 10)),
        )  # fmt: skip
        engine = Engine(
            config, log=log, sender=SimulatedSender(self.broker),
            clock=SimulatedClock(self.random.randrange(-3_600_000, 3_600_000)),
            processor=Sums(self.random, waits=self.random.random() < 0.7), state=self.server, random=self.random,
            deletes_identities=True,
        )  # fmt: skip
        self.scopes.append((scope, log))

        async def live() -> None:
            with scope:
                await engine.run()

        tasks.start_soon(live)

    async def _produce(self) -> None:
        random, sent = self.random, list[tuple[bytes, bytes]]()
        for number in range(EVENTS):
            await anyio.sleep(random.expovariate(EVENTS / 5))
            key, value = (
                b"k%d" % random.randrange(KEYS),
                b"%d %d %d" % (number, random.randrange(3), random.randrange(1, 9)),
            )
            if sent and random.random() < 0.3:
                key, value = random.choice(sent)
            elif random.random() < 0.05:
                value = b"%d 0 poison" % number
            sent.append((key, value))
            partition = int(key[1:]) % PARTITIONS if random.random() < 0.9 else random.randrange(PARTITIONS)
            gap = random.choice((0, 0, 0, 0, 2))
            timestamp = self.broker.clock.now_ms() + random.randrange(-3_600_000, 3_600_000)
            self.broker.append(TOPIC, partition, key, value, gap=gap, timestamp=timestamp)
            self.outcome.happened["events"] += 1

    async def _harm(self, tasks: TaskGroup) -> None:
        random = self.random
        for _ in range(self.faults):
            await anyio.sleep(random.uniform(0.05, 0.9))
            fault = random.choice(("failover", "failover", "rebalance", "crash", "evict", "wipe", "join"))
            if fault == "wipe" and random.random() < 0.7:
                fault = "failover"
            self.outcome.happened[fault] += 1
            match fault:
                case "failover":
                    self.server.failover(random.choice((2, 20, 200)))
                case "wipe":
                    self.server.wipe()
                case "rebalance":
                    await self.broker.rebalance()
                case "join":
                    self._start_worker(tasks)
                case "crash":
                    await self._crash(tasks)
                case "evict":
                    tasks.start_soon(self._evict)

    async def _crash(self, tasks: TaskGroup) -> None:
        """The process is gone between two awaits; the group learns of it later."""
        scope, log = self.scopes.pop(self.random.randrange(len(self.scopes)))
        scope.cancel()
        log.crash()
        await anyio.sleep(0.3)
        self._start_worker(tasks)
        await self.broker.rebalance()

    async def _evict(self) -> None:
        """A zombie: the group goes on without a member that still believes it owns its partitions."""
        _, log = self.random.choice(self.scopes)
        log.evicted = True
        await self.broker.rebalance()
        await anyio.sleep(self.random.uniform(0.2, 2.0))
        log.evicted = False
        await self.broker.rebalance()

    async def _quiet(self, tasks: TaskGroup) -> None:
        """No more faults: everything must drain."""
        self.broker.loss = self.server.loss = 0.0
        await anyio.sleep(3)
        await self.broker.rebalance()
        check = Check(self)
        with anyio.move_on_after(DRAIN_S):
            while await check.busy():  # noqa: ASYNC110
                await anyio.sleep(0.5)
        busy = await check.busy()
        self.outcome.happened["writes lost"] = self.server.writes_lost
        self.outcome.happened["calls"] = self.server.calls
        if busy:
            self.outcome.problem = f"NOT LIVE: {busy}"


class Check:
    """Recounts from the log what the simulated Redis must hold."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._reader = StateReader(world.server, group=GROUP, buckets=BUCKETS)

    async def busy(self) -> list[str]:
        broker = self._world.broker
        ends = {number: broker.ends.get((TOPIC, number), 0) for number in range(PARTITIONS)}
        waiting = [
            f"partition {number} is committed to {broker.committed.get(number)} of {end}"
            for number, end in ends.items()
            if end and (number not in broker.committed or broker.committed[number].offset < end)
        ]
        waiting += [
            f"slice {each.bucket}/{each.partition} at {each.low}, owing {each.owing}"
            for each in await self._reader.progress(PARTITIONS)
            if each.low < ends[each.partition] or each.owing
        ]
        return waiting[:3]

    async def problem(self) -> str | None:
        events = [event for number in range(PARTITIONS) for event in self._world.broker.logs[TOPIC, number]]
        counted = {event.value: event for event in reversed(events) if isinstance(answer(event), Counts)}
        for key in {event.key or b"" for event in events}:
            if wrong := await self._wrong_key(key, [event for event in counted.values() if event.key == key]):
                return wrong
        dead = {event.value for event in events if isinstance(answer(event), Dead)}
        letters = {letter.value for letter in self._world.broker.logs.get((f"{TOPIC}.dead", 0), [])}
        if dead != letters:
            return f"DEAD LETTERS: {letters ^ dead}"
        return await self._wrong_counters(events, len(counted))

    async def _wrong_key(self, key: bytes, events: list[SimulatedEvent]) -> str | None:
        cells: dict[Cell, list[int]] = defaultdict(list)
        for event in events:
            said = answer(event)
            assert isinstance(said, Counts)
            for cell, value in said.adds:
                cells[cell].append(value if isinstance(value, int) else 0)
        found = await self._reader.cells(key, PERIOD.start_s, PERIOD.end_s)
        if found.keys() != cells.keys():
            return f"CELLS of {key!r}: {found.keys() ^ cells.keys()}"
        for cell, values in cells.items():
            reading, aggregate = found[cell], cell.series.aggregate
            expected = {Aggregate.SUM: sum(values), Aggregate.MAX: max(values), Aggregate.COUNT: 0}[aggregate]
            if aggregate is not Aggregate.MAX and reading.count != len(values):
                return f"COUNT of {key!r} {cell!r}: {reading.count}, {len(values)} expected"
            if aggregate is not Aggregate.COUNT and reading.number != expected:
                return f"{aggregate.name} of {key!r} {cell!r}: {reading.number}, {expected} expected"
        return await self._wrong_alerts(
            key, sum(sum(values) for cell, values in cells.items() if cell[4] == Aggregate.SUM)
        )

    async def _wrong_alerts(self, key: bytes, total: int) -> str | None:
        totals = await self._reader.total(key, PERIOD.start_s, PERIOD.end_s)
        held = totals.values if totals else {}
        if sum(reading.number for series, reading in held.items() if series.aggregate is Aggregate.SUM) != total:
            return f"TOTAL of {key!r} is not {total}: {held}"
        due = {b"%b/%d" % (key, level) for level in range(STEP, total + 1, STEP)}
        standing = set(totals.standing) if totals else set()
        sent = {event.value for event in self._world.broker.logs.get((ALERTS, 0), []) if event.key == key}
        if standing != due or not due <= sent:
            return f"ALERTS of {key!r}: due {due}, standing {standing}, sent {sent}"
        return None

    async def _wrong_counters(self, events: list[SimulatedEvent], counted: int) -> str | None:
        sums = [
            sum(each) for each in zip(*[each.counters for each in await self._reader.progress(PARTITIONS)], strict=True)
        ]
        dead = sum(isinstance(answer(event), Dead) for event in events)
        expected = [counted, 0, len(events) - counted - dead, dead]
        return None if sums == expected else f"COUNTERS {sums}, {expected} expected"


def run_seed(seed: int) -> Outcome:
    """The same seed gives the same run."""
    return run(lambda: World(seed).main())
