"""Faults of every kind in a mixed order that a seed gives, on three workers and three brokers under load."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

import anyio
from aiokafka import AIOKafkaProducer

from engine.adapters.kafka import add_partitions
from engine.embedded.apache import ApacheKafka
from tests.chaos.fleet import Fleet

WORKERS = ("a", "b", "c")
PARTITIONS_MAX = 16
ADDED_MAX = 2
BROKERS_KILLED = (2, 3)
"""Node 1 is the only controller."""
PAUSED_S = (0.5, 12.0)
"""Around the session of six seconds."""
AWAY_S = (0.0, 3.0)
BROKER_AWAY_S = (2.0, 10.0)
BETWEEN_S = (1.0, 4.0)
IN_SYNC_S = 60.0


class MixedFaults:
    """`run` it beside a load. `seen` counts the faults by kind."""

    def __init__(self, random: Random, cluster: ApacheKafka, fleet: Fleet, *, partitions: int) -> None:
        self._random = random
        self._cluster = cluster
        self._fleet = fleet
        self._partitions = partitions
        self.seen: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        """One fault after another; some last while others happen. All are healed when it returns."""
        faults: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (4, self.restart_a_worker),
            (4, self.kill_a_worker),
            (3, self.pause_a_worker),
            (2, self.kill_a_broker),
            (1, self.add_partitions),
            (2, self.abort_a_transaction),
        ]
        weights, kinds = zip(*faults, strict=True)
        deadline_s = anyio.current_time() + seconds
        while anyio.current_time() < deadline_s:
            (fault,) = self._random.choices(kinds, weights)
            if fault == self.kill_a_broker or self._random.random() < 0.3:
                async with anyio.create_task_group() as tasks:  # two at once
                    tasks.start_soon(fault)
                    await anyio.sleep(self._random.uniform(*AWAY_S))
                    tasks.start_soon(self._random.choice((self.restart_a_worker, self.kill_a_worker)))
            else:
                await fault()
            await anyio.sleep(self._random.uniform(*BETWEEN_S))

    async def restart_a_worker(self) -> None:
        if (name := self._choose()) is not None:
            self.seen["orderly restart"] += 1
            await self._fleet.stop(name)
            await anyio.sleep(self._random.uniform(*AWAY_S))
            await self._fleet.start(name)

    async def kill_a_worker(self) -> None:
        if (name := self._choose()) is not None:
            self.seen["kill"] += 1
            await self._fleet.kill(name)
            await anyio.sleep(self._random.uniform(*AWAY_S))
            await self._fleet.start(name)

    async def pause_a_worker(self) -> None:
        if (name := self._choose()) is not None:
            self.seen["pause"] += 1
            self._fleet.pause(name)
            await anyio.sleep(self._random.uniform(*PAUSED_S))
            self._fleet.resume(name)

    async def kill_a_broker(self) -> None:
        """One at a time, and only while all replicas are in sync: two of three hold what was acknowledged."""
        self.seen["broker killed"] += 1
        node = self._random.choice(BROKERS_KILLED)
        await asyncio.to_thread(self._cluster.kill, node)
        await anyio.sleep(self._random.uniform(*BROKER_AWAY_S))
        await asyncio.to_thread(self._cluster.restart, node)
        await self._fleet.topic.until_in_sync(3, within_s=IN_SYNC_S)

    async def add_partitions(self) -> None:
        if self._partitions < PARTITIONS_MAX:
            self.seen["partitions added"] += 1
            self._partitions += self._random.randint(1, ADDED_MAX)
            await add_partitions(self._cluster.bootstrap, self._fleet.topic.name, self._partitions)

    async def abort_a_transaction(self) -> None:
        self.seen["transaction aborted"] += 1
        producer = AIOKafkaProducer(bootstrap_servers=self._cluster.bootstrap, transactional_id="aborts")
        await producer.start()
        try:
            await producer.begin_transaction()
            for number in range(50):
                await producer.send(self._fleet.topic.name, b"%d 1000000" % (10**9 + number), b"key-%d" % (number % 7))
            await producer.flush()
            await producer.abort_transaction()
        finally:
            await producer.stop()

    def _choose(self) -> str | None:
        """A worker that runs, while another does; None if there is none."""
        free = sorted(self._fleet.running)
        return self._random.choice(free) if len(free) > 1 else None
