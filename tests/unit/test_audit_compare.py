"""Every kind of fault in Redis is a difference, named so that somebody can find it."""

import pytest

from billing.audit.compare import DIFFERENCES_MAX, Comparer, Comparison, Stored, StoredKey, roll_up
from billing.audit.folding import SCALE, Address, Figure, Series
from billing.audit.recount import BucketCount

HOUR_S = 3_600
MONTH = (0, 31 * 86_400)
TOKENS = Series("sum", "tokens", 1, ("eu", "m-large"))
USERS = Series("unique", "users", 2, ())
CELLS: dict[Address, Figure] = {
    Address(HOUR_S, TOKENS): (2, 9 * SCALE),
    Address(2 * HOUR_S, TOKENS): (1, SCALE // 2),
    Address(2 * HOUR_S, USERS): frozenset((b"a", b"b")),
}
TOTALS: dict[tuple[int, int], dict[Series, Figure]] = {
    MONTH: {TOKENS: (3, 9 * SCALE + SCALE // 2), USERS: frozenset((b"a", b"b"))}
}
COUNTERS = {"counted": 3, "unmetered": 0, "duplicate": 1, "dead": 0}


def recounted() -> BucketCount:
    result = BucketCount()
    result.cells[b"acme"].update(CELLS)
    result.counters[0].update(COUNTERS)
    return result


def compare(
    cells: dict[Address, Figure] = CELLS,
    totals: dict[tuple[int, int], dict[Series, Figure]] = TOTALS,
    counters: dict[str, int] = COUNTERS,
    *,
    log: BucketCount | None = None,
    from_s: int = 0,
    with_counters: bool = True,
) -> Comparison:
    names = {("tokens", 1): ("region", "model"), ("users", 2): ()}
    comparer = Comparer(from_s=from_s, with_counters=with_counters, group_names=names, result=Comparison())
    comparer.compare(7, Stored({b"acme": StoredKey(cells, totals)}, {0: counters}), log or recounted())
    return comparer.result


def test_equal() -> None:
    result = compare()
    assert result.different == 0
    assert (result.cells, result.totals) == (3, 2)
    assert result.counters == COUNTERS


def test_a_changed_cell() -> None:
    result = compare(CELLS | {Address(HOUR_S, TOKENS): (2, 10 * SCALE)})
    assert [one.as_json() for one in result.differences] == [
        {
            "customer": "acme",
            "meter": "tokens",
            "start": "1970-01-01T01:00:00Z",
            "group": {"region": "eu", "model": "m-large"},
            "redis": "10 in 2 events",
            "log": "9 in 2 events",
        }
    ]


@pytest.mark.parametrize(
    ("cells", "redis", "log"),
    [
        (CELLS | {Address(5 * HOUR_S, USERS): frozenset((b"c",))}, "1", None),
        ({address: CELLS[address] for address in list(CELLS)[1:]}, None, "9 in 2 events"),
    ],
)
def test_a_cell_too_much_or_too_little(cells: dict[Address, Figure], redis: str | None, log: str | None) -> None:
    (difference,) = compare(cells).differences
    assert (difference.redis, difference.log) == (redis, log)


def test_another_member_is_seen_though_the_number_is_the_same() -> None:
    (difference,) = compare(CELLS | {Address(2 * HOUR_S, USERS): frozenset((b"a", b"c"))}).differences
    assert difference.redis != difference.log


def test_a_total_that_is_not_the_sum_of_its_cells() -> None:
    (difference,) = compare(totals={MONTH: TOTALS[MONTH] | {TOKENS: (3, SCALE)}}).differences
    assert (difference.redis, difference.log) == ("1 in 3 events", "9.5 in 3 events")
    assert (difference.start, difference.end) == ("1970-01-01T00:00:00Z", "1970-02-01T00:00:00Z")


def test_a_total_without_one_of_its_series() -> None:
    (difference,) = compare(totals={MONTH: {USERS: TOTALS[MONTH][USERS]}}).differences
    assert (difference.meter, difference.redis) == ("tokens", None)


def test_a_customer_that_only_the_log_knows() -> None:
    log = recounted()
    log.cells[b"other"][Address(HOUR_S, TOKENS)] = (1, SCALE)
    (difference,) = compare(log=log).differences
    assert (difference.customer, difference.redis, difference.log) == ("other", None, "1 in 1 events")


def test_counters_by_slice_and_in_sum_where_copies_moved() -> None:
    (difference,) = compare(counters=COUNTERS | {"duplicate": 2}).differences
    assert difference.group == {"bucket": 7, "partition": 0, "counter": "duplicate"}
    log = recounted()
    log.moved = True
    assert compare(log=log).different == 0
    assert compare(counters=COUNTERS | {"duplicate": 2}, log=log).different == 1
    assert compare(counters=COUNTERS | {"duplicate": 2}, with_counters=False).different == 0


def test_from_limits_cells_and_totals() -> None:
    result = compare({}, {}, from_s=2 * HOUR_S)
    assert (result.cells, result.different) == (2, 2)


def test_an_ambiguous_customer_is_not_compared_but_named() -> None:
    log = recounted()
    log.ambiguous[b"acme"] = "copies differ"
    result = compare({}, {}, log=log)
    assert result.different == 0
    assert result.ambiguous == "customer 'acme': copies differ"


def test_only_some_differences_are_kept_and_all_are_counted() -> None:
    many: dict[Address, Figure] = {Address(hour * HOUR_S, TOKENS): (1, SCALE) for hour in range(3, 100)}
    result = compare(CELLS | many)
    assert (len(result.differences), result.different) == (DIFFERENCES_MAX, 97)


def test_roll_up_takes_the_half_open_interval() -> None:
    assert roll_up(CELLS, HOUR_S, 2 * HOUR_S) == {TOKENS: (2, 9 * SCALE)}
