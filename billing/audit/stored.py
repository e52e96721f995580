"""What Redis holds of a bucket, read through the engine's read port and put into the words of the audit."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from billing.audit.compare import Stored, StoredKey
from billing.audit.folding import Address, Figure, Series
from billing.audit.recount import COUNTERS, Named, View


class SnapshotReader(Protocol):
    """The part of the engine's read port that the audit needs."""

    def snapshot(self, bucket: int, partitions: int) -> AsyncIterator[Any]:
        """Parts with `progress` (the records of the bucket's slices) and `states` (by key), each part of one moment.

        The first part's moment is that of the keys too: a key that no part has was empty then.
        """
        ...


@dataclass(slots=True)
class StoredBucket:
    """A bucket as read, and the records as of each of its moments."""

    stored: Stored
    first: View
    views: dict[bytes, View] = field(default_factory=dict)

    def position(self, partition: int) -> int:
        """Up to here the log must be read for this bucket."""
        every = (self.first, *{id(view): view for view in self.views.values()}.values())
        return max((view[partition].position for view in every if partition in view), default=0)


async def read_bucket(reader: SnapshotReader, bucket: int, partitions: int) -> StoredBucket:
    """Raises Unanswered, and StateDamaged where something is not what the engine writes."""
    keys: dict[bytes, StoredKey] = {}
    found: StoredBucket | None = None
    async for part in reader.snapshot(bucket, partitions):
        view = _view(part.progress)
        if found is None:
            found = StoredBucket(Stored(keys, _counters(part.progress)), view)
        for key, state in part.states.items():
            keys[key] = _stored_key(state)
            found.views[key] = view
    return found or StoredBucket(Stored(keys, {}), {})


def _view(progress: Iterable[Any]) -> View:
    return {one.partition: Named(one.position, frozenset(one.holes)) for one in progress}


def _counters(progress: Iterable[Any]) -> Mapping[int, Mapping[str, int]]:
    return {one.partition: {name: getattr(one.counters, name) for name in COUNTERS} for one in progress}


def _stored_key(state: Any) -> StoredKey:
    cells = {}
    for cell, reading in state.cells.items():
        series = _series(cell.series.aggregate.name, cell.series.name)
        cells[Address(cell.start_s, series)] = _figure(series.aggregate, reading)
    totals = {}
    for period, readings in state.totals.items():
        by_series = {_series(series.aggregate.name, series.name): reading for series, reading in readings.items()}
        totals[period] = {series: _figure(series.aggregate, reading) for series, reading in by_series.items()}
    return StoredKey(cells, totals)


def _series(aggregate: str, name: bytes) -> Series:
    """A name that no meter gives stands for itself: it equals nothing in the log."""
    match _parsed(name):
        case [str(meter), int(version), *group] if all(isinstance(value, str) for value in group):
            return Series(aggregate.lower(), meter, version, tuple(group))
        case _:
            return Series(aggregate.lower(), name.decode(errors="backslashreplace"), 0, ())


def _parsed(name: bytes) -> Sequence[Any] | None:
    try:
        parsed = json.loads(name.decode())
    except ValueError:
        return None
    return parsed if isinstance(parsed, list) else None


def _figure(aggregate: str, reading: Any) -> Figure:
    """`reading`: the engine's `Reading`."""
    match aggregate:
        case "count":
            return (reading.count,)
        case "sum":
            return (reading.count, reading.number)
        case "min" | "max":
            return (reading.number,)
        case "latest":
            return (tuple(reading.rank), reading.number)
        case "unique" if reading.count == len(reading.members):
            return frozenset(reading.members)
        case _:
            return (f"{reading.count}, but {len(reading.members)} members",)
