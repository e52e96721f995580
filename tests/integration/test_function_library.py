"""The function library on a real server: through the adapter, with what the engine reads."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence

import pytest
from redis.asyncio import Redis

from engine.adapters.redis import RedisServer
from engine.aggregate import Aggregate, Cell, Period, Series, Value
from engine.core.record import Record, Stamp
from engine.embedded.redis import EmbeddedRedis
from engine.errors import ConfigError, StateDamaged, Unanswered
from engine.event import Counts
from engine.state import keys
from engine.state.identity import bucket_of, digest_of
from engine.state.packing import Answer, Applied, Damaged, Refused, SliceWrite, Verdicts, pack_apply, unpack_apply
from engine.state.reader import StateReader
from engine.state.summing import sum_up
from tests.unit.state.events import FakeEvent

GROUP, BUCKETS = "test", 4
DAY = 20_000
START_S = DAY * 86_400
MONTH = Period.of(START_S, START_S + 30 * 86_400, keep=True, watched=True)


class Bench:
    """Writes events of single slices, and knows their records."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.reader = StateReader(server, group=GROUP, buckets=BUCKETS)
        self.records: dict[int, bytes] = {}
        self.numbers = itertools.count(1)

    def write(
        self, key: bytes, adds: Sequence[tuple[Cell, Value]], period: Period | None = MONTH, *, identity: bytes = b""
    ) -> SliceWrite:
        number = next(self.numbers)
        bucket = bucket_of(key, BUCKETS)
        counts = Counts(identity or digest_of(b"%d" % number), tuple(adds), period)
        return SliceWrite(
            bucket=bucket, partition=0, before=self.records.get(bucket, b""),
            after=Record(position=number, day=DAY, buckets=BUCKETS, horizon_d=34, stamp=Stamp(1, number)).encode(),
            judged=[(counts.identity, DAY, False)],
            updates=sum_up([(FakeEvent(key, START_S * 1000 + number), counts)]),
            counted=1, unmetered=0, duplicate=0, dead=0, ask=[], reacted=b"", effects=[], partitions=1,
        )  # fmt: skip

    async def apply(self, *writes: SliceWrite) -> list[Answer]:
        payload = pack_apply(GROUP, BUCKETS, 34, True, writes)
        reply = await self.server.call("apply", payload, key=keys.tag(GROUP, 0), writes=True)
        answers = unpack_apply(reply)
        for write, answer in zip(writes, answers, strict=True):
            if isinstance(answer, Applied):
                self.records[write.bucket] = write.after
        return answers

    async def count(self, key: bytes, *adds: tuple[Cell, Value], period: Period | None = MONTH) -> Applied:
        (answer,) = await self.apply(self.write(key, adds, period))
        assert isinstance(answer, Applied)
        return answer


def cell(hour: int, aggregate: Aggregate = Aggregate.SUM, name: bytes = b"n") -> Cell:
    return Cell.of(aggregate, START_S + hour * 3600, name)


SUM = Series(Aggregate.SUM, b"n")


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    async with RedisServer(redis_url) as server:
        yield Bench(server)


