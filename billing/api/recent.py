"""A customer's newest events and what became of them, read back from the end of the log, bounded.

Whatever partitioned them, they are looked for in the tails of all partitions. Within what was read the first of
several copies counted; a copy whose first lies further back is shown as counted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from billing.catalog import CatalogHistory
from billing.domain.problems import InvalidEvent
from billing.domain.timestamps import time_text
from billing.domain.usage import LOG_GRACE_S, UsageEvent, check_key, decode, moment_us
from engine import Event, Unanswered

TAIL_MAX = 2_000
"""Offsets looked at in each partition."""
WAIT_S = 0.5
SEARCH_S = 10.0
OUTCOMES = frozenset({"counted", "duplicate", "rejected", "unmetered", "pending"})


class TailReader(Protocol):
    """What is needed of a reader without a group; `engine.adapters.kafka.LogReader` is one."""

    partitions: tuple[int, ...]

    async def follow_growth(self) -> None: ...

    async def beginning(self, partition: int) -> int: ...
    async def end(self, partition: int) -> int: ...
    def seek(self, partition: int, offset: int) -> None: ...
    def position(self, partition: int) -> int: ...
    async def fetch(
        self, partitions: Sequence[int] | None = None, *, events_max: int = 10_000, wait_s: float = 1.0
    ) -> Mapping[int, Sequence[Event]]: ...


class KnownFacts(Protocol):
    @property
    def history(self) -> CatalogHistory: ...


class RecentEvents:
    """One search at a time."""

    def __init__(self, reader: TailReader, facts: KnownFacts, *, horizon_d: int) -> None:
        self._reader = reader
        self._facts = facts
        self._horizon_d = horizon_d
        self._searching = asyncio.Lock()

    async def find(
        self, customer: str, ask_reached: Callable[[], Awaitable[Mapping[int, int]]], *, outcome: str | None, limit: int
    ) -> list[dict[str, Any]]:
        """Newest first. `ask_reached`: by partition the offset below which everything is in the state, asked for once
        the log's end was read, so that what was counted meanwhile is not shown as pending.

        Raises:
            Unanswered: the log was not read to its end in time.
        """
        async with self._searching:
            try:
                async with asyncio.timeout(SEARCH_S):
                    events = await self._tails(customer.encode())
            except TimeoutError as error:
                raise Unanswered(f"the end of the log was not read within {SEARCH_S:g} s") from error
        reached = await ask_reached()
        seen: set[tuple[str, str]] = set()
        shown = []
        for event in sorted(events, key=lambda one: (one.timestamp, one.partition, one.offset)):
            entry = self._describe(event, seen)
            if event.offset >= reached.get(event.partition, 0) and entry["outcome"] != "rejected":
                entry["outcome"] = "pending"
            if outcome is None or entry["outcome"] == outcome:
                shown.append(entry)
        return shown[: -limit - 1 : -1]

    async def _tails(self, key: bytes) -> list[Event]:
        """The events of the key near the end of each partition, all partitions read at once."""
        await self._reader.follow_growth()
        partitions = self._reader.partitions
        ends = dict(zip(partitions, await asyncio.gather(*map(self._reader.end, partitions)), strict=True))
        firsts = dict(zip(partitions, await asyncio.gather(*map(self._reader.beginning, partitions)), strict=True))
        for partition, end in ends.items():
            self._reader.seek(partition, max(firsts[partition], end - TAIL_MAX))
        found: list[Event] = []
        while unread := [each for each in partitions if self._reader.position(each) < ends[each]]:
            for partition, events in (await self._reader.fetch(unread, wait_s=WAIT_S)).items():
                found += [event for event in events if event.key == key and event.offset < ends[partition]]
        return found

    def _describe(self, event: Event, seen: set[tuple[str, str]]) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "arrival": time_text(event.timestamp * 1_000),
            "partition": event.partition,
            "offset": event.offset,
            "outcome": "counted",
            "error": None,
            "meters": [],
        }
        try:
            usage = decode(event.value)
            check_key(usage, event.key)
            instant_us = moment_us(usage, event.timestamp, horizon_d=self._horizon_d, grace_s=LOG_GRACE_S)
            measures = self._facts.history.meters_at(event.timestamp).measure(usage, instant_us)
        except InvalidEvent as error:
            return entry | {"id": None, "type": None, "time": None, "outcome": "rejected", "error": str(error)}
        entry |= {"id": usage.id, "type": usage.type, "time": time_text(instant_us)}
        if _identity(usage) in seen:
            return entry | {"outcome": "duplicate"}
        seen.add(_identity(usage))
        meters = [measure.meter.name for measure in measures]
        return entry | {"meters": meters, "outcome": "counted" if meters else "unmetered"}


def _identity(usage: UsageEvent) -> tuple[str, str]:
    return usage.source, usage.id
