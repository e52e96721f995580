"""Small stand-ins for the ports that billing uses: a clock, a topic in memory, a state that the tests fill."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from billing.catalog import Catalog, CatalogHistory, parse_catalog
from billing.domain.periods import Window
from billing.series import series_name
from engine import Aggregate, Cell, Event, Message, Period, Reading, Series, Totals, Unanswered, merge

HOUR_S = 3600
NOV = 1_793_491_200
"""2026-11-01T00:00:00Z."""
NOON = NOV + 12 * HOUR_S

CATALOG = b"""
version = 1
[defaults]
plan = "basic"
currency = "USD"
time_zone = "UTC"
[[meters]]
name = "tokens"
event_type = "llm.tokens"
aggregation = "sum"
property = "data.tokens"
group_by = { model = "data.model", region = "data.region" }
[[meters]]
name = "users"
event_type = "llm.tokens"
aggregation = "unique"
property = "data.user"
group_by = { model = "data.model" }
filter = { "data.user" = ["ann", "bob", "eve"] }
[[plans]]
name = "basic"
[[plans.rates]]
name = "large"
meter = "tokens"
match = { model = "m-large" }
rate = { model = "per_unit", unit = "0.01" }
[[plans.rates]]
name = "seats"
meter = "users"
rate = { model = "per_unit", unit = "5" }
[[customers]]
id = "acme"
limit = "100.00"
thresholds = ["50%", "100%", "20.00"]
[[customers]]
id = "hanako"
currency = "JPY"
time_zone = "Asia/Tokyo"
"""


def catalog(text: bytes = CATALOG) -> Catalog:
    return parse_catalog(text, json=False)


def history(*texts: bytes, from_ms: int = 0) -> CatalogHistory:
    """The versions of the texts (by default CATALOG alone), those after the first valid from `from_ms`."""
    found = CatalogHistory()
    for text in texts or (CATALOG,):
        found = found.with_version(catalog(text), from_ms)
    return found


@dataclass
class FakeClock:
    now: int = NOON * 1_000

    def now_ms(self) -> int:
        return self.now


@dataclass(frozen=True)
class Record:
    """An event as a log's client delivers it."""

    value: bytes | None
    key: bytes | None = b"acme"
    offset: int = 0
    timestamp: int = NOON * 1_000
    partition: int = 0
    topic: str = "usage-events"
    headers: Sequence[tuple[str, bytes]] = ()


def usage_event(subject: str = "acme", **changes: Any) -> dict[str, Any]:
    """A valid event; `changes` replace members, None takes one out."""
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "gateway",
        "type": "llm.tokens",
        "subject": subject,
        "time": "2026-11-01T11:59:00Z",
        "data": {"tokens": 100, "model": "m-large", "region": "eu"},
    }
    return {name: value for name, value in (event | changes).items() if value is not None}


def record(subject: str = "acme", *, timestamp: int = NOON * 1_000, offset: int = 0, **changes: Any) -> Record:
    return Record(orjson.dumps(usage_event(subject, **changes)), subject.encode(), offset, timestamp)


@dataclass
class FakeTopic:
    """A topic of one partition, its reader and its sender. `away` makes every question unanswered."""

    clock: FakeClock
    records: list[Record] = field(default_factory=list)
    partitions: tuple[int, ...] = (0,)
    away: bool = False
    _position: int = 0

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def follow_growth(self) -> None: ...

    async def send(self, messages: Sequence[Message]) -> None:
        self._check()
        for message in messages:
            offset = len(self.records)
            self.records.append(Record(message.value, message.key, offset, self.clock.now, 0, message.topic))

    async def fetch(
        self, partitions: Sequence[int] | None = None, *, events_max: int = 10_000, wait_s: float = 1.0
    ) -> Mapping[int, Sequence[Event]]:
        self._check()
        found = self.records[self._position :]
        self._position = len(self.records)
        await asyncio.sleep(0 if found else 0.001)
        return {0: found} if found else {}

    def position(self, partition: int) -> int:
        return self._position

    def seek(self, partition: int, offset: int) -> None:
        self._position = offset

    async def beginning(self, partition: int) -> int:
        self._check()
        return 0

    async def end(self, partition: int) -> int:
        self._check()
        return len(self.records)

    async def at_end(self, partition: int) -> bool:
        return await self.end(partition) <= self._position

    def _check(self) -> None:
        if self.away:
            raise Unanswered("away")