@pytest.fixture
async def raw(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def test_a_missing_library_is_loaded_and_the_same_bytes_sent_again(bench: Bench, raw: Redis) -> None:
    await bench.server.check_server("aof")
    await bench.count(b"acme", (cell(0), 5))
    await raw.function_flush()
    await bench.count(b"acme", (cell(0), 6))
    total = await bench.reader.total(b"acme", MONTH.start_s, MONTH.end_s)
    assert total is not None
    assert total.values[SUM].number == 11


async def test_a_total_that_comes_late_is_summed_from_its_cells(bench: Bench) -> None:
    """Also those of this write that name another period, and not those outside."""
    users = cell(1, Aggregate.UNIQUE)
    for hour, number in ((0, 1), (25, 10), (29 * 24, 100), (30 * 24, 1_000)):
        await bench.count(b"acme", (cell(hour), number), (users, digest_of(b"%d" % hour)), period=None)
    assert await bench.reader.total(b"acme", MONTH.start_s, MONTH.end_s) is None
    applied = await bench.count(b"acme", (cell(2), 10_000), (cell(1, Aggregate.UNIQUE), digest_of(b"0")))
    assert applied.owed is not None
    (owed,) = applied.owed.totals
    assert owed.values[SUM] == (5 - 1, 10_111, (0, 0, 0, 0), frozenset())
    account = await bench.reader.account(b"acme", MONTH.start_s, MONTH.end_s)
    assert account.total is not None
    unique = account.total.values[users.series]
    assert account.total.values == owed.values | {users.series: unique}
    assert sum(one.number for of, one in account.cells.items() if of.series == SUM) == 10_111
    assert len(account.cells[users].members) == unique.count == 4


async def test_a_damaged_slice_does_not_spoil_the_others_of_its_call(bench: Bench, raw: Redis) -> None:
    keys_of = {bucket_of(b"k%d" % number, BUCKETS): b"k%d" % number for number in range(50)}
    first, second = keys_of[0], keys_of[1]
    await bench.apply(bench.write(first, [(cell(0), 1)]), bench.write(second, [(cell(0), 1)]))
    page = keys.page_key(keys.tag(GROUP, 0), DAY, first)
    await raw.hset(page, cell(0), b"not ours")
    before = await raw.hgetall(keys.slice_key(keys.tag(GROUP, 0), 0))
    answers = await bench.apply(bench.write(first, [(cell(0), 1)]), bench.write(second, [(cell(0), 1)]))
    assert isinstance(answers[0], Damaged)
    assert isinstance(answers[1], Applied)
    assert await raw.hgetall(keys.slice_key(keys.tag(GROUP, 0), 0)) == before
    with pytest.raises(StateDamaged):
        await bench.reader.cells(first, START_S, START_S + 86_400)
    assert (await bench.reader.cells(second, START_S, START_S + 86_400))[cell(0)].number == 2


async def test_wrong_verdicts_and_stale_records_write_nothing(bench: Bench, raw: Redis) -> None:
    """Guards `take_back` and the comparison in `apply_slice`."""
    await bench.apply(bench.write(b"acme", [(cell(0), 1)], identity=b"i" * 16))
    before = {key: await raw.dump(key) for key in await raw.keys()}
    repeated = bench.write(b"acme", [(cell(0), 1)], identity=b"i" * 16)
    repeated.judged.insert(0, (b"j" * 16, DAY, False))
    assert await bench.apply(repeated) == [Verdicts([False, True])]
    unknown = bench.write(b"acme", [(cell(0), 1)], identity=b"n" * 16)
    unknown.judged[0] = (b"n" * 16, DAY, True)
    assert await bench.apply(unknown) == [Verdicts([False])]
    stale = bench.write(b"acme", [(cell(0), 1)])
    stale.before = b"another"
    assert await bench.apply(stale) == [Refused(bench.records[stale.bucket])]
    assert {key: await raw.dump(key) for key in await raw.keys()} == before


async def test_many_cells_are_cut_into_commands_that_redis_takes(bench: Bench) -> None:
    adds = [(cell(0, name=b"%d" % number), number) for number in range(9_500)]
    await bench.count(b"acme", *adds, period=None)
    applied = await bench.count(b"acme", *adds)
    assert applied.owed is not None
    assert len(applied.owed.totals[0].values) == len(adds)
    cells = await bench.reader.cells(b"acme", START_S, START_S + 3600)
    assert all(cells[of].number == 2 * number for of, number in adds)


async def test_everything_of_a_bucket_is_read(bench: Bench) -> None:
    names = [b"k%03d" % number for number in range(120)] + [b"", b"\xff{}"]
    for number, name in enumerate(names):
        await bench.count(name, (cell(number), number), (cell(0, Aggregate.UNIQUE), digest_of(name)))
    seen: dict[bytes, int] = {}
    for bucket in range(BUCKETS):
        of_bucket = sorted(name for name in names if bucket_of(name, BUCKETS) == bucket)
        assert set(await bench.reader.keys(bucket)) == set(of_bucket)
        paged: list[bytes] = []
        while True:
            after = paged[-1] if paged else b""
            totals = await bench.reader.period_totals(bucket, MONTH.start_s, MONTH.end_s, after=after, limit=7)
            paged += [total.key for total in totals]
            if len(totals) < 7:
                break
        assert paged == of_bucket
        async for part in bench.reader.snapshot(bucket, 2, keys_per_call=9):
            assert [progress.partition for progress in part.progress] == [0, 1]
            assert len(part.states) <= 9
            for name, state in part.states.items():
                series = state.totals[MONTH.start_s, MONTH.end_s]
                seen[name] = series[SUM].number
                assert state.cells[cell(names.index(name))].number == seen[name]
                assert series[Series(Aggregate.UNIQUE, b"n")].members == {digest_of(name)}
    assert seen == {name: number for number, name in enumerate(names)}
    together = await bench.reader.totals([*names, b"nobody"], MONTH.start_s, MONTH.end_s)
    assert {total.key: total.values[SUM].number for total in together} == seen
    assert await bench.reader.totals(names, MONTH.start_s, MONTH.end_s + 900) == []
    progress = await bench.reader.progress(2)
    assert len(progress) == 2 * BUCKETS
    assert sum(one.counters.counted for one in progress) == len(names)
    assert [one.owing for one in progress if one.partition == 1] == [False] * BUCKETS
    assert await bench.reader.days(b"k001") == (DAY,)
    assert await bench.reader.last_arrival_ms(b"k001", DAY) == START_S * 1000 + 2


async def test_settings_that_would_drop_state_are_refused(bench: Bench, raw: Redis) -> None:
    await raw.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigError, match="maxmemory-policy"):
            await bench.server.check_server()
    finally:
        await raw.config_set("maxmemory-policy", "noeviction")
    await bench.server.check_server()


