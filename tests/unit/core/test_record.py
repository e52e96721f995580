import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.record import BEGINNING, DAY_MAX, Record, Stamp
from engine.errors import StateDamaged, StateMismatch

STAMP = Stamp(2**64 - 1, 7)


@st.composite
def records(draw: st.DrawFn) -> Record:
    position = draw(st.integers(0, 2**63))
    holes = draw(st.sets(st.integers(max(0, position - 2**40), max(0, position - 1)), max_size=20)) if position else ()
    day = draw(st.integers(BEGINNING, DAY_MAX))
    return Record(position, tuple(sorted(holes)), day, draw(st.integers(1, 4096)), draw(st.integers(0, 4000)), STAMP)


@given(records())
def test_every_record_reads_back_as_it_was(record: Record) -> None:
    assert Record.decode(record.encode()) == record


@given(records(), records())
def test_redis_can_compare_the_first_twelve_bytes(left: Record, right: Record) -> None:
    """Low and the day at low stand first, big-endian, so that the function orders them as numbers."""
    for record in (left, right):
        encoded = record.encode()
        assert int.from_bytes(encoded[:8], "big") == record.low
        assert int.from_bytes(encoded[8:12], "big") - 2**31 == record.day
    assert (left.encode()[:8] < right.encode()[:8]) == (left.low < right.low)


def test_low_is_the_lowest_hole_or_the_position() -> None:
    assert Record(10, (3, 7), 0, 64, 34, STAMP).low == 3
    assert Record(10, (), 0, 64, 34, STAMP).low == 10


def test_the_empty_string_is_a_slice_that_was_never_written() -> None:
    record = Record.decode(b"")
    assert (record.low, record.day, record.stamp) == (0, BEGINNING, None)
    record.require(buckets=8, horizon_d=34)


def test_holds_names_what_is_in_the_state() -> None:
    record = Record(10, (3, 7), 0, 64, 34, STAMP)
    assert [offset for offset in range(12) if record.holds(offset)] == [0, 1, 2, 4, 5, 6, 8, 9]


@pytest.mark.parametrize("cut", [1, 11, 24, 49])
def test_a_torn_record_is_damage(cut: int) -> None:
    with pytest.raises(StateDamaged):
        Record.decode(Record(10, (3, 7), 0, 64, 34, STAMP).encode()[:cut])


def test_another_format_is_damage() -> None:
    encoded = bytearray(Record(10, (), 0, 64, 34, STAMP).encode())
    encoded[12] = 9
    with pytest.raises(StateDamaged, match="format 9"):
        Record.decode(bytes(encoded))


@pytest.mark.parametrize(("buckets", "horizon_d"), [(32, 34), (64, 35)])
def test_other_settings_are_refused_by_name(buckets: int, horizon_d: int) -> None:
    with pytest.raises(StateMismatch, match=r"ENGINE_BUCKETS=64.*34 days"):
        Record(10, (), 0, 64, 34, STAMP).require(buckets=buckets, horizon_d=horizon_d)