@dataclass
class FakeState:
    """What a state reader answers, from cells that a test adds. Totals stand where `keep_total` was called."""

    cells_of: dict[bytes, dict[Cell, Reading]] = field(default_factory=dict)
    kept: dict[bytes, set[tuple[int, int]]] = field(default_factory=dict)
    asked: list[list[bytes]] = field(default_factory=list)
    """Keys whose totals were asked for together."""
    away: bool = False

    def add(
        self, found: CatalogHistory, customer: str, meter: str, group: tuple[str, ...], start_s: int, reading: Reading
    ) -> None:
        version = found.meter_versions(meter)[-1]
        cell = Cell.of(version.aggregate, start_s, series_name(version, group))
        self.cells_of.setdefault(customer.encode(), {})[cell] = reading

    def keep_total(self, customer: str, start_s: int, end_s: int) -> None:
        self.kept.setdefault(customer.encode(), set()).add((start_s, end_s))

    async def total(self, key: bytes, start_s: int, end_s: int) -> Totals | None:
        self._check()
        if (start_s, end_s) not in self.kept.get(key, ()):
            return None
        values: dict[Series, Reading] = {}
        for cell, reading in self._between(key, start_s, end_s).items():
            before = values.get(cell.series)
            values[cell.series] = reading if before is None else merge(cell.series.aggregate, before, reading)
        values = {series: reading._replace(members=frozenset()) for series, reading in values.items()}
        return Totals(key, Period.of(start_s, end_s, keep=True, watched=False), values, frozenset())

    async def roll_up(
        self, key: bytes, start_s: int, end_s: int, window_of: Callable[[int], Window], *, members: bool = False
    ) -> dict[Series, dict[Window, Reading]]:
        self._check()
        rolled: dict[Series, dict[Window, Reading]] = {}
        for cell, reading in self._between(key, start_s, end_s).items():
            if cell.series.aggregate is Aggregate.UNIQUE and not members:
                continue
            readings, window = rolled.setdefault(cell.series, {}), window_of(cell.start_s)
            before = readings.get(window)
            readings[window] = reading if before is None else merge(cell.series.aggregate, before, reading)
        return rolled

    async def last_arrival_ms(self, key: bytes, day: int) -> int | None:
        return NOON * 1_000 if day in await self.days(key) else None

    async def days(self, key: bytes) -> Sequence[int]:
        self._check()
        return sorted({cell.start_s // 86_400 for cell in self.cells_of.get(key, ())})

    async def keys(self, bucket: int) -> Mapping[bytes, tuple[int, ...]]:
        self._check()
        return {key: tuple(await self.days(key)) for key in self.cells_of} if bucket == 0 else {}

    async def totals(self, wanted: Sequence[bytes], start_s: int, end_s: int) -> Sequence[Totals]:
        self.asked.append(list(wanted))
        found = [await self.total(key, start_s, end_s) for key in wanted]
        return [total for total in found if total is not None]

    def _between(self, key: bytes, start_s: int, end_s: int) -> dict[Cell, Reading]:
        return {cell: one for cell, one in self.cells_of.get(key, {}).items() if start_s <= cell.start_s < end_s}

    def _check(self) -> None:
        if self.away:
            raise Unanswered("away")


@dataclass
class FakeFacts:
    """Facts that are known to their end."""

    history: CatalogHistory = field(default_factory=history)
    until_ms: int = 2**62

    def handles_until_ms(self) -> int:
        return self.until_ms
