"""The audit's own reading of events against the service's: written twice from the contract, they must agree.

Seeded: every event is a good one with some members replaced by what breaks parsers.
"""

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from billing.audit.events import CannotCount, read_usage
from billing.audit.folding import figure_of_one
from billing.audit.meters import MeterRule
from billing.audit.zones import hour_start_s
from billing.domain.meters import Filter, Meter, MeterDefinition, MeterSet
from billing.domain.periods import time_zone, zone_names
from billing.domain.problems import InvalidEvent
from billing.domain.usage import LOG_GRACE_S, check_key, decode, moment_us

HORIZON_D = 34
ARRIVAL_MS = int(datetime(2026, 11, 23, 11, tzinfo=UTC).timestamp() * 1_000)
GOOD: Mapping[str, Any] = {
    "specversion": "1.0",
    "id": "a",
    "source": "s",
    "type": "llm.tokens",
    "subject": "acme",
    "time": "2026-11-23T11:00:00Z",
    "data": {"tokens": 1, "model": "m", "region": "eu", "user": "u"},
}
ATOMS = [
    *(b"1", b"-0", b"0.5", b"1e5", b"1E401", b"1e-500", b"0e500", b"0e300", b"1e-12", b"1e-13", b"1.50", b"-7.25"),
    *(b"999999999999999", b"1000000000000000", b"-999999999999999.999999999999", b"9" * 64, b"9" * 65, b"9" * 4000),
    *(b"1." + b"0" * 60, b"1." + b"0" * 70, b"9223372036854775807", b"9223372036854775809", b"18446744073709551617"),
    *(
        b'"5"',
        b'"5.5"',
        b'"-0"',
        b'"1e5"',
        b'"+5"',
        b'" 5"',
        b'"0.0000000000001"',
        b'"999999999999999"',
        b'"1000000000000000"',
    ),
    *(b"NaN", b"-Infinity", b"01", b"1 ", b"null", b"true", b"false", b"[]", b"{}", b'{"a":1,"a":2}', b"{]"),
    *(b"[" * 60 + b"]" * 60, b"[" * 64 + b"]" * 64, b"[" * 3000 + b"]" * 3000, b'"[[[[[[[[["'),
    *(b'"\\ud800"', b'"\\u0041"', b'"\\u0000"', b'"\xff"', b'"\xc3\xa4"', b'"\x01"', b'"\\""', b'""', b'"eu"', b'"us"'),
    *(b'"' + b"x" * length + b'"' for length in (64, 65, 128, 129, 256, 257, 512, 513)),
    *(b'"' + "ä".encode() * length + b'"' for length in (33, 65, 128, 129, 257)),
    *(b'"2026-11-23t11:00:00z"', b'"2026-11-23T11:00:60+01:00"', b'"2026-02-30T11:00:00Z"', b'"0001-01-01T00:00:00Z"'),
    *(
        b'"9999-12-31T23:59:59Z"',
        b'"2026-11-23T11:00:00.1234567Z"',
        b'"2026-11-23T24:00:00Z"',
        b'"2026-11-23T11:00:00"',
    ),
    *(
        b'"2026-11-24T12:00:00Z"',
        b'"2026-11-24T11:59:59.999999Z"',
        b'"2026-10-20T10:00:00Z"',
        b'"2026-10-20T10:00:00.000001Z"',
    ),
    *(
        b'"2026-11-23T11:00:00.\xd9\xa1Z"',
        b'"\xef\xbc\x92026-11-23T11:00:00Z"',
        b'"1.0"',
        b'"llm.tokens"',
        b'"llm.other"',
    ),
]
MEMBERS = [*GOOD, "datacontenttype", "other"]
DATA = ["tokens", "model", "region", "user", "deep"]


class Record(NamedTuple):
    value: bytes | None
    key: bytes | None
    timestamp: int = ARRIVAL_MS
    partition: int = 3
    offset: int = 17


DEFINITIONS: list[dict[str, Any]] = [
    {
        "name": "tokens",
        "aggregation": "sum",
        "property": "data.tokens",
        "group_by": {"region": "data.region", "model": "data.model"},
    },
    {
        "name": "some",
        "aggregation": "count",
        "group_by": {"z": "source"},
        "filter": {"data.region": ["eu", "1.5", "true", ""]},
    },
    {"name": "last", "aggregation": "latest", "property": "data.tokens", "filter": {"data.model": ["m"]}},
    {"name": "users", "aggregation": "unique", "property": "data.user", "filter": {"data.model": ["m"]}},
    {"name": "mean", "aggregation": "average", "property": "data.deep.down", "filter": {"data.model": ["5"]}},
]
RULES = [MeterRule(one["name"], 1, one | {"event_type": "llm.tokens"}) for one in DEFINITIONS]


