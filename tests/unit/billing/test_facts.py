import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import orjson
import pytest

from billing.domain.problems import InvalidCatalog
from billing.facts import AHEAD_MS, SLACK_MS, Facts, OvertakenError, apply_catalog, encode_catalog, register_first
from engine import Message
from tests.unit.billing.fakes import CATALOG, FakeClock, FakeTopic, Record, catalog

CHANGED = CATALOG.replace(b'property = "data.tokens"', b'property = "data.count"')
CHEAPER = CATALOG.replace(b'unit = "0.01"', b'unit = "0.005"')


@asynccontextmanager
async def following(topic: FakeTopic) -> AsyncIterator[Facts]:
    facts = Facts(topic, topic.clock, wait_s=0.001)
    task = asyncio.ensure_future(facts.run())
    try:
        await facts.reach_end()
        yield facts
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def topic() -> FakeTopic:
    return FakeTopic(FakeClock())


async def test_the_first_catalog_is_version_1(topic: FakeTopic) -> None:
    async with following(topic) as facts:
        assert facts.version == 0
        await register_first(facts, topic, "billing-facts", catalog())
        assert facts.version == 1
        assert facts.catalog == catalog()
        assert facts.history.meters_at(0).meters.keys() == {"tokens", "users"}
    assert topic.records[0].key == b"catalog/1"


async def test_of_two_starters_the_first_in_the_topic_counts(topic: FakeTopic) -> None:
    """Each reads the topic for itself."""
    async with following(topic) as one, following(replace(topic)) as other:
        await asyncio.gather(
            register_first(one, topic, "billing-facts", catalog(CHEAPER)),
            register_first(other, topic, "billing-facts", catalog()),
        )
        for facts in (one, other):
            assert (facts.version, facts.catalog) == (1, catalog(CHEAPER))


async def test_what_is_registered_rules(topic: FakeTopic) -> None:
    async with following(topic) as facts:
        await register_first(facts, topic, "billing-facts", catalog())
        await register_first(facts, topic, "billing-facts", catalog(CHEAPER))
        assert (len(topic.records), facts.catalog) == (1, catalog())


async def test_an_applied_meter_counts_a_minute_ahead(topic: FakeTopic) -> None:
    now_ms = topic.clock.now
    async with following(topic) as facts:
        await register_first(facts, topic, "billing-facts", catalog())
        done = await apply_catalog(facts, topic, "billing-facts", catalog(CHANGED), from_ms=None, now_ms=now_ms)
        assert done == {"version": 2, "valid_from_ms": now_ms + AHEAD_MS}
        assert facts.history.meters_at(now_ms + AHEAD_MS - 1).meters["tokens"].version == 1
        assert facts.history.meters_at(now_ms + AHEAD_MS).meters["tokens"].version == 2


async def test_prices_hold_at_once(topic: FakeTopic) -> None:
    async with following(topic) as facts:
        await register_first(facts, topic, "billing-facts", catalog())
        await apply_catalog(facts, topic, "billing-facts", catalog(CHEAPER), from_ms=None, now_ms=topic.clock.now)
        assert facts.catalog == catalog(CHEAPER)
        assert facts.history.meters_at(2**60).meters["tokens"].version == 1


async def test_the_same_again_registers_nothing(topic: FakeTopic) -> None:
    async with following(topic) as facts:
        await register_first(facts, topic, "billing-facts", catalog())
        again = await apply_catalog(facts, topic, "billing-facts", catalog(), from_ms=None, now_ms=topic.clock.now)
        assert (again, len(topic.records)) == (None, 1)


async def test_from_must_be_ahead_of_what_may_be_counted_already(topic: FakeTopic) -> None:
    now_ms = topic.clock.now
    async with following(topic) as facts:
        await register_first(facts, topic, "billing-facts", catalog())
        with pytest.raises(InvalidCatalog, match="at least 30 s ahead"):
            await apply_catalog(
                facts, topic, "billing-facts", catalog(CHANGED), from_ms=now_ms + SLACK_MS - 1, now_ms=now_ms
            )
        assert len(topic.records) == 1


