"""Packing: what is packed is what comes out, for all values that the limits allow."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from engine.aggregate import Aggregate, Cell, Period, Reading, merge
from engine.event import Counts
from engine.sim.merging import merge_packed
from engine.sim.payload import Cursor, read_slice
from engine.state import keys
from engine.state.packing import SliceWrite, pack_apply
from engine.state.summing import NO_RANK, Addition, sum_up
from engine.state.values import pack_addition, unpack_value
from tests.unit.state.events import FakeEvent

quantities = st.integers(-(10**27) + 1, 10**27 - 1)
counts = st.integers(1, 2**40)
texts = st.binary(max_size=300)
digests = st.binary(min_size=16, max_size=16)
days = st.integers(-(2**31), 2**31 - 1)
periods = st.builds(
    lambda first, length, keep, watched: Period.of(first * 900, (first + length) * 900, keep=keep, watched=watched),
    st.integers(0, 2**31), st.integers(1, 4_000), st.booleans(), st.booleans(),
)  # fmt: skip


@given(counts, quantities)
def test_a_sum_is_exact(count: int, number: int) -> None:
    total = number * count
    packed = pack_addition(Aggregate.SUM, Addition(count, total, 0, NO_RANK, None))
    assert unpack_value(Aggregate.SUM, packed) == Reading(count, total)


@given(st.sampled_from([Aggregate.SUM, Aggregate.MIN, Aggregate.MAX]), st.lists(quantities, min_size=1, max_size=20))
def test_merging_packed_values_is_exact(aggregate: Aggregate, numbers: list[int]) -> None:
    """The limbs with carry against plain integers, one value at a time."""
    stored = None
    expected: Reading | None = None
    for number in numbers:
        stored = merge_packed(aggregate, stored, pack_addition(aggregate, Addition(1, number, 0, NO_RANK, None)))
        reading = Reading(1, number)
        expected = reading if expected is None else merge(aggregate, expected, reading)
    assert stored is not None
    assert expected is not None
    assert unpack_value(aggregate, stored) == (expected if aggregate is Aggregate.SUM else Reading(1, expected.number))


@given(
    st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**63)
)
def test_ranks_keep_their_order_as_bytes(time_us: int, arrival_ms: int, partition: int, offset: int) -> None:
    rank = (time_us, arrival_ms, partition, offset)
    packed = pack_addition(Aggregate.LATEST, Addition(1, -5, 0, rank, None))
    assert unpack_value(Aggregate.LATEST, packed) == Reading(1, -5, rank)
    zero = pack_addition(Aggregate.LATEST, Addition(1, -5, 0, (0, 0, 0, 0), None))
    assert (packed[:28] > zero[:28]) == (rank > (0, 0, 0, 0))


@given(
    st.lists(st.tuples(digests, days, st.booleans()), max_size=20),
    st.lists(st.tuples(digests, days), max_size=20),
    st.lists(st.tuples(texts, periods, texts), max_size=4),
    st.binary(max_size=200),
    st.tuples(*[st.integers(0, 2**32 - 1)] * 4),
    st.sampled_from([b"", b"0123456789abcdef"]),
)
def test_a_slice_travels_whole(
    judged: list[tuple[bytes, int, bool]],
    ask: list[tuple[bytes, int]],
    effects: list[tuple[bytes, Period, bytes]],
    record: bytes,
    risen: tuple[int, int, int, int],
    reacted: bytes,
) -> None:
    write = SliceWrite(
        1, 7, record, record + b"after", judged, {}, *risen, ask=ask, reacted=reacted, effects=effects, partitions=8
    )
    cursor = Cursor(pack_apply("g", 2, 34, True, [write]))
    assert cursor.numbers("HBH") == [34, 1, 1]
    found = read_slice(Cursor(cursor.text("I")))
    assert cursor.ended
    assert (found.tag, found.partition, found.partitions) == (keys.tag("g", 1), 7, 8)
    assert (found.before, found.after, found.reacted, tuple(found.counters)) == (
        write.before,
        write.after,
        reacted,
        risen,
    )
    assert found.effects == effects
    assert found.judged == [(identity, day) for identity, day, _ in judged]
    assert found.left_out == {index for index, (_, _, out) in enumerate(judged) if out}
    assert found.asked == ask


adds = st.tuples(st.integers(0, 300), st.sampled_from([b"", b"a", b"b" * 200]), quantities)
events = st.tuples(st.sampled_from([None, b"", b"k", b"\xff{}"]), st.lists(adds, max_size=4), periods | st.none(), days)


@given(st.lists(events, max_size=12))
def test_updates_add_up(batch: list[tuple[bytes | None, list[tuple[int, bytes, int]], Period | None, int]]) -> None:
    """Whatever the form of the packed updates, cells and totals get what the events add."""
    cells: dict[tuple[bytes, bytes], int] = {}
    totals: dict[tuple[bytes, bytes, bytes], int] = {}
    counted = []
    for key, of_event, period, arrival in batch:
        named = tuple((Cell.of(Aggregate.SUM, quarter * 900, name), number) for quarter, name, number in of_event)
        counted.append((FakeEvent(key, arrival), Counts(b"i" * 16, named, period)))
        for cell, number in named:
            place = (key or b"", bytes(cell))
            cells[place] = cells.get(place, 0) + number
            if period is not None:
                total = (key or b"", period[:8], bytes(cell[4:]))
                totals[total] = totals.get(total, 0) + number
    write = SliceWrite(0, 0, b"", b"a", [], sum_up(counted), 0, 0, 0, 0, ask=[], reacted=b"", effects=[], partitions=1)
    cursor = Cursor(pack_apply("g", 1, 1, False, [write]))
    cursor.numbers("HBH")
    found = read_slice(Cursor(cursor.text("I")))
    in_cells = {
        (key, cell): unpack_value(2, value).number
        for key, pages, _ in found.keys
        for page in pages
        for cell, value in page.cells
        if struct.unpack_from(">I", cell)[0] // 96 == page.day
    }
    in_totals = {
        (key, total.period[:8], series): unpack_value(2, value).number
        for key, _, raised in found.keys
        for total in raised
        for series, value in total.series
    }
    assert in_cells == cells
    assert in_totals == totals
