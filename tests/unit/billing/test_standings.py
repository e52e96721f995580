import asyncio
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest

from billing.api.services import Waiting
from billing.domain.periods import Window
from billing.facts import Facts, encode_catalog
from billing.rows import Row, by_share, by_spend, matches, quick_by_share
from billing.standings import PAUSE_LEAST_S, Standings
from billing.store import Store
from engine import Reading, Unanswered
from tests.unit.billing.fakes import (
    CATALOG,
    HOUR_S,
    NOON,
    NOV,
    FakeClock,
    FakeState,
    FakeTopic,
    Record,
    catalog,
    history,
)

DEC = NOV + 30 * 86_400
JAPAN = 9 * HOUR_S


def of(tokens: int) -> Reading:
    return Reading(1, tokens * 10**12)


@pytest.fixture
def state() -> FakeState:
    """acme near its limit by a kept total, hanako by a total, rita (whom nobody names) by her cells alone."""
    found = FakeState()
    for customer, tokens, kept in (
        ("acme", 9_000, (NOV, DEC)),
        ("hanako", 700, (NOV - JAPAN, DEC - JAPAN)),
        ("rita", 12_345, None),
    ):
        found.add(history(), customer, "tokens", ("m-large", "eu"), NOON, of(tokens))
        if kept:
            found.keep_total(customer, *kept)
    return found


@pytest.fixture
def facts() -> Facts:
    found = Facts(FakeTopic(FakeClock()), FakeClock())
    found.take(Record(encode_catalog("t", 1, 0, catalog()).value, b"catalog/1"))
    return found


@pytest.fixture
async def standings(state: FakeState, facts: Facts) -> AsyncIterator[Standings]:
    found = Standings(Store(state, facts), state, facts, buckets=2, clock=FakeClock())
    task = asyncio.ensure_future(found.run(Waiting().patience("redis")))
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_rows_by_share_of_the_limit_then_by_currency_and_spend(standings: Standings) -> None:
    snapshot = await standings.fresh()
    shown = [
        (row.customer.id, row.as_json()["spend"], row.as_json()["limit_share"], row.state) for row in snapshot.rows
    ]
    assert shown == [
        ("acme", "90.00", "0.9", "near"), ("hanako", "7", None, "none"), ("rita", "123.45", None, "none"),
    ]  # fmt: skip


async def test_amounts_are_never_added_up_across_currencies(standings: Standings) -> None:
    assert (await standings.fresh()).currencies() == [
        {"currency": "JPY", "spend": "7", "customers": 1, "at_limit": 0, "near_limit": 0},
        {"currency": "USD", "spend": "213.45", "customers": 2, "at_limit": 0, "near_limit": 1},
    ]


async def test_filters(standings: Standings) -> None:
    rows = (await standings.fresh()).rows
    assert [row.customer.id for row in rows if matches(row, state="near", currency=None, search=None)] == ["acme"]
    assert [row.customer.id for row in rows if matches(row, state=None, currency="JPY", search=None)] == ["hanako"]
    assert [row.customer.id for row in rows if matches(row, state=None, currency=None, search="IT")] == ["rita"]
    assert [row.customer.id for row in sorted(rows, key=by_spend)] == ["hanako", "rita", "acme"]


async def test_a_period_is_one_question(standings: Standings, state: FakeState) -> None:
    """Guards `_read_totals`: one call a bucket and period takes so long that the page lags seconds behind."""
    await standings.fresh()
    assert sorted(map(sorted, state.asked)) == [[b"acme", b"rita"], [b"hanako"]]


async def test_a_total_that_moved_is_seen(standings: Standings, state: FakeState) -> None:
    before = await standings.fresh()
    state.add(history(), "acme", "tokens", ("m-large", "us"), NOON, of(1_000))
    standings.watch(True)
    async with asyncio.timeout(5):
        while standings.snapshot is before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    (row,) = [row for row in standings.snapshot.rows if row.customer.id == "acme"]
    assert (row.as_json()["spend"], row.allowed, row.state) == ("100.00", False, "at")


async def test_somebody_new_is_seen_at_once(standings: Standings, state: FakeState) -> None:
    """The first event of a customer is no later than any other, as long as asking for all names is cheap."""
    standings.watch(True)
    await standings.fresh()
    state.add(history(), "newcomer", "tokens", ("m-large", "eu"), NOON, of(100))
    before_s = asyncio.get_running_loop().time()
    while "newcomer" not in {row.customer.id for row in standings.snapshot.rows}:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert asyncio.get_running_loop().time() - before_s < 1.5


async def test_a_price_that_changed_is_seen(standings: Standings, facts: Facts) -> None:
    before = await standings.fresh()
    cheaper = catalog(CATALOG.replace(b'unit = "0.01"', b'unit = "0.001"'))
    facts.take(Record(encode_catalog("t", 2, 0, cheaper).value, b"catalog/2"))
    standings.watch(True)
    async with asyncio.timeout(5):
        while standings.snapshot is before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert [row.as_json()["spend"] for row in standings.snapshot.rows if row.customer.id == "acme"] == ["9.00"]


