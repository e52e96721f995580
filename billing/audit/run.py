"""One audit: snapshots of Redis, the log up to what they name, and the comparison, bucket by bucket.

Memory: a pass holds a group of buckets, the state of their keys, and about 300 bytes for the identity of each of their
events. Groups are cut so that a pass has about `EVENTS_PER_PASS` events (150 MB), or one bucket. Each pass reads the
log once and skips the events of other buckets by their key alone.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import xxhash

from billing.audit.compare import Comparer, Comparison, Difference
from billing.audit.facts import CatalogRules
from billing.audit.reading import read_record
from billing.audit.recount import DAY_MS, LogRecord, Recount
from billing.audit.stored import SnapshotReader, StoredBucket, read_bucket

EVENTS_PER_PASS = 500_000
AHEAD_MAX_MS = 25 * 3_600_000
"""How long before the time it tells an event may have arrived."""

logger = logging.getLogger("billing.audit")


class AuditLog(Protocol):
    """The topic of usage events, read without a group."""

    @property
    def partitions(self) -> Sequence[int]: ...

    async def beginning(self, partition: int) -> int: ...

    async def end(self, partition: int) -> int: ...

    def read(self, partition: int, first: int, end: int) -> AsyncIterator[Sequence[LogRecord]]:
        """Batches of the records of [first, end), ascending."""
        ...


class FactsReader(Protocol):
    async def rules(self) -> CatalogRules:
        """The facts as of now."""
        ...


class CannotTell(Exception):
    """The audit has no answer; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`from_s`: only cells that start there or later, seconds since 1970; 0 for all."""

    buckets: int
    horizon_d: int
    from_s: int = 0
    events_per_pass: int = EVENTS_PER_PASS


@dataclass(slots=True)
class Report:
    """The answer. Counters are those of the log, as far as Redis names its events."""

    audit: Literal["equal", "different", "unknown"]
    comparison: Comparison = field(default_factory=Comparison)
    reason: str | None = None

    @property
    def exit_code(self) -> int:
        return {"equal": 0, "different": 1, "unknown": 2}[self.audit]

    def as_json(self) -> dict[str, object]:
        counters = self.comparison.counters
        return {
            "audit": self.audit,
            "events": sum(counters.values()),
            "counted": counters["counted"],
            "unmetered": counters["unmetered"],
            "duplicates_dropped": counters["duplicate"],
            "dead_lettered": counters["dead"],
            "cells": self.comparison.cells,
            "totals": self.comparison.totals,
            "differences": [one.as_json() for one in self.comparison.differences],
            "reason": self.reason,
        }


async def compare_all(log: AuditLog, state: SnapshotReader, facts: FactsReader, settings: Settings) -> Report:
    """Raises CannotTell, Unanswered, OffsetOutOfRange, StateDamaged."""
    beginnings = {partition: await log.beginning(partition) for partition in log.partitions}
    whole = await _check_reach(log, beginnings, settings)
    ends = {partition: await log.end(partition) for partition in log.partitions}
    events = sum(ends.values()) - sum(beginnings.values())
    groups = _groups(settings.buckets, events, settings.events_per_pass)
    comparison = Comparison()
    for group in groups:
        logger.debug("buckets %s to %s of %s", group.start, group.stop - 1, settings.buckets)
        stored = {bucket: await read_bucket(state, bucket, len(log.partitions)) for bucket in group}
        rules = await facts.rules()
        names = rules.group_names()
        comparer = Comparer(from_s=settings.from_s, with_counters=whole, group_names=names, result=comparison)
        ends = {partition: await log.end(partition) for partition in log.partitions}
        recounts = await _recount(log, beginnings, ends, stored, rules, settings)
        for bucket, recount in recounts.items():
            comparer.compare(bucket, stored[bucket].stored, recount.result)
            _compare_positions(comparison, bucket, stored[bucket], ends)
    return _conclude(comparison)


def _compare_positions(comparison: Comparison, bucket: int, stored: StoredBucket, ends: Mapping[int, int]) -> None:
    """A record that names events beyond the log's end is a difference: the log does not hold them."""
    for partition, end in ends.items():
        position = stored.position(partition)
        if position > end:
            place = {"bucket": bucket, "partition": partition, "counter": "position"}
            comparison.add(Difference(None, None, None, place, str(position), str(end)))


def _conclude(comparison: Comparison) -> Report:
    if comparison.different:
        shown = len(comparison.differences)
        more = comparison.different - shown
        return Report("different", comparison, f"{more} more differences are not shown" if more else None)
    if comparison.ambiguous:
        return Report("unknown", comparison, comparison.ambiguous)
    return Report("equal", comparison)


async def _check_reach(log: AuditLog, beginnings: Mapping[int, int], settings: Settings) -> bool:
    """Whether the log is whole; where it is not, it must reach back far enough for what is compared.

    What adds to a cell arrived at most AHEAD_MAX_MS before it began; what makes that a duplicate, at most the horizon
    before that, and a day for timestamps that go back.
    """
    cut = [partition for partition, beginning in beginnings.items() if beginning > 0]
    if not cut:
        return True
    if not settings.from_s:
        raise CannotTell(f"the log no longer begins at offset 0 (partitions {cut}): limit the audit with --from")
    needed_ms = settings.from_s * 1_000 - AHEAD_MAX_MS - (settings.horizon_d + 2) * DAY_MS
    for partition in cut:
        async for batch in log.read(partition, beginnings[partition], await log.end(partition)):
            if batch[0].timestamp > needed_ms:
                raise CannotTell(f"partition {partition} of the log does not reach back far enough for this --from")
            break
    return False


def _groups(buckets: int, events: int, events_per_pass: int) -> list[range]:
    passes = max(1, min(buckets, -(-events // events_per_pass)))
    size = -(-buckets // passes)
    return [range(first, min(first + size, buckets)) for first in range(0, buckets, size)]


async def _recount(
    log: AuditLog,
    beginnings: Mapping[int, int],
    ends: Mapping[int, int],
    stored: Mapping[int, StoredBucket],
    rules: CatalogRules,
    settings: Settings,
) -> dict[int, Recount]:
    recounts = {
        bucket: Recount(first=one.first, views=one.views, horizon_d=settings.horizon_d)
        for bucket, one in stored.items()
    }
    for partition in log.partitions:
        position = max(one.position(partition) for one in stored.values())
        end = min(position, ends[partition])
        async for batch in log.read(partition, beginnings[partition], end):
            for record in batch:
                recount = recounts.get(bucket_of(record.key or b"", settings.buckets))
                if recount is not None:
                    recount.feed(record, read_record(record, rules, horizon_d=settings.horizon_d))
    return recounts


def bucket_of(key: bytes, buckets: int) -> int:
    return xxhash.xxh3_64_intdigest(key) % buckets
