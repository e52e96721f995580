"""What is done beyond the watermark, through commits and restarts, against a model too simple to be wrong: a set.

The map is made small, so that it is cut.
"""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.core import done_map
from engine.core.done_map import NOTHING, DoneMap
from engine.core.offsets import OffsetTracker
from engine.errors import ForeignMetadata
from tests.property.mutants import Mutant, assert_found, check, each

BODY_BYTES = 6
BITS = BODY_BYTES * 8


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(done_map, "_BODY_BYTES_MAX", BODY_BYTES)
    monkeypatch.setattr(done_map, "_BITS_MAX", BITS)


class DoneMapModel(RuleBasedStateMachine):
    """One partition's log with gaps, a consumer of it, and what its group has committed."""

    @initialize(start=st.sampled_from([0, 7, 2**40]))
    def begin(self, start: int) -> None:
        self.tracker = OffsetTracker[None](start)
        self.before = NOTHING
        self.existing: list[int] = []
        self.done: set[int] = set()
        self.end = start
        self.committed = (start, "")
        self.claimed: set[int] = set()

    @rule(gap=st.sampled_from([0, 0, 1, 200]), count=st.integers(1, 12))
    def produce(self, gap: int, count: int) -> None:
        self.existing += range(self.end + gap, self.end + gap + count)
        self.end += gap + count

    @rule(most=st.integers(1, 20))
    def read(self, most: int) -> None:
        unread = [offset for offset in self.existing if offset >= self.tracker.position][:most]
        for offset in unread:
            if offset in self.before:
                assert offset in self.done, "an event is skipped that was never done"
            else:
                self.tracker.open({offset: None})
        if unread:
            self.tracker.read_to(unread[-1] + 1)

    @rule(chosen=st.sets(st.integers(0, 30)))
    def complete(self, chosen: set[int]) -> None:
        for index, offset in enumerate(list(self.tracker.open_offsets())):
            if index in chosen:
                self.tracker.complete([offset])
                self.done.add(offset)

    @precondition(lambda self: self.tracker.open_count > 2)
    @rule(step=st.integers(1, 3))
    def complete_all_but_some(self, step: int) -> None:
        for index, offset in enumerate(list(self.tracker.open_offsets())):
            if index % (step + 1):
                self.tracker.complete([offset])
                self.done.add(offset)

    @rule(gap=st.sampled_from([0, 1, 200]), count=st.integers(1, 20), chosen=st.sets(st.integers(0, 20)))
    def work(self, gap: int, count: int, chosen: set[int]) -> None:
        """All of it in a row."""
        self.produce(gap, count)
        self.read(count)
        self.complete(chosen)
        self.commit()

    @rule()
    def commit(self) -> None:
        tracker = self.tracker
        watermark, position = tracker.committable, tracker.position
        text = done_map.encode_done(watermark, position, tracker.open_offsets(), before=self.before)
        assert text.isascii()
        assert len(text) <= len("keylane-done/1/") + -(-(4 + 9 + BODY_BYTES) // 3) * 4, "it fits"
        decoded = done_map.decode_done(text, watermark=watermark, end=self.end)
        claimed = [offset for offset in self.existing if offset >= watermark and offset in decoded]
        assert set(claimed) <= self.done, "it claims what is not done"
        still_open = set(tracker.open_offsets())
        beyond = [
            offset
            for offset in self.existing
            if offset >= watermark and (offset not in still_open if offset < position else offset in self.before)
        ]
        assert claimed == beyond[: len(claimed)], "only the far end is cut"
        assert len(claimed) >= len([offset for offset in beyond if offset < watermark + BITS]), "it is cut too early"
        assert len(decoded) == sum(offset in decoded for offset in range(watermark, decoded.end))
        self.committed, self.claimed = (watermark, text), set(claimed)

    @rule()
    def restart(self) -> None:
        watermark, text = self.committed
        self.before = done_map.decode_done(text, watermark=watermark, end=self.end)
        assert {offset for offset in self.existing if offset in self.before} == self.claimed
        self.done = {offset for offset in self.existing if offset < watermark} | self.claimed
        self.tracker = OffsetTracker[None](watermark)

    @rule(most=st.integers(1, 6))
    def restart_and_commit_soon(self, most: int) -> None:
        """Before all that was claimed is read again."""
        self.restart()
        self.read(most)
        self.commit()

    @precondition(lambda self: self.committed[1])
    @rule(place=st.floats(0, 0.999), flip=st.integers(1, 127))
    def tear(self, place: float, flip: int) -> None:
        """A changed or missing character is noticed, wherever it is."""
        watermark, text = self.committed
        index = int(place * len(text))
        for torn in (text[:index] + chr(ord(text[index]) ^ flip) + text[index + 1 :], text[:-1], f"{text}AAAA"):
            with pytest.raises(ForeignMetadata):
                done_map.decode_done(torn, watermark=watermark, end=self.end)

    @precondition(lambda self: self.committed[1])
    @rule()
    def another_place(self) -> None:
        """Of another watermark, another version, or of a log that was truncated."""
        watermark, text = self.committed
        last = done_map.decode_done(text, watermark=watermark, end=self.end).end - 1
        for changed, at, end, why in (
            (text, watermark + 1, self.end + 1, "was written for watermark"),
            (text, watermark, last, "the log ends at"),
            (text.replace("/1/", "/2/"), watermark, self.end, "version '2' arrived"),
        ):
            with pytest.raises(ForeignMetadata, match=why):
                done_map.decode_done(changed, watermark=at, end=end)

    @invariant()
    def a_map_ends_where_its_last_claim_does(self) -> None:
        if self.before:
            assert self.before.end - 1 in self.before
            assert self.before.end not in self.before


TestDoneMap = DoneMapModel.TestCase


def test_without_a_mutant() -> None:
    check(DoneMapModel)


@each(
    Mutant("a hole is dropped", done_map, "_as_bits", "range(bisect_left", "range(1, bisect_left"),
    Mutant("bits are not cut", done_map, "_as_bits", "min(position - watermark, _BITS_MAX)", "position - watermark"),
    Mutant("runs are not cut", done_map, "_as_runs", "break", "pass"),
    Mutant("runs hold the open offset", done_map, "_between", "start = offset + 1", "start = offset"),
    Mutant("what was done before is forgotten", done_map, "encode_done", "list(before.spans(position))", "[]"),
    Mutant("what was read again is claimed as before", DoneMap,
           "spans", "max(start, self._starts[index])", "self._starts[index]"),
    Mutant("bits begin one later", done_map,
           "_spans_of_bits", "watermark + run.start()", "watermark + run.start() + 1"),
    Mutant("the last bits are lost", done_map, "_as_bits", "digits.ljust(size * 8, b\"0\")", "digits"),
    Mutant("the longer form is taken", done_map, "encode_done", "(each[1][0], -len(each[1][1]))", "-each[1][0]"),
    Mutant("the end of a span is in it", DoneMap,
           "__contains__", "offset < self._ends[index]", "offset <= self._ends[index]"),
    Mutant("the checksum is not compared", done_map,
           "_opened", "checksum != crc32(content[_CHECKSUM.size :])", "False"),
    Mutant("the version is not compared", done_map, "_opened", "version != VERSION", "False"),
    Mutant("the watermark is not compared", done_map, "decode_done", "written_at != watermark", "False"),
    Mutant("the end of the log is not compared", done_map, "decode_done", "done.end > end", "False"),
)  # fmt: skip
def test_the_model_finds(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_found(DoneMapModel, mutant, monkeypatch)
