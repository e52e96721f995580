"""Rolled-up pages against their cells, merged one by one: random states, edges, and what is damaged."""

import struct
from collections.abc import Callable
from functools import partial, reduce
from random import Random

import pytest

from engine.aggregate import QUARTER_S, Aggregate, Cell, Reading, Series, merge
from engine.errors import StateDamaged
from engine.state import keys
from engine.state.reader import DAYS_PER_CALL
from engine.state.values import unpack_together, unpack_value, unpack_values
from tests.unit.state.pages import DAY_S, KEY, TAG, DirectServer, any_value

DAY = 20_000
START_S = DAY * DAY_S
SERIES = tuple(Series(aggregate, b'["m",%d]' % version) for aggregate in Aggregate for version in (1, 2))


def filled(chance: Random, *, days: int, step: int) -> DirectServer:
    """A cell of every series at every `step` quarters of an hour, of which some are left out."""
    server = DirectServer()
    for quarter in range(0, days * 96, step):
        for series in SERIES:
            if chance.random() < 0.8:
                value, members = any_value(chance, series.aggregate)
                server.put(Cell.of(series.aggregate, START_S + quarter * QUARTER_S, series.name), value, members)
    return server


async def merged_cells(
    server: DirectServer, start_s: int, end_s: int, window_of: Callable[[int], object]
) -> dict[Series, dict[object, Reading]]:
    rolled: dict[Series, dict[object, Reading]] = {}
    for cell, reading in (await server.reader.cells(KEY, start_s, end_s, members=True)).items():
        readings, window = rolled.setdefault(cell.series, {}), window_of(cell.start_s)
        readings[window] = merge(cell.series.aggregate, readings[window], reading) if window in readings else reading
    return rolled


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("hours", [1, 5, 24, 10**6])
async def test_rolled_up_is_what_the_cells_make_together(seed: int, hours: int) -> None:
    chance = Random(seed)
    server = filled(chance, days=4, step=4)
    start_s = START_S + chance.randrange(-100, 200) * QUARTER_S
    end_s = start_s + chance.randrange(300) * QUARTER_S

    def window_of(start: int) -> int:
        assert start_s <= start < end_s
        return (start - 1_800) // (hours * 3_600)

    rolled = await server.reader.roll_up(KEY, start_s, end_s, window_of, members=True)
    assert rolled == await merged_cells(server, start_s, end_s, window_of)
    assert all(type(one) is int for readings in rolled.values() for reading in readings.values() for one in reading[:2])
    without = await server.reader.roll_up(KEY, start_s, end_s, window_of)
    assert without == {series: found for series, found in rolled.items() if series.aggregate is not Aggregate.UNIQUE}


async def test_a_month_is_of_one_moment_also_when_a_day_comes_while_it_is_read() -> None:
    """The late day is read as well, and no cell from before it remains."""
    server = filled(Random(1), days=2, step=48)
    cell = Cell.of(Aggregate.COUNT, START_S, b"late")

    def change() -> None:
        if server.calls == 2:
            for day in (0, 5):
                server.put(Cell.of(Aggregate.COUNT, START_S + day * DAY_S, b"late"), struct.pack(">d", 1))

    server.before = change
    rolled = await server.reader.roll_up(KEY, START_S, START_S + 30 * DAY_S, lambda start_s: 0)
    assert rolled[cell.series] == {0: Reading(2)}
    assert server.calls == 3


async def test_many_days_are_cut_into_calls() -> None:
    days = 2 * DAYS_PER_CALL + 1
    server = filled(Random(1), days=days, step=96)
    end_s = START_S + days * DAY_S
    assert await server.reader.roll_up(KEY, START_S, end_s, lambda start_s: 0, members=True) == await merged_cells(
        server, START_S, end_s, lambda start_s: 0
    )
    assert server.calls == 2 * (1 + 3)


