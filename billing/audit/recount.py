"""The recount: what Redis should hold, from the log alone.

Redis names, for every slice, the events that are in it: those below a position, except some holes. Events are folded
exactly as far as those names go, so the recount works while the system runs. A bucket is read in several calls, each
with the records of its own moment: cells are recounted as of the call that read their key, counters as of the first.

Whether an event is a duplicate follows from the order of the log as long as the copies lie in one partition. Copies
in several partitions: the first that was applied counted, which the log does not tell. Where every copy says the same
and all lie within the horizon, exactly one of those that are in the state counted, and it does not matter which. Else
the key is ambiguous, and named as such.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from billing.audit.folding import Addition, Address, Figure, together

DAY_MS = 86_400_000
COUNTERS = ("counted", "unmetered", "duplicate", "dead")


class LogRecord(Protocol):
    """One record of the log, as the log's reader delivers it. `timestamp`: arrival, milliseconds since 1970."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class Named(NamedTuple):
    """The events of one slice that a record names: below `position`, except `holes`."""

    position: int
    holes: frozenset[int]

    def holds(self, offset: int) -> bool:
        return offset < self.position and offset not in self.holes


class Reading(NamedTuple):
    """A usage event that can count: who it is, and what it adds. No additions: no meter matches."""

    identity: tuple[str, str]
    additions: tuple[Addition, ...]


View = Mapping[int, Named]
"""The records of one moment of a bucket, by partition."""


@dataclass(slots=True)
class Copies:
    """The copies of one identity that stand for one counting event."""

    day: int
    """Arrival day of the copy that counts."""
    earliest_day: int
    latest_day: int
    partition: int
    additions_hash: int
    in_cells: bool
    in_counters: bool


@dataclass(slots=True)
class BucketCount:
    """What the log says of one bucket."""

    cells: dict[bytes, dict[Address, Figure]] = field(default_factory=lambda: defaultdict(dict))
    counters: dict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: dict.fromkeys(COUNTERS, 0)))
    """By partition."""
    ambiguous: dict[bytes, str] = field(default_factory=dict)
    """Keys that cannot be told from the log, with the reason."""
    moved: bool = False
    """Copies of one event lie in several partitions: counters compare only over all partitions together."""


class Recount:
    """Counts one bucket. Feed partition by partition, each in the log's order.

    `first`: the records as of the counters; `views`: the records as of each key's cells. A key without a view was not
    in the state at the first moment.
    """

    def __init__(self, *, first: View, views: Mapping[bytes, View], horizon_d: int) -> None:
        self._first = first
        self._views = views
        self._horizon_d = horizon_d
        self._remembered: dict[bytes, list[Copies]] = {}
        self.result = BucketCount()

    def feed(self, record: LogRecord, reading: Reading | None) -> None:
        """`reading` is None for an event that can never count."""
        key = record.key or b""
        in_counters = _holds(self._first, record)
        in_cells = _holds(self._views.get(key, self._first), record)
        if reading is None:
            self._count(record.partition, "dead", in_counters)
            return
        name = "counted" if reading.additions else "unmetered"
        day = record.timestamp // DAY_MS
        entries = self._remembered.setdefault(_digest(key, *reading.identity), [])
        near = [entry for entry in entries if abs(entry.day - day) <= self._horizon_d]
        if not near:
            said = hash(reading.additions)
            entries.append(Copies(day, day, day, record.partition, said, in_cells, in_counters))
            self._count(record.partition, name, in_counters)
            self._fold(key, reading.additions, in_cells)
        elif all(entry.partition == record.partition for entry in near):
            self._widen(near, day)
            self._count(record.partition, "duplicate", in_counters)
        else:
            self._feed_moved(
                key,
                record,
                reading,
                entries,
                day,
                in_cells=in_cells,
                in_counters=in_counters,
            )

    def _feed_moved(
        self, key: bytes, record: LogRecord, reading: Reading, entries: list[Copies], day: int,
        *, in_cells: bool, in_counters: bool,
    ) -> None:  # fmt: skip
        """A copy of an event that stands in another partition too."""
        self.result.moved = True
        entry = entries[0]
        self._widen([entry], day)
        if (
            len(entries) > 1
            or entry.latest_day - entry.earliest_day > self._horizon_d
            or entry.additions_hash != hash(reading.additions)
        ):
            source, id_ = reading.identity
            self.result.ambiguous[key] = (
                f"event {id_!r} of {source!r} stands in partitions {entry.partition} and {record.partition} "
                "with copies that differ: the log does not tell which was counted"
            )
            return
        name = "counted" if reading.additions else "unmetered"
        self._count(record.partition, "duplicate" if entry.in_counters else name, in_counters)
        self._fold(key, reading.additions, in_cells and not entry.in_cells)
        entry.in_counters |= in_counters
        entry.in_cells |= in_cells

    def _widen(self, entries: Iterable[Copies], day: int) -> None:
        for entry in entries:
            entry.earliest_day = min(entry.earliest_day, day)
            entry.latest_day = max(entry.latest_day, day)

    def _count(self, partition: int, name: str, included: bool) -> None:
        if included:
            self.result.counters[partition][name] += 1

    def _fold(self, key: bytes, additions: Iterable[Addition], included: bool) -> None:
        if not included:
            return
        cells = self.result.cells[key]
        for address, figure in additions:
            standing = cells.get(address)
            if isinstance(standing, set) and isinstance(figure, frozenset):
                standing |= figure  # Grows in place: a copy for every event would be quadratic.
            elif isinstance(figure, frozenset):
                cells[address] = set(figure)
            else:
                cells[address] = figure if standing is None else together(address.series.aggregate, (standing, figure))


def _holds(view: View, record: LogRecord) -> bool:
    named = view.get(record.partition)
    return named is not None and named.holds(record.offset)


def _digest(key: bytes, source: str, id_: str) -> bytes:
    """Sixteen bytes for an event's identity within its customer."""
    parts = (key, source.encode(), id_.encode())
    return hashlib.blake2b(b"".join(len(part).to_bytes(4, "big") + part for part in parts), digest_size=16).digest()