def service_meters() -> MeterSet:
    meters = [
        Meter(
            MeterDefinition(
                name=one["name"],
                event_type="llm.tokens",
                aggregation=one["aggregation"],
                property=one.get("property"),
                group_by=tuple(sorted(one.get("group_by", {}).items())),
                filters=tuple(Filter(path, frozenset(values)) for path, values in one.get("filter", {}).items()),
            )
        )
        for one in DEFINITIONS
    ]
    return MeterSet(meters, 0, 2**63)


def as_service_reads(record: Record, meters: MeterSet) -> object:
    try:
        event = decode(record.value)
        check_key(event, record.key)
        time_us = moment_us(event, record.timestamp, horizon_d=HORIZON_D, grace_s=LOG_GRACE_S)
        measures = meters.measure(event, time_us)
    except InvalidEvent:
        return None
    figures = []
    for measure in measures:
        aggregate = measure.meter.aggregate.name.lower()
        rank = (time_us, record.timestamp, record.partition, record.offset)
        value: Any = measure.value[1] if isinstance(measure.value, tuple) else measure.value
        digest = value if isinstance(value, bytes) else b""
        figures.append((measure.meter.name, measure.group, figure_of_one(aggregate, value, rank, digest)))
    return event.source, event.id, event.subject, time_us, figures


def as_audit_reads(record: Record) -> object:
    try:
        usage = read_usage(record, horizon_d=HORIZON_D)
        rank = (usage.time_us, record.timestamp, record.partition, record.offset)
        figures = [(rule.name, rule.group(usage), rule.figure(usage, rank)) for rule in RULES if rule.matches(usage)]
    except CannotCount:
        return None
    return usage.source, usage.id, usage.subject, usage.time_us, figures


def make(chance: random.Random) -> Record:
    data = {name: json.dumps(value).encode() for name, value in GOOD["data"].items()}
    members = {name: json.dumps(value).encode() for name, value in GOOD.items()}
    for _ in range(chance.choice((0, 1, 1, 1, 2))):
        name = chance.choice(DATA)
        data[name] = chance.choice(ATOMS) if chance.random() < 0.9 else b'{"down":%s}' % chance.choice(ATOMS)
    members["data"] = b"{" + b",".join(b'"%s":%s' % (name.encode(), text) for name, text in data.items()) + b"}"
    for _ in range(chance.choice((0, 0, 1, 2))):
        name = chance.choice(MEMBERS)
        members[name] = chance.choice(ATOMS)
        if chance.random() < 0.1:
            del members[name]
    value = b"{" + b",".join(b'"%s":%s' % (name.encode(), text) for name, text in members.items()) + b"}"
    if chance.random() < 0.02:
        value = value[: chance.randrange(len(value))]
    if chance.random() < 0.02:
        value = value.replace(b",", b',"id":"b",', 1)
    return Record(value, chance.choice([b"acme"] * 19 + [None]))


@pytest.mark.parametrize("seed", range(20))
def test_both_read_the_same(seed: int) -> None:
    chance = random.Random(seed)
    meters = service_meters()
    lives = 0
    for _ in range(1_000):
        record = make(chance)
        expected = as_service_reads(record, meters)
        assert as_audit_reads(record) == expected, record
        lives += expected is not None
    assert 200 < lives < 800


@pytest.mark.parametrize("value", [None, b"", b"null", b"[]", b" ", b"\xef\xbb\xbf{}", b"{" * 100_000, b"x" * 300_000])
def test_what_is_no_event_at_all_is_dead_for_both(value: bytes | None) -> None:
    record = Record(value, b"acme")
    assert as_audit_reads(record) is None
    assert as_service_reads(record, service_meters()) is None


def test_both_cut_the_same_hours() -> None:
    chance = random.Random(3)
    names = sorted(zone_names())
    for _ in range(5_000):
        name, instant_s = chance.choice(names), chance.randrange(0, 2**32)
        assert hour_start_s(name, instant_s // 900) == time_zone(name).hour_start_s(instant_s), (name, instant_s)
    for name in ("Australia/Lord_Howe", "Europe/Berlin", "Asia/Kathmandu", "Antarctica/Troll"):
        for quarter in range(1_790_000_000 // 900, 1_790_000_000 // 900 + 366 * 96):
            assert hour_start_s(name, quarter) == time_zone(name).hour_start_s(quarter * 900), (name, quarter)