async def test_a_change_that_cannot_follow_is_refused(topic: FakeTopic) -> None:
    moved = CATALOG.replace(b"Asia/Tokyo", b"Asia/Seoul")
    async with following(topic) as facts:
        await register_first(facts, topic, "billing-facts", catalog())
        with pytest.raises(InvalidCatalog, match="fixed"):
            await apply_catalog(facts, topic, "billing-facts", catalog(moved), from_ms=None, now_ms=topic.clock.now)


async def test_somebody_else_was_faster(topic: FakeTopic) -> None:
    class Overtaken(FakeTopic):
        async def send(self, messages: Sequence[Message]) -> None:
            await topic.send([encode_catalog("billing-facts", 2, 0, catalog(CHANGED))])
            await topic.send(messages)

    async with following(topic) as facts:
        await register_first(facts, topic, "billing-facts", catalog())
        slow = Overtaken(topic.clock)
        with pytest.raises(OvertakenError):
            await apply_catalog(facts, slow, "billing-facts", catalog(CHEAPER), from_ms=None, now_ms=topic.clock.now)


async def test_no_meter_counts_before_everybody_can_know_it(topic: FakeTopic) -> None:
    """Guards the bound in `take`: a record that was long on its way must not change what was counted."""
    async with following(topic) as facts:
        await register_first(facts, topic, "billing-facts", catalog())
        topic.clock.now += 3_600_000
        await topic.send([encode_catalog("billing-facts", 2, topic.clock.now - 3_000_000, catalog(CHANGED))])
        while facts.version < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert facts.history.versions[1].from_ms == topic.clock.now + SLACK_MS


async def test_the_reader_is_closed_when_following_is_cancelled(topic: FakeTopic) -> None:
    """Also where closing it has to wait for a server."""
    closed = []

    class Slow(FakeTopic):
        async def stop(self) -> None:
            await asyncio.sleep(0.001)
            closed.append(self)

    slow = Slow(topic.clock)
    async with anyio.create_task_group() as tasks:
        facts = Facts(slow, topic.clock, wait_s=0.001)
        tasks.start_soon(facts.run)
        await facts.reach_end()
        tasks.cancel_scope.cancel()
    assert closed == [slow]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"catalog/1", b"{"),
        (b"catalog/1", b"{}"),
        (b"catalog/1", b'{"version":1,"valid_from_ms":0,"catalog":{"meters":[{}]}}'),
        (b"catalog/7", b'{"version":7,"valid_from_ms":0,"catalog":{}}'),
        (b"grant/1", b'{"version":1,"valid_from_ms":0,"catalog":{}}'),
        (None, None),
    ],
)
def test_records_that_are_passed_over(key: bytes | None, value: bytes | None) -> None:
    facts = Facts(FakeTopic(FakeClock()), FakeClock())
    facts.take(Record(value, key))
    assert facts.version == 0
    facts.take(Record(encode_catalog("t", 1, 0, catalog()).value, b"catalog/1"))
    assert facts.version == 1


async def test_events_wait_when_the_end_was_not_seen_lately(topic: FakeTopic) -> None:
    async with following(topic) as facts:
        assert facts.handles_until_ms() == 0, "nothing is handled before a catalog is known"
        await register_first(facts, topic, "billing-facts", catalog())
        await asyncio.sleep(0.02)
        assert facts.handles_until_ms() == topic.clock.now + SLACK_MS
        topic.away = True
        await asyncio.sleep(0.02)
        known_ms = facts.handles_until_ms()
        topic.clock.now += 3_600_000
        await asyncio.sleep(0.02)
        assert facts.handles_until_ms() == known_ms
        assert not facts.is_current(topic.clock.now)


def test_a_catalog_comes_back_equal_from_its_record() -> None:
    fact = orjson.loads(encode_catalog("t", 1, 0, catalog()).value or b"")
    assert catalog() == parsed(fact["catalog"])


def parsed(document: object) -> object:
    from billing.catalog import parse_catalog

    return parse_catalog(orjson.dumps(document), json=True)