async def test_a_server_that_cannot_write_now_is_in_doubt(bench: Bench, raw: Redis) -> None:
    await bench.server.check_server()
    await raw.config_set("maxmemory", "1")
    try:
        with pytest.raises(Unanswered, match="OOM"):
            await bench.count(b"acme", (cell(0), 1))
    finally:
        await raw.config_set("maxmemory", "0")
    await raw.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(Unanswered, match=r"READONLY|MASTERDOWN"):
            await bench.count(b"acme", (cell(0), 1))
    finally:
        await raw.replicaof("NO", "ONE")
    await bench.count(b"acme", (cell(0), 1))


async def test_a_malformed_payload_is_damage(bench: Bench) -> None:
    with pytest.raises(StateDamaged):
        await bench.server.call("apply", b"\x00", key=b"k", writes=True)


async def test_durable_boards_and_many_calls_at_once(bench: Bench) -> None:
    await bench.server.check_server("aof")
    await bench.server.make_durable("memory")
    await bench.server.make_durable("aof")
    await bench.server.post("board", "a", b"1")
    await bench.server.post("board", "b", b"2")
    await bench.server.post("board", "a", None)
    assert await bench.server.posted("board") == {"b": b"2"}
    found = await asyncio.gather(*(bench.reader.days(b"%d" % number) for number in range(60)))
    assert found == [()] * 60


async def test_a_server_that_dies_is_in_doubt_and_comes_back() -> None:
    with EmbeddedRedis() as server:
        async with RedisServer(server.url, timeout_s=1.0) as state:
            bench = Bench(state)
            await bench.count(b"acme", (cell(0), 1))
            await state.make_durable("aof")
            with pytest.raises(Unanswered):
                await state.make_durable("replica")
            server.kill()
            with pytest.raises(Unanswered):
                await bench.count(b"acme", (cell(0), 1))
            server.restart()
            await bench.count(b"acme", (cell(0), 1))
            assert (await bench.reader.cells(b"acme", START_S, START_S + 900))[cell(0)].number == 2


@pytest.mark.parametrize("url", ["redis+sentinel://127.0.0.1:1", "http://127.0.0.1"])
def test_urls_that_cannot_work(url: str) -> None:
    with pytest.raises(ConfigError):
        RedisServer(url)
