from decimal import Decimal
from fractions import Fraction

import pytest

from billing.domain.periods import Window
from billing.store import ROWS_MAX, Store, TooManyRows, access_of
from engine import Reading
from tests.unit.billing.fakes import CATALOG, HOUR_S, NOON, NOV, FakeFacts, FakeState, history

DEC = NOV + 30 * 86_400
MONTH = Window(NOV, DEC)
DAY_S = 86_400


def of(tokens: int) -> Reading:
    return Reading(1, tokens * 10**12)


@pytest.fixture
def facts() -> FakeFacts:
    return FakeFacts()


@pytest.fixture
def state(facts: FakeFacts) -> FakeState:
    """Three hours of acme: two groups in the first, one in the others."""
    found = FakeState()
    for hour, model, region, tokens in (
        (0, "m-large", "eu", 100),
        (0, "m-large", "us", 20),
        (1, "m-small", "eu", 3),
        (24, "m-large", "eu", 4_000),
    ):
        found.add(facts.history, "acme", "tokens", (model, region), NOV + hour * HOUR_S, of(tokens))
    for hour, model, members in ((0, "m-large", "ab"), (1, "m-large", "bc"), (2, "m-small", "c")):
        digests = frozenset(member.encode() * 16 for member in members)
        found.add(facts.history, "acme", "users", (model,), NOV + hour * HOUR_S, Reading(len(digests), members=digests))
    return found


@pytest.fixture
def store(facts: FakeFacts, state: FakeState) -> Store:
    return Store(state, facts)


