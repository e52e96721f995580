"""Small facts of the state: names, identities, values that are not ours, the library's name."""

import struct

import pytest

from engine.aggregate import Aggregate, Cell, Period, Reading
from engine.core.record import BEGINNING, DAY_MAX
from engine.errors import StateDamaged
from engine.event import Counts
from engine.state import keys, library
from engine.state.identity import arrival_day, bucket_of, digest_of, identity_of
from engine.state.packing import unpack_apply, unpack_read
from engine.state.summing import NO_RANK, Addition, combine, sum_up
from engine.state.values import pack_addition, series_of, unpack_value
from tests.unit.state.events import FakeEvent


def test_no_two_events_share_an_identity() -> None:
    """Parts that run together as text are different events all the same."""
    parts = [(b"", b"ab", b"c", b"d"), (b"a", b"b", b"c", b"d"), (b"", b"a", b"bc", b"d"), (b"", b"ab", b"", b"cd")]
    assert len({identity_of(*part) for part in parts}) == len(parts)
    assert all(len(identity_of(*part)) == 16 for part in parts)
    assert digest_of(b"x") != digest_of(b"y")


def test_buckets_use_all_and_are_stable() -> None:
    assert bucket_of(b"acme", 64) == 33
    assert {bucket_of(b"%d" % number, 64) for number in range(2_000)} == set(range(64))


@pytest.mark.parametrize(
    ("timestamp_ms", "day"),
    [(0, 0), (86_399_999, 0), (86_400_000, 1), (-1, -1), (10**30, DAY_MAX), (-(10**30), BEGINNING + 1)],
)
def test_arrival_days(timestamp_ms: int, day: int) -> None:
    assert arrival_day(timestamp_ms) == day


def test_keys_of_two_groups_never_meet() -> None:
    tags = [keys.tag(group, 1) for group in ("a", "a}", "a{", "a%7D", "a:1", "ä")]
    assert len(set(tags)) == len(tags)
    assert all(tag.count(b"{") == tag.count(b"}") == 1 for tag in tags)


def test_names_that_end_in_a_key_are_not_ambiguous() -> None:
    names = {keys.cell_members_key(b"T", key) + cell for key, cell in [(b"a", b"b:c"), (b"a:b", b"c"), (b"a:", b"b:c")]}
    assert len(names) == 3


def test_index_entries() -> None:
    entry = keys.pack_index((3, 70_000), ((1, 2), (5, 2**32 - 1)))
    assert keys.read_index(entry) == ((3, 70_000), ((1, 2), (5, 2**32 - 1)))
    for damaged in (b"", entry[:-1], b"\x00\x09" + entry[2:]):
        with pytest.raises(StateDamaged):
            keys.read_index(damaged)


def test_the_library_names_its_content() -> None:
    assert library.TEXT.startswith(f"#!lua name=keylane_{library.VERSION}\n")
    assert "_VERSION" not in library.TEXT
    for function in library.FUNCTIONS:
        assert f"'{library.function_name(function)}'" in library.TEXT


@pytest.mark.parametrize(
    ("aggregate", "packed"),
    [
        (1, b""),
        (1, struct.pack(">d", 0.5)),
        (1, struct.pack(">d", float("nan"))),
        (2, struct.pack(">4d", 1, 0, 0, float("inf"))),
        (2, bytes(31)),
        (5, bytes(51)),
        (6, bytes(8) + b"short"),
        (7, bytes(8)),
    ],
)
def test_values_that_the_engine_never_writes(aggregate: int, packed: bytes) -> None:
    with pytest.raises(StateDamaged):
        unpack_value(aggregate, packed)


@pytest.mark.parametrize("field", [b"", b"\x09name"])
def test_fields_that_the_engine_never_writes(field: bytes) -> None:
    with pytest.raises(StateDamaged):
        series_of(field)


@pytest.mark.parametrize("reply", [b"", b"?", b"S" + bytes(4) + b"\x00\x03abc" + bytes(8)])
def test_replies_that_the_library_never_gives(reply: bytes) -> None:
    with pytest.raises(StateDamaged):
        unpack_apply([reply])
    with pytest.raises(StateDamaged):
        unpack_read([reply])


def test_a_sum_without_room_is_refused() -> None:
    for number in (10**30 * 2**53, -(10**30) * 2**53):
        with pytest.raises(ValueError, match="outside"):
            pack_addition(2, Addition(1, number, 0, NO_RANK, None))


CELLS = {aggregate: Cell.of(aggregate, 900, b"n") for aggregate in Aggregate}


def test_sums_by_aggregate() -> None:
    """Two events of one key, and what each aggregate makes of them."""
    period = Period.of(0, 3600, keep=True, watched=False)
    first = Counts(
        b"1" * 16,
        (
            (CELLS[Aggregate.COUNT], None), (CELLS[Aggregate.SUM], 5), (CELLS[Aggregate.MIN], 5),
            (CELLS[Aggregate.MAX], 5), (CELLS[Aggregate.LATEST], (10, 5)), (CELLS[Aggregate.UNIQUE], b"u" * 16),
        ),
        period,
    )  # fmt: skip
    second = Counts(
        b"2" * 16,
        (
            (CELLS[Aggregate.COUNT], None), (CELLS[Aggregate.SUM], -7), (CELLS[Aggregate.MIN], -7),
            (CELLS[Aggregate.MAX], -7), (CELLS[Aggregate.LATEST], (10, -7)), (CELLS[Aggregate.UNIQUE], b"v" * 16),
        ),
        period,
    )  # fmt: skip
    updates = sum_up([(FakeEvent(None, 50, 0, 1), first), (FakeEvent(b"", 40, 0, 2), second)])
    found = {aggregate: updates[b""][period, cell] for aggregate, cell in CELLS.items()}
    assert list(updates) == [b""]
    assert len(updates[b""]) == len(CELLS)
    assert all(addition.arrival_ms == 50 for addition in found.values())
    assert found[Aggregate.COUNT].count == 2
    assert (found[Aggregate.SUM].count, found[Aggregate.SUM].number) == (2, -2)
    assert found[Aggregate.MIN].number == -7
    assert found[Aggregate.MAX].number == 5
    assert (found[Aggregate.LATEST].rank, found[Aggregate.LATEST].number) == ((10, 50, 0, 1), 5)
    assert found[Aggregate.UNIQUE].members == {b"u" * 16, b"v" * 16}


def test_combining_is_summing_the_parts() -> None:
    left, right = Addition(1, 3, 9, (1, 2, 3, 4), {b"a"}), Addition(2, -4, 8, (1, 2, 3, 5), {b"b"})
    assert combine(2, left, right).number == -1
    assert combine(3, left, right).number == -4
    assert combine(4, left, right).number == 3
    assert combine(5, left, right).rank == (1, 2, 3, 5)
    assert combine(6, left, right).members == {b"a", b"b"}
    assert combine(1, left, right).arrival_ms == 9
    assert unpack_value(1, pack_addition(1, combine(1, left, right))) == Reading(3)