DAMAGED = (
    (1, struct.pack(">d", 0.5)),
    (1, struct.pack(">d", float("nan"))),
    (1, struct.pack(">d", 2.0**53)),
    (1, struct.pack(">d", -(2.0**53))),
    (1, bytes(7)),
    (2, struct.pack(">4d", 2.0**53, 0, 0, 0)),
    (2, struct.pack(">4d", 1, 2.0**53, 0, 0)),
    (2, struct.pack(">4d", 1, -(2.0**53), 0, 0)),
    (2, struct.pack(">4d", 1, 0, 0.5, 0)),
    (2, struct.pack(">4d", 1, 0, 0, float("inf"))),
    (2, struct.pack(">4d", 1, 0, float("nan"), 0)),
    (2, bytes(31)),
    (2, bytes(40)),
    (3, bytes(32)),
    (5, bytes(51)),
    (6, bytes(8) + b"short"),
    (7, bytes(8)),
)


@pytest.mark.parametrize(("aggregate", "value"), DAMAGED)
@pytest.mark.parametrize("others", [0, 1, 9])
async def test_one_damaged_value_spoils_the_answer(aggregate: int, value: bytes, others: int) -> None:
    """Wherever it stands among sound ones; outside of what is asked it harms nobody."""
    server = DirectServer()
    for hour in range(others):
        if aggregate < 7:
            sound, members = any_value(Random(hour), Aggregate(aggregate))
            server.put(Cell.of(Aggregate(aggregate), START_S + hour * 3_600, b"n"), sound, members)
    server.put(Cell(struct.pack(">IB", (START_S + others * 3_600) // QUARTER_S, aggregate) + b"n"), value)
    with pytest.raises(StateDamaged):
        await server.reader.roll_up(KEY, START_S, START_S + DAY_S, lambda start_s: 0)
    with pytest.raises(StateDamaged):
        await server.reader.cells(KEY, START_S, START_S + DAY_S)
    before_it = await server.reader.roll_up(KEY, START_S, START_S + others * 3_600, lambda start_s: 0, members=True)
    assert len(before_it) == min(others, 1) * (aggregate < 7)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"", bytes(8)),
        (b"b", bytes(8)),
        (b"a\x00\x00\x00", bytes(8)),
        (b"a", bytes(7)),
        (b"a", struct.pack(">d", 1e999)),
    ],
)
async def test_a_field_that_is_no_cell_spoils_the_answer(field: bytes, value: bytes) -> None:
    server = filled(Random(1), days=1, step=4)
    page = server.state[keys.page_key(TAG, DAY, KEY)]
    assert isinstance(page, dict)
    page[field] = value
    with pytest.raises(StateDamaged, match="field"):
        await server.reader.roll_up(KEY, START_S, START_S + DAY_S, lambda start_s: 0)
    with pytest.raises(StateDamaged, match="field"):
        await server.reader.cells(KEY, START_S, START_S + DAY_S)


@pytest.mark.parametrize("aggregate", Aggregate)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 50, 1_000])
def test_many_values_are_read_as_each_by_itself(aggregate: Aggregate, count: int) -> None:
    chance = Random(count)
    values = [(packed + b"".join(members)) for packed, members in (any_value(chance, aggregate) for _ in range(count))]
    readings = [unpack_value(aggregate, value) for value in values]
    assert unpack_values(aggregate, values) == readings
    assert unpack_together(aggregate, values) == reduce(partial(merge, aggregate), readings)


@pytest.mark.parametrize("aggregate", [0, 7, 255])
def test_many_values_of_no_aggregate_are_damage(aggregate: int) -> None:
    with pytest.raises(StateDamaged, match="unknown aggregate"):
        unpack_values(aggregate, [bytes(8)] * 9)


def test_sums_beyond_what_a_double_holds_are_exact() -> None:
    most = 2.0**53 - 1
    values = [struct.pack(">4d", most, sign * most, 10.0**15 - 1, 10.0**15 - 1) for sign in (1, 1, 1, 1, -1, 1, 1)]
    together = unpack_together(Aggregate.SUM, values)
    rest = 7 * (10**30 - 1)
    assert together == Reading(7 * (2**53 - 1), 5 * (2**53 - 1) * 10**30 + rest)
