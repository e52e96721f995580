"""A customer's newest events and what became of them, read back from the end of the log, bounded.

Whatever partitioned them, they are looked for in the tails of all partitions. Within what was read the first of
several copies counted; a copy whose first lies further back is shown as counted.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from billing.catalog import CatalogHistory
from billing.domain.problems import InvalidEvent
from billing.domain.timestamps import time_text
from billing.domain.usage import LOG_GRACE_S, UsageEvent, check_key, decode, moment_us
from engine import Event

TAIL_MAX = 2_000
"""Offsets looked at in each partition."""
OUTCOMES = frozenset({"counted", "duplicate", "rejected", "unmetered", "pending"})


class TailReader(Protocol):
    """What is needed of a reader without a group; `engine.adapters.kafka.LogReader` is one."""

    partitions: tuple[int, ...]

    async def start(self) -> None: ...
    async def beginning(self, partition: int) -> int: ...
    async def end(self, partition: int) -> int: ...
    def read(self, partition: int, first: int, end: int) -> AsyncIterator[Sequence[Event]]: ...


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

    async def find(self, customer: str, reached: dict[int, int], *, outcome: str | None, limit: int) -> list[dict[str, Any]]:
        """Newest first. `reached`: by partition the offset below which everything is in the state. Raises Unanswered."""
        async with self._searching:
            events = [event async for event in self._tails(customer.encode())]
        seen: set[tuple[str, str]] = set()
        shown = []
        for event in sorted(events, key=lambda one: (one.timestamp, one.partition, one.offset)):
            entry = self._describe(event, seen)
            if event.offset >= reached.get(event.partition, 0) and entry["outcome"] != "rejected":
                entry["outcome"] = "pending"
            if outcome is None or entry["outcome"] == outcome:
                shown.append(entry)
        return shown[: -limit - 1 : -1]

    async def _tails(self, key: bytes) -> AsyncIterator[Event]:
        for partition in self._reader.partitions:
            end = await self._reader.end(partition)
            first = max(await self._reader.beginning(partition), end - TAIL_MAX)
            async for batch in self._reader.read(partition, first, end):
                for event in batch:
                    if event.key == key:
                        yield event

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
