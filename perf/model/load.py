"""What arrives in the model, and the processor that counts it."""

import asyncio
from collections.abc import Sequence
from itertools import count
from random import Random
from zlib import crc32

from engine import Aggregate, Cell, Counts, Dead, Effect, Event, Period, Totals, identity_of
from engine.sim.broker import SimulatedBroker
from engine.sim.loop import EPOCH_MS
from engine.sim.watch import Watch
from engine.state.identity import arrival_day, bucket_of
from perf.harness.checks import Handled
from perf.model.core import Core

TOPIC = "events"
TICK_S = 0.001
START_S = EPOCH_MS // 1000
CELL = Cell.of(Aggregate.SUM, START_S, b"tokens")
PERIOD = Period.of(START_S, START_S + 31 * 86_400, keep=True, watched=True)


class Load:
    """Events of random customers, numbered, so that each is another one; each adds 1."""

    def __init__(self, broker: SimulatedBroker, watch: Watch, *, keys: int, buckets: int, seed: int) -> None:
        self._broker = broker
        self._watch = watch
        self._dice = Random(f"{seed}/load")
        self._keys = [b"customer-%d" % number for number in range(keys)]
        self._buckets = buckets
        self._numbers = count()
        self.arrived_s: list[float] = []
        """When, by number."""
        self.by_key: dict[bytes, int] = {}

    def arrive(self, events: int) -> None:
        """Now."""
        now_s, now_ms = asyncio.get_running_loop().time(), self._broker.clock.now_ms()
        day, partitions = arrival_day(now_ms), self._broker.partitions
        for _ in range(events):
            key = self._keys[int(self._dice.random() * len(self._keys))]
            partition = crc32(key) % partitions
            value = b"%d" % next(self._numbers)
            offset = self._broker.append(TOPIC, partition, key, value, timestamp=now_ms)
            self._watch.arrived(bucket_of(key, self._buckets), partition, offset, day, poison=False)
            self.arrived_s.append(now_s)
            self.by_key[key] = self.by_key.get(key, 0) + 1

    async def arrive_at(self, events_per_s: float, seconds: float) -> None:
        """Evenly, a millisecond's events at a time."""
        began_s, first = asyncio.get_running_loop().time(), len(self.arrived_s)
        for tick in range(1, round(seconds / TICK_S) + 1):
            self.arrive(first + int(events_per_s * TICK_S * tick) - len(self.arrived_s))
            await asyncio.sleep(began_s + tick * TICK_S - asyncio.get_running_loop().time())


class Counting:
    """The processor, which answers at once."""

    def __init__(self, handled: Handled) -> None:
        self._handled = handled

    def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts | Dead]:
        for event in events:
            self._handled.begin(event)
        return [Counts(identity_of(b"", key, b"", event.value or b""), ((CELL, 1),), PERIOD) for event in events]

    def react(self, totals: Totals) -> list[Effect]:
        """A total is watched, and no limit reached."""
        return []


class Awaiting:
    """One that awaits so long in each turn; a turn costs its worker."""

    def __init__(self, handled: Handled, core: Core, turn_s: float, latency_s: float) -> None:
        self._counting = Counting(handled)
        self._core = core
        self._turn_s = turn_s
        self._latency_s = latency_s

    async def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts | Dead]:
        await self._core.spend(self._turn_s)
        await asyncio.sleep(self._latency_s)
        return self._counting.prepare(key, events)

    def react(self, totals: Totals) -> list[Effect]:
        return self._counting.react(totals)
