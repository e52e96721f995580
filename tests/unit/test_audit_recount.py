"""The recount of one bucket: what the records name is what is counted, each identity once, in the log's order."""

from dataclasses import dataclass

import pytest

from billing.audit.folding import Addition, Address, Series, figure_of_one, together
from billing.audit.recount import DAY_MS, BucketCount, Named, Reading, Recount, View

KEY = b"acme"
SERIES = Series("sum", "tokens", 1, ("eu",))
HOUR_S = 3_600


@dataclass
class Record:
    offset: int
    day: int = 100
    partition: int = 0
    key: bytes | None = KEY
    value: bytes | None = b""

    @property
    def timestamp(self) -> int:
        return self.day * DAY_MS + 5


def usage(id_: str, tokens: int = 1) -> Reading:
    return Reading(("here", id_), (Addition(Address(HOUR_S, SERIES), (1, tokens)),))


def view(*positions: int, holes: tuple[int, ...] = ()) -> View:
    return {partition: Named(position, frozenset(holes)) for partition, position in enumerate(positions)}


def recount(first: View, events: list[tuple[Record, Reading | None]], own: View | None = None) -> BucketCount:
    counting = Recount(first=first, views={KEY: own} if own else {}, horizon_d=34)
    for record, reading in events:
        counting.feed(record, reading)
    return counting.result


def tokens(result: BucketCount, key: bytes = KEY) -> object:
    return result.cells[key].get(Address(HOUR_S, SERIES))


def counters(result: BucketCount, partition: int = 0) -> tuple[int, ...]:
    return tuple(result.counters[partition].values())


def test_exactly_the_named_events_are_counted() -> None:
    events: list[tuple[Record, Reading | None]] = [
        (Record(offset), usage(f"{offset}", 10**offset)) for offset in range(6)
    ]
    result = recount(view(5, holes=(1, 3)), events)
    assert tokens(result) == (3, 10_101)
    assert counters(result) == (3, 0, 0, 0)


def test_cells_go_by_the_records_of_their_own_call_and_counters_by_the_first() -> None:
    events: list[tuple[Record, Reading | None]] = [(Record(offset), usage(f"{offset}")) for offset in range(6)]
    result = recount(view(2), events, own=view(5))
    assert tokens(result) == (5, 5)
    assert counters(result) == (2, 0, 0, 0)


def test_a_key_that_no_call_read_is_counted_as_of_the_first() -> None:
    other = recount(
        view(1), [(Record(0, key=b"other"), usage("a")), (Record(1, key=b"other"), usage("b"))], own=view(9)
    )
    assert tokens(other, b"other") == (1, 1)


def test_dead_and_unmetered_events() -> None:
    unmetered = Reading(("here", "u"), ())
    result = recount(view(9), [(Record(0), None), (Record(1), unmetered), (Record(2), unmetered), (Record(3), None)])
    assert counters(result) == (0, 1, 1, 2)
    assert not result.cells[KEY]


@pytest.mark.parametrize(("later_day", "counted"), [(100, 1), (134, 1), (135, 2), (66, 1), (65, 2)])
def test_a_copy_is_a_duplicate_within_the_horizon_of_arrivals(later_day: int, counted: int) -> None:
    result = recount(view(9), [(Record(0), usage("a")), (Record(1, day=later_day), usage("a", 7))])
    assert counters(result) == (counted, 0, 2 - counted, 0)
    assert tokens(result) == (counted, 1 if counted == 1 else 8)


def test_a_duplicate_does_not_refresh_what_is_remembered() -> None:
    days = (100, 134, 135, 168, 169)
    result = recount(view(9), [(Record(offset, day=day), usage("a")) for offset, day in enumerate(days)])
    assert counters(result) == (2, 0, 3, 0), "100 and 135 count; 169 is within the horizon of 135"


def test_the_same_id_of_another_source_or_customer_is_another_event() -> None:
    other_source = Reading(("there", "a"), usage("a").additions)
    result = recount(view(9), [(Record(0), usage("a")), (Record(1), other_source), (Record(2, key=b"b"), usage("a"))])
    assert counters(result) == (3, 0, 0, 0)


class TestCopiesInTwoPartitions:
    """The first that was applied counted: the log does not tell which."""

    EVENTS: tuple[tuple[Record, Reading | None], ...] = (
        (Record(0), usage("a", 5)),
        (Record(0, partition=1), usage("a", 5)),
    )

    @pytest.mark.parametrize("positions", [(1, 0), (0, 1), (1, 1)])
    def test_one_of_those_that_are_in_the_state_counts(self, positions: tuple[int, int]) -> None:
        result = recount(view(*positions), list(self.EVENTS), own=view(*positions))
        assert tokens(result) == (1, 5)
        assert sum(one["counted"] for one in result.counters.values()) == 1
        assert sum(one["duplicate"] for one in result.counters.values()) == sum(positions) - 1
        assert result.moved
        assert not result.ambiguous

    def test_copies_that_differ_are_ambiguous(self) -> None:
        result = recount(view(1, 1), [self.EVENTS[0], (Record(0, partition=1), usage("a", 6))])
        assert "partitions 0 and 1" in result.ambiguous[KEY]

    def test_copies_over_more_than_the_horizon_are_ambiguous(self) -> None:
        """Was day 134 a duplicate? Only if day 100 counted, and not day 80 in the other partition."""
        events = [
            (Record(0), usage("a")),
            (Record(1, day=134), usage("a")),
            (Record(0, day=80, partition=1), usage("a")),
        ]
        assert KEY in recount(view(9, 9), list(events)).ambiguous

    def test_beyond_the_horizon_both_count(self) -> None:
        result = recount(view(9, 9), [(Record(0), usage("a")), (Record(0, day=200, partition=1), usage("a", 6))])
        assert tokens(result) == (2, 7)
        assert not result.moved


@pytest.mark.parametrize(
    ("aggregate", "values", "expected"),
    [
        ("count", (5, 7), (2,)),
        ("sum", (5, -7), (2, -2)),
        ("min", (5, -7), (-7,)),
        ("max", (5, -7), (5,)),
        ("latest", (5, -7), ((2, 9, 0, 1), -7)),
        ("unique", (5, 5), {b"5"}),
    ],
)
def test_folding(aggregate: str, values: tuple[int, int], expected: object) -> None:
    figures = [figure_of_one(aggregate, value, (2, 9, 0, offset), b"%d" % value) for offset, value in enumerate(values)]
    assert together(aggregate, figures) == expected


def test_unique_cells_grow_as_sets() -> None:
    series = Series("unique", "users", 1, ())
    events = [
        (Record(offset), Reading(("here", f"{offset}"), (Addition(Address(0, series), frozenset((member,))),)))
        for offset, member in enumerate([b"x", b"y", b"x"])
    ]
    result = recount(view(9), list(events))
    assert result.cells[KEY][Address(0, series)] == {b"x", b"y"}