async def rows(
    store: Store, meter: str, window: str, group_by: list[str], span: Window = MONTH
) -> list[tuple[object, ...]]:
    customer = await store.find_customer("acme")
    assert customer is not None
    found = await store.usage(customer, meter, span, window, group_by)  # type: ignore[arg-type]
    return [((row.window.start_s - NOV) // HOUR_S, *row.group.values(), row.value) for row in found]


async def test_usage_by_window(store: Store) -> None:
    assert await rows(store, "tokens", "hour", []) == [(0, 120), (1, 3), (24, 4_000)]
    assert await rows(store, "tokens", "day", []) == [(0, 123), (24, 4_000)]
    assert await rows(store, "tokens", "month", []) == [(0, 4_123)]
    assert await rows(store, "tokens", "total", []) == [(0, 4_123)]


async def test_usage_by_group(store: Store) -> None:
    assert await rows(store, "tokens", "total", ["model"]) == [(0, "m-large", 4_120), (0, "m-small", 3)]
    assert await rows(store, "tokens", "total", ["region"]) == [(0, "eu", 4_103), (0, "us", 20)]
    assert await rows(store, "tokens", "day", ["region", "model"]) == [
        (0, "eu", "m-large", 100), (0, "eu", "m-small", 3), (0, "us", "m-large", 20), (24, "eu", "m-large", 4_000),
    ]  # fmt: skip


async def test_a_span_cuts_usage(store: Store) -> None:
    assert await rows(store, "tokens", "hour", [], Window(NOV + HOUR_S, NOV + 24 * HOUR_S)) == [(1, 3)]


async def test_sets_are_united_and_never_added(store: Store) -> None:
    assert await rows(store, "users", "hour", []) == [(0, 2), (1, 2), (2, 1)]
    assert await rows(store, "users", "total", []) == [(0, 3)]
    assert await rows(store, "users", "total", ["model"]) == [(0, "m-large", 3), (0, "m-small", 1)]


async def test_versions_of_a_meter_are_one_meter(facts: FakeFacts, state: FakeState) -> None:
    changed = CATALOG.replace(b', region = "data.region"', b"")
    facts.history = history(CATALOG, changed)
    state.add(facts.history, "acme", "tokens", ("m-large",), NOV + 2 * HOUR_S, of(7))
    store = Store(state, facts)
    assert await rows(store, "tokens", "total", []) == [(0, 4_130)]
    assert await rows(store, "tokens", "total", ["region"]) == [(0, "", 7), (0, "eu", 4_103), (0, "us", 20)]
    customer = await store.find_customer("acme")
    assert customer is not None
    statement = await store.statement(customer, MONTH)
    assert statement.spend is not None
    assert statement.spend.lines[0].quantity == 4_127


async def test_too_many_rows(facts: FakeFacts) -> None:
    state = FakeState()
    for number in range(ROWS_MAX + 1):
        state.add(facts.history, "acme", "tokens", (str(number), ""), NOV, of(1))
    with pytest.raises(TooManyRows):
        await rows(Store(state, facts), "tokens", "total", ["model"])


@pytest.mark.parametrize("kept", [False, True])
async def test_spend(store: Store, state: FakeState, kept: bool) -> None:
    """The same, whether a total is kept or cells are rolled up; sets are joined from cells in any case."""
    if kept:
        state.keep_total("acme", NOV, DEC)
    customer = await store.find_customer("acme")
    assert customer is not None
    statement = await store.statement(customer, MONTH)
    assert statement.spend is not None
    assert [(line.rate, line.quantity, line.amount) for line in statement.spend.lines] == [
        ("large", Fraction(4_120), Decimal("41.20")), ("seats", Fraction(3), Decimal("15.00")),
    ]  # fmt: skip
    assert statement.spend.total == Decimal("56.20")
    assert [(entry.meter, dict(entry.group), entry.quantity) for entry in statement.unpriced] == [
        ("tokens", {"model": "m-small", "region": "eu"}, Fraction(3))
    ]


async def test_a_total_answers_where_it_can(store: Store, state: FakeState, facts: FakeFacts) -> None:
    state.keep_total("hanako", NOV - 9 * HOUR_S, DEC - 9 * HOUR_S)
    state.add(facts.history, "hanako", "tokens", ("m-large", ""), NOV, of(150))
    customer = await store.find_customer("hanako")
    assert customer is not None
    statement = await store.statement(customer, Window(NOV - 9 * HOUR_S, DEC - 9 * HOUR_S))
    assert statement.spend is not None
    assert statement.spend.total == Decimal(2)  # 1.50 JPY, half up


async def test_spend_by_window_ends_at_the_spend(store: Store) -> None:
    customer = await store.find_customer("acme")
    assert customer is not None
    steps = await store.spend_by_window(customer, MONTH, "day")
    assert [((window.start_s - NOV) // DAY_S, spend.total) for window, spend in steps] == [
        (0, Decimal("16.20")), (1, Decimal("56.20")),
    ]  # fmt: skip


async def test_what_a_plan_costs_without_usage_is_there_at_the_end_of_the_first_window(state: FakeState) -> None:
    """A day of hanako's begins at 15:00 UTC, and nobody of hers has used anything."""
    facts = FakeFacts(history(CATALOG.replace(b'unit = "0.01" }', b'unit = "0.01", minimum = "9" }')))
    store = Store(state, facts)
    customer = await store.find_customer("hanako")
    assert customer is not None
    month = customer.time_zone.month(NOON)
    (step,) = await store.spend_by_window(customer, month, "day")
    assert step[0] == Window(month.start_s, month.start_s + DAY_S)
    statement = await store.statement(customer, month)
    assert statement.spend is not None
    assert step[1].total == statement.spend.total == 9


async def test_access_closes_at_the_limit(store: Store, state: FakeState, facts: FakeFacts) -> None:
    customer = await store.find_customer("acme")
    assert customer is not None
    before = access_of(await store.statement(customer, MONTH))
    assert (before.allowed, before.remaining) == (True, Fraction("43.80"))
    state.add(facts.history, "acme", "tokens", ("m-large", ""), NOV + 50 * HOUR_S, of(4_380))
    after = access_of(await store.statement(customer, MONTH))
    assert (after.allowed, after.remaining) == (False, Fraction(0))


async def test_who_is_known(store: Store, state: FakeState, facts: FakeFacts) -> None:
    assert await store.find_customer("nobody") is None
    state.add(facts.history, "nobody", "tokens", ("m", ""), NOON, of(1))
    found = await store.find_customer("nobody")
    assert found is not None
    assert not found.named


async def test_a_customer_without_prices_is_metered(facts: FakeFacts, state: FakeState) -> None:
    facts.history = history(CATALOG.replace(b'plan = "basic"\ncurrency = "USD"\n', b"", 1).split(b"[[customers]]")[0])
    store = Store(state, facts)
    customer = await store.find_customer("acme")
    assert customer is not None
    statement = await store.statement(customer, MONTH)
    assert statement.spend is None
    assert {entry.meter for entry in statement.unpriced} == {"tokens", "users"}
    assert access_of(statement).allowed
