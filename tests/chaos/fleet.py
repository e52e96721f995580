"""The workers of a chaos test as processes, what is done to them, and what they must have done in the end."""

import itertools
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread
import msgspec
from redis.asyncio import Redis

from engine import Event, StateReader
from engine.adapters.redis import RedisServer
from engine.embedded.process import Supervisor
from engine.testing.guarantees import Guarantees, HashChain, Lane
from engine.testing.journal import Occurrence, read_journals
from tests.chaos.topic import TestTopic, chain_of, group_view, sums_of
from tests.chaos.worker import BUCKETS, PERIOD, Settings, chain_key

ROOT = Path(__file__).parents[2]
SESSION_S = 6.0
READY_S = 60.0
STOPPED_S = 30.0
LOOK_S = 0.2


@dataclass(frozen=True)
class Life:
    """One process of a worker, from its start to its end."""

    name: str
    pid: int
    journal: Path
    log: Path


@dataclass(frozen=True)
class Verdict:
    """What was found at the end of a story."""

    events: Sequence[Event]
    copies: int
    """Events whose identity the log holds already."""
    guarantees: Guarantees
    checked: Sequence[str]
    faults: Mapping[str, Sequence[str]]
    """By checker; a checker without any is not in it."""


class Fleet:
    """Workers by name, on one topic. Whoever starts again under a name begins a new life, with a journal of its own."""

    def __init__(
        self, topic: TestTopic, redis_url: str, folder: Path, *, static: bool = False, session_s: float = SESSION_S
    ) -> None:
        self.topic = topic
        self.group = f"{topic.name}-group"
        self.aggregates_group = f"{self.group}-aggregates"
        self._redis_url = redis_url
        self._folder = folder
        self._supervisor = Supervisor("fleet", folder)
        self._static = static
        self._session_s = session_s
        self._numbers = itertools.count(1)
        self._known: list[Occurrence] = []
        """What no journal can tell: who was paused or killed."""
        self.lives: list[Life] = []
        self.running: dict[str, Life] = {}
        self.paused: dict[str, Life] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for life in (*self.running.values(), *self.paused.values()):
            os.kill(life.pid, signal.SIGKILL)
        await anyio.to_thread.run_sync(self._supervisor.close)
        if error is not None:
            for life in self.lives:
                print(f"{life.name}: {life.log.read_text()[-2_000:]}")
                print("\n".join(each.text for each in read_journals({life.name: life.journal}) if each.text))

    # ---------------------------------------------------------------- processes
    async def start(self, *names: str) -> None:
        for name in names:
            life_name = f"{name}.{next(self._numbers)}"
            journal = self._folder / f"{life_name}.journal"
            journal.touch()
            settings = Settings(
                kafka=self.topic.kafka,
                redis=self._redis_url,
                topic=self.topic.name,
                group=self.group,
                journal=str(journal),
                name=name,
                instance_id=name if self._static else None,
                session_s=self._session_s,
            )
            program = [sys.executable, "-m", "tests.chaos.worker", msgspec.json.encode(settings).decode()]
            log = self._folder / f"{life_name}.log"
            command = ["env", f"PYTHONPATH={ROOT}", *program]
            pid = await anyio.to_thread.run_sync(self._supervisor.start, command, log)
            self.running[name] = Life(life_name, pid, journal, log)
            self.lives.append(self.running[name])

    async def stop(self, name: str) -> None:
        """SIGTERM, as in an orderly restart; it must end with 0, unless it was still starting."""
        life = self.running.pop(name)
        os.kill(life.pid, signal.SIGTERM)
        code = await self._ended(life)
        never_began = code == -signal.SIGTERM and not life.journal.stat().st_size
        assert code == 0 or never_began, f"{life.name} ended with {code}: {life.log.read_text()[-2_000:]}"

    async def kill(self, name: str) -> None:
        life = self.running.pop(name)
        os.kill(life.pid, signal.SIGKILL)
        await self._ended(life)
        self._know("died", life)

    def pause(self, name: str) -> None:
        """SIGSTOP: it is not among the running until it is resumed."""
        life = self.running.pop(name)
        self._know("paused", life)
        os.kill(life.pid, signal.SIGSTOP)
        self.paused[name] = life

    def resume(self, name: str) -> None:
        life = self.running[name] = self.paused.pop(name)
        os.kill(life.pid, signal.SIGCONT)

    async def stop_all(self) -> None:
        for name in list(self.running):
            await self.stop(name)

    def _know(self, what: str, life: Life) -> None:
        self._known.append(Occurrence(time.monotonic(), life.name, what))

    async def _ended(self, life: Life) -> int:
        """The exit code, as soon as there is one; negative: the signal."""
        with anyio.fail_after(STOPPED_S):
            while (code := await anyio.to_thread.run_sync(self._supervisor.exit_code, life.pid)) is None:  # noqa: ASYNC110
                await anyio.sleep(0.05)
        return code

    # ---------------------------------------------------------------- what they did
    def story(self) -> list[Occurrence]:
        """What all lives wrote, and what was done to them, in the order of time."""
        written = read_journals({life.name: life.journal for life in self.lives})
        return sorted([*written, *self._known], key=lambda occurrence: occurrence.time_s)

    def effects(self) -> int:
        """How many there are so far; a look that costs little."""
        return sum(life.journal.read_bytes().count(b"\tdone\t") for life in self.lives)

    async def until_shared(self, partitions: int) -> dict[str, frozenset[int]]:
        """Waits until the running workers, and nobody else, share all partitions; returns who has which."""
        view: dict[str, frozenset[int]] = {}
        with anyio.fail_after(READY_S):
            while True:
                view = await group_view(self.topic.kafka, self.group)
                held = [partition for owned in view.values() for partition in owned]
                if view.keys() == self.running.keys() and sorted(held) == list(range(partitions)):
                    return view
                await anyio.sleep(LOOK_S)

    async def until_told(self, shared: Mapping[str, frozenset[int]]) -> None:
        """Waits until each running worker has heard what the group says it has: a group knows it first."""
        with anyio.fail_after(READY_S):
            while {name: self._held(life) for name, life in self.running.items()} != shared:  # noqa: ASYNC110
                await anyio.sleep(LOOK_S)

    def _held(self, life: Life) -> frozenset[int]:
        """All partitions of a worker, by its own journal."""
        told = [each.partitions for each in read_journals({life.name: life.journal}) if each.what == "assigned"]
        return told[-1] if told else frozenset()

    async def until_more_effects(self, count: int) -> None:
        """Waits until that many more events took effect than have by now."""
        wanted = self.effects() + count
        with anyio.fail_after(READY_S):
            while self.effects() < wanted:  # noqa: ASYNC110 - they are other processes
                await anyio.sleep(LOOK_S)

    async def finish(self) -> Guarantees:
        """Waits until both groups have done everything, stops all workers, and checks every promise."""
        await self.topic.until_settled(self.group, self.aggregates_group)
        await self.stop_all()
        verdict = await self.verdict()
        assert not verdict.faults, verdict.faults
        return verdict.guarantees

    async def verdict(self) -> "Verdict":
        """What all checkers say of all that happened. For the end, when nobody works any more."""
        lags = {group: await self.topic.lag(group) for group in (self.group, self.aggregates_group)}
        events = await self.topic.read()
        guarantees = Guarantees()
        for occurrence in self.story():
            guarantees.see(occurrence)
        guarantees.at_least_once.compare((event.partition, event.offset) for event in events)
        chain = chain_of(events)
        sums, copies = sums_of(events)
        wanted = sums, len(events) - copies, copies
        found = await self._sums(list(sums), max(event.partition for event in events) + 1)
        faults = {
            "lag 0": [f"{group} lags by {lag}" for group, lag in lags.items() if lag],
            "at least once": guarantees.at_least_once.faults,
            "order of a key": guarantees.key_order.faults,
            "one at a time": guarantees.one_at_a_time.faults,
            "chains of hashes": chain.differences(await self._links(chain)),
            "cells": [] if found == wanted else [f"{found} (sums, counted, copies) instead of {wanted}"],
        }
        return Verdict(events, copies, guarantees, list(faults), {name: each for name, each in faults.items() if each})

    async def _links(self, chain: HashChain) -> dict[Lane, tuple[int, str]]:
        found: dict[Lane, tuple[int, str]] = {}
        async with Redis.from_url(self._redis_url, decode_responses=True) as redis:
            for partition, key in chain.links:
                stored = await redis.hgetall(chain_key(self.topic.name, partition, key))
                if stored:
                    found[partition, key] = int(stored["offset"]), str(stored["hash"])
        return found

    async def _sums(self, keys: Sequence[bytes], partitions: int) -> tuple[dict[bytes, int], int, int]:
        """Sums by key, and how many events were counted and were copies, as Redis has them."""
        async with RedisServer(self._redis_url) as server:
            reader = StateReader(server, group=self.aggregates_group, buckets=BUCKETS)
            found = {}
            for key in keys:
                account = await reader.account(key, PERIOD.start_s, PERIOD.end_s)
                readings = {cell.series.name: reading for cell, reading in account.cells.items()}
                found[key] = readings[b"s"].number
            progress = await reader.progress(partitions)
        counted, _, duplicate, _ = (sum(each.counters[index] for each in progress) for index in range(4))
        return found, counted, duplicate
