"""A whole audit against a log and a state made by hand: what it concludes, and when it cannot tell."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from billing.audit.facts import CatalogRules, read_rules
from billing.audit.recount import DAY_MS
from billing.audit.run import CannotTell, Report, Settings, bucket_of, compare_all
from engine import Aggregate, Cell, Reading, Series

BUCKETS = 4
DAY = 20_000
START_S = DAY * 86_400
CATALOG: dict[str, Any] = {
    "version": 1,
    "defaults": {"time_zone": "Asia/Kathmandu"},
    "meters": [{"name": "tokens", "event_type": "t", "aggregation": "sum", "property": "data.n"}],
    "customers": [{"id": "a", "time_zone": "UTC"}],
}


@dataclass
class Record:
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = DAY * DAY_MS + 1_800_000


def fact(version: int, catalog: Any, valid_from_ms: int = 0, timestamp: int = 0) -> Record:
    value = json.dumps({"version": version, "valid_from_ms": valid_from_ms, "catalog": catalog}).encode()
    return Record(0, version, b"catalog/%d" % version, value, timestamp)


def usage(customer: str, id_: str, quantity: int) -> bytes:
    event = {"specversion": "1.0", "id": id_, "source": "s", "type": "t", "subject": customer, "data": {"n": quantity}}
    return json.dumps(event).encode()


@dataclass
class World:
    """Log, state and facts; the state is what a right engine would have made of the log."""

    partitions: Sequence[int] = (0, 1)
    first: int = 0
    logs: dict[int, list[Record]] = field(default_factory=dict)
    cells: dict[bytes, dict[Cell, Reading]] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)
    counters: dict[tuple[int, int], list[int]] = field(default_factory=dict)

    @classmethod
    def make(cls) -> "World":
        world = cls()
        for number in range(40):
            customer = "abcdefgh"[number % 8]
            world.add(number % 2, customer, usage(customer, f"{number}", number), number)
        world.add(0, "a", b"nonsense", None)
        return world

    def add(self, partition: int, customer: str, value: bytes, quantity: int | None) -> None:
        log = self.logs.setdefault(partition, [])
        key = customer.encode()
        log.append(Record(partition, len(log), key, value))
        self.positions[partition] = len(log)
        counters = self.counters.setdefault((bucket_of(key, BUCKETS), partition), [0, 0, 0, 0])
        counters[3 if quantity is None else 0] += 1
        if quantity is not None:
            start_s = START_S if customer == "a" else START_S + 900
            cell = Cell.of(Aggregate.SUM, start_s, b'["tokens",1]')
            before = self.cells.setdefault(key, {}).get(cell, Reading())
            self.cells[key][cell] = Reading(before.count + 1, before.number + quantity * 10**12)

    async def beginning(self, partition: int) -> int:
        return self.first

    async def end(self, partition: int) -> int:
        return len(self.logs[partition])

    async def read(self, partition: int, first: int, end: int) -> AsyncIterator[Sequence[Record]]:
        for at in range(first, end, 7):
            yield self.logs[partition][at : min(at + 7, end)]

    async def snapshot(self, bucket: int, partitions: int) -> AsyncIterator[Any]:
        names = ("counted", "unmetered", "duplicate", "dead")
        progress = [
            SimpleNamespace(
                partition=partition,
                position=self.positions[partition],
                holes=(),
                counters=SimpleNamespace(
                    **dict(zip(names, self.counters.get((bucket, partition), [0] * 4), strict=True))
                ),
            )
            for partition in range(partitions)
        ]
        yield SimpleNamespace(progress=progress, states={})
        for key, cells in self.cells.items():
            if bucket_of(key, BUCKETS) == bucket:
                values = {Series(Aggregate.SUM, b'["tokens",1]'): Reading(5, sum(one.number for one in cells.values()))}
                totals = {(START_S - 86_400, START_S + 86_400): values}
                yield SimpleNamespace(progress=progress, states={key: SimpleNamespace(cells=cells, totals=totals)})

    async def rules(self) -> CatalogRules:
        return read_rules([fact(1, CATALOG)])

    async def audit(self, **settings: Any) -> Report:
        return await compare_all(self, self, self, Settings(buckets=BUCKETS, horizon_d=34, **settings))


async def test_equal_in_one_pass_and_in_many() -> None:
    one, many = await World.make().audit(), await World.make().audit(events_per_pass=5)
    assert one.as_json() == many.as_json()
    assert one.audit == "equal"
    assert one.exit_code == 0
    answer = one.as_json()
    assert [answer[name] for name in ("events", "counted", "dead_lettered", "cells", "totals")] == [41, 40, 1, 8, 8]


async def test_a_changed_cell_makes_it_different() -> None:
    world = World.make()
    ((cell, reading),) = world.cells[b"c"].items()
    world.cells[b"c"][cell] = reading._replace(number=reading.number + 1)
    report = await world.audit()
    assert (report.audit, report.exit_code) == ("different", 1)
    customers = {one.customer for one in report.comparison.differences}
    assert customers == {"c"}
    assert report.comparison.different == 2, "the cell, and the total that is the sum of it"


@pytest.mark.parametrize("shift", [-3, 1])
async def test_a_shifted_record_makes_it_different(shift: int) -> None:
    world = World.make()
    world.positions[1] += shift
    report = await world.audit()
    assert report.exit_code == 1


async def test_a_cut_log_needs_a_from_that_it_reaches() -> None:
    world = World.make()
    world.first = 1
    with pytest.raises(CannotTell, match="limit the audit with --from"):
        await world.audit()
    with pytest.raises(CannotTell, match="does not reach back far enough"):
        await world.audit(from_s=START_S)
    for log in world.logs.values():
        log[1].timestamp -= 40 * DAY_MS  # Its events are of the time before, and the cells are of today.
    world.cells[b"a"] = {}
    report = await world.audit(from_s=START_S + 86_400)
    assert report.audit == "equal"
    assert report.as_json()["cells"] == 0


class TestFacts:
    def test_a_change_is_a_new_version_from_its_time_on_and_not_before_it_could_be_known(self) -> None:
        later = CATALOG | {"meters": [dict(CATALOG["meters"][0], property="data.m")]}
        rules = read_rules([fact(1, CATALOG), fact(2, later, valid_from_ms=5, timestamp=1_000), fact(2, CATALOG)])
        assert [rule.version for at in (0, 30_999, 31_000) for rule in rules.meters_at(at)] == [1, 1, 2]

    def test_the_same_meter_written_otherwise_is_the_same_version(self) -> None:
        meter = {"group_by": {}, "filter": {}, **CATALOG["meters"][0]}
        rules = read_rules([fact(1, CATALOG), fact(2, CATALOG | {"meters": [meter]})])
        assert [rule.version for rule in rules.meters_at(2**62)] == [1]

    def test_a_meter_that_comes_back_has_a_version_of_its_own(self) -> None:
        rules = read_rules([fact(1, CATALOG), fact(2, CATALOG | {"meters": []}), fact(3, CATALOG)])
        assert [rule.version for rule in rules.meters_at(2**62)] == [2]
        assert rules.group_names() == {("tokens", 1): (), ("tokens", 2): ()}

    def test_a_zone_never_changes_and_a_new_customer_has_one_from_then_on(self) -> None:
        moved = CATALOG | {"customers": [{"id": "a", "time_zone": "Europe/Berlin"}]}
        more = CATALOG | {"customers": [{"id": "b", "time_zone": "Europe/Berlin"}]}
        rules = read_rules([fact(1, CATALOG), fact(2, moved), fact(2, more, timestamp=1_000)])
        assert rules.zone_of("a", 2**62) == "UTC"
        assert [rules.zone_of("b", at) for at in (30_999, 31_000)] == ["Asia/Kathmandu", "Europe/Berlin"]

    def test_what_is_no_catalog_is_passed_over(self) -> None:
        other = Record(0, 0, b"grant/1", b"{}")
        broken = Record(0, 0, b"catalog/1", b"{")
        assert read_rules([other, broken, fact(7, CATALOG), fact(1, CATALOG)]).versions == 1
