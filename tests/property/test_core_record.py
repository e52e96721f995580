"""Progress records through the writes of a slice, against a model too simple to be wrong: sets of offsets."""

import struct

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.core import record
from engine.core.record import BEGINNING, Record, Stamp
from engine.errors import StateDamaged, StateMismatch
from tests.property.mutants import Mutant, assert_found, check, each

BUCKETS = 64
HORIZON_D = 34


class RecordModel(RuleBasedStateMachine):
    """What is in the state; every write's record is stored as bytes and read back."""

    @initialize(start=st.sampled_from([0, 5, 2**40]))
    def begin(self, start: int) -> None:
        self.position = start
        self.still_open: set[int] = set()
        self.held: set[int] = set()
        self.day = BEGINNING
        self.serial = 0
        self.stored = b""
        self.last = Record()
        self.lows: list[tuple[int, bytes]] = []

    @rule(gap=st.sampled_from([0, 1, 2**33]), count=st.integers(1, 5), days=st.integers(0, 2))
    def read(self, gap: int, count: int, days: int) -> None:
        self.still_open |= set(range(self.position + gap, self.position + gap + count))
        self.position += gap + count
        self.day = max(self.day + days, -3)

    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        """A batch of open events; the rest of them are holes."""
        batch = data.draw(st.sets(st.sampled_from(sorted(self.still_open)))) if self.still_open else set()
        self.still_open -= batch
        self.held |= batch
        self.serial += 1
        stamp = Stamp(2**64 - 1, self.serial)
        self.last = Record(self.position, tuple(sorted(self.still_open)), self.day, BUCKETS, HORIZON_D, stamp)
        assert self.last.encode() != self.stored, "every write's record is another one"
        self.stored = self.last.encode()
        self.lows.append((min(self.still_open, default=self.position), self.stored))

    @rule()
    def take_over(self) -> None:
        """Another owner reads what is stored, and knows what to read again."""
        found = Record.decode(self.stored)
        assert found == self.last
        assert all(found.holds(offset) for offset in self.held), "an event would be counted twice"
        unheld = {*self.last.holes, self.position, self.position + 1}
        assert not any(found.holds(offset) for offset in unheld), "an event would be lost"
        found.require(buckets=BUCKETS, horizon_d=HORIZON_D)

    @precondition(lambda self: self.stored)
    @rule(cut=st.integers(1, 41), form=st.integers(2, 255))
    def damage(self, cut: int, form: int) -> None:
        form_at = struct.calcsize(">QI")
        another = self.stored[:form_at] + bytes([form]) + self.stored[form_at + 1 :]
        for damaged in (another, self.stored[:cut], self.stored[:-1]):
            with pytest.raises(StateDamaged):
                Record.decode(damaged)

    @precondition(lambda self: self.stored)
    @rule()
    def other_settings(self) -> None:
        for buckets, horizon_d in ((BUCKETS // 2, HORIZON_D), (BUCKETS, HORIZON_D + 1)):
            with pytest.raises(StateMismatch):
                Record.decode(self.stored).require(buckets=buckets, horizon_d=horizon_d)

    @invariant()
    def redis_orders_records_by_their_first_bytes(self) -> None:
        for (low, encoded), (later, other) in zip(self.lows, self.lows[1:], strict=False):
            assert (encoded[:8] < other[:8]) == (low < later)
            assert encoded[:12] <= other[:12], "neither low nor its day falls"

    @invariant()
    def low_is_what_is_read_first(self) -> None:
        record = Record.decode(self.stored)
        assert record.low == (self.lows[-1][0] if self.lows else 0)
        assert self.stored[:8] == (record.low.to_bytes(8, "big") if self.stored else b"")


TestRecord = RecordModel.TestCase


def test_without_a_mutant() -> None:
    check(RecordModel)


@each(
    Mutant("holes are in the state", Record, "holds", "and offset not in self.holes", ""),
    Mutant("the position is in the state", Record, "holds", "offset < self.position", "offset <= self.position"),
    Mutant("low passes the holes", Record, "low", "self.holes[0] if self.holes else ", ""),
    Mutant("low is the highest hole", Record, "low", "self.holes[0]", "self.holes[-1]"),
    Mutant("the first hole is dropped", Record, "encode", "for hole in self.holes", "for hole in self.holes[1:]"),
    Mutant("far holes do not fit", Record, "encode", "8 if self.holes and self.holes[-1] - low >= 2**32 else 4", "4"),
    Mutant("the day is left out", Record, "encode", "self.day + 2**31", "2**31"),
    Mutant("the stamp is left out", Record, "encode", "self.stamp.serial", "0"),
    Mutant("another format is read", Record, "decode", "form != FORMAT or ", ""),
    Mutant("a torn record is read", Record, "decode", " or rest or count < 0", ""),
    Mutant("holes are read where they are not", Record, "decode", "low + offset for", "offset for"),
    Mutant("other settings are taken", Record, "require", "self.stamp is not None", "False"),
    Mutant("another horizon is taken", Record,
           "require", "(self.buckets, self.horizon_d) != (buckets, horizon_d)", "self.buckets != buckets"),
)  # fmt: skip
def test_the_model_finds(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_found(RecordModel, mutant, monkeypatch)


@pytest.mark.parametrize("layout", ["<QIBHHQB", ">IQBHHQB"], ids=["little endian", "day first"])
def test_the_model_finds_another_layout(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis compares the first bytes: their order is part of the protocol."""
    monkeypatch.setattr(record, "_HEAD", struct.Struct(layout))
    with pytest.raises((AssertionError, struct.error, StateDamaged)):
        check(RecordModel)