async def test_redis_is_tried_again_until_it_answers_though_nobody_looks(state: FakeState, facts: Facts) -> None:
    waiting = Waiting()
    found = Standings(Store(state, facts), state, facts, buckets=2, clock=FakeClock())
    state.away = True
    task = asyncio.ensure_future(found.run(waiting.patience("redis")))
    async with asyncio.timeout(5):
        while not waiting.reasons():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        state.away = False
        while waiting.reasons():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class HangingState(FakeState):
    """Answers nothing for a while, and then, or that it cannot."""

    hangs_s = 0.0
    fails = True

    async def keys(self, bucket: int) -> Mapping[bytes, tuple[int, ...]]:
        if self.hangs_s:
            await asyncio.sleep(self.hangs_s)
            if self.fails:
                raise Unanswered("hangs")
        return await super().keys(bucket)


async def test_a_redis_that_hung_is_asked_again_at_once(facts: Facts) -> None:
    """A failure says nothing of how long a refresh takes: a pause of several times as long would leave old figures."""
    state, waiting = HangingState(), Waiting()
    state.hangs_s = hangs_s = 0.6
    found = Standings(Store(state, facts), state, facts, buckets=2, clock=FakeClock())
    found.watch(True)
    task = asyncio.ensure_future(found.run(waiting.patience("redis")))
    async with asyncio.timeout(10):
        while not waiting.reasons():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        state.hangs_s = 0.0
        before_s = asyncio.get_running_loop().time()
        while waiting.reasons():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert asyncio.get_running_loop().time() - before_s < 2 * hangs_s
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_refresh_that_waited_long_is_not_followed_by_a_pause_of_many_times_that(facts: Facts) -> None:
    state = HangingState()
    state.hangs_s, state.fails = 0.6, False
    found = Standings(Store(state, facts), state, facts, buckets=2, clock=FakeClock())
    found.watch(True)
    task = asyncio.ensure_future(found.run(Waiting().patience("redis")))
    async with asyncio.timeout(10):
        while not found.snapshot.as_of_ms:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        first, state.hangs_s = found.snapshot, 0.0
        before_s = asyncio.get_running_loop().time()
        while found.snapshot is first:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert asyncio.get_running_loop().time() - before_s < 1.5
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_redis_away_keeps_the_last_rows_with_their_time(standings: Standings, state: FakeState) -> None:
    before = await standings.fresh()
    state.away = True
    standings.watch(True)
    await asyncio.sleep(0.4)
    assert await standings.fresh(timeout_s=0.01) is before


async def test_who_is_looked_at_is_newer_than_the_others(standings: Standings, state: FakeState) -> None:
    before = await standings.fresh()
    acme, hanako, _ = before.rows
    state.add(history(), "acme", "tokens", ("m-large", "us"), NOON, of(500))
    await standings.look_again(["acme"])
    newest = standings.newest([acme])
    assert newest is not None
    assert [row.as_json()["spend"] for row in newest[1]] == ["95.00"]
    assert standings.newest([acme, hanako]) is None, "they have no moment in common"
    assert standings.snapshot is before


async def test_what_is_looked_at_under_another_catalog_waits_for_the_next_refresh(
    standings: Standings, state: FakeState, facts: Facts
) -> None:
    acme = (await standings.fresh()).rows[0]
    state.add(history(), "acme", "tokens", ("m-large", "us"), NOON, of(500))
    cheaper = catalog(CATALOG.replace(b'unit = "0.01"', b'unit = "0.001"'))
    facts.take(Record(encode_catalog("t", 2, 0, cheaper).value, b"catalog/2"))
    await standings.look_again(["acme"])
    newest = standings.newest([acme])
    assert newest is not None
    assert newest[1] == [acme]


async def test_nobody_waits_for_a_refresh_in_the_pause_after_one(
    standings: Standings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await standings.fresh()
    await asyncio.sleep(0)
    monkeypatch.setattr(standings._clock, "now_ms", lambda: before.as_of_ms + 5_000)
    async with asyncio.timeout(0.1):
        assert await standings.fresh(timeout_s=5) is before
    await asyncio.sleep(PAUSE_LEAST_S * 2)
    assert await standings.fresh(timeout_s=5) is not before, "nobody looked any more"


def test_places_in_whole_numbers_are_those_by_share() -> None:
    """Guards SHARE_UNIT: shares of many digits that hardly differ, and equal ones."""
    with localcontext(prec=90):
        limits = [Decimal(10**63) + Decimal("0.000000000001") * n for n in range(3)] + [Decimal(3), Decimal(7)]
        rows = [
            Row(catalog().customer(name), Window(0, 1), spend, Fraction(spend) / Fraction(limit), True)
            for name in ("acme", "hanako", "rita")
            for limit in limits
            for spend in (Decimal(10**62), Decimal(10**62) + Decimal("0.000000000001"), Decimal(0), Decimal(1))
        ]
    rows += [
        Row(catalog().customer("acme"), Window(0, 1), spend, None, True) for spend in (None, Decimal(2), Decimal(5))
    ]
    assert sorted(rows, key=quick_by_share) == sorted(rows, key=by_share)
