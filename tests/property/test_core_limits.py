"""What is in flight against a model too simple to be wrong: a list of what went in."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.core.limits import InFlight
from tests.property.mutants import Mutant, assert_found, check, each

EVENTS_MAX = 10
BYTES_MAX = 1_000


class InFlightModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.limit = InFlight(EVENTS_MAX, BYTES_MAX)
        self.batches: list[tuple[int, int]] = []
        self.full = False

    @property
    def events(self) -> int:
        return sum(events for events, _ in self.batches)

    @property
    def payload_bytes(self) -> int:
        return sum(size for _, size in self.batches)

    @rule(events=st.integers(1, 6), size=st.integers(0, 600) | st.just(BYTES_MAX * 9 // 20))
    def add(self, events: int, size: int) -> None:
        """Two of the size named leave a tenth of the bytes: nearly full is where rules of room differ."""
        self.limit.add(events, size)
        self.batches.append((events, size))
        self.full = self.full or self.events >= EVENTS_MAX or self.payload_bytes >= BYTES_MAX

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        batch = self.batches.pop(data.draw(st.integers(0, len(self.batches) - 1)))
        opens = self.full and 2 * self.events <= EVENTS_MAX and 2 * self.payload_bytes <= BYTES_MAX
        assert self.limit.remove(*batch) == opens, "whoever waits hears of it once, when it opens"
        self.full = self.full and not opens

    @invariant()
    def what_is_in_flight_is_counted(self) -> None:
        assert (self.limit.events, self.limit.payload_bytes) == (self.events, self.payload_bytes)

    @invariant()
    def full_until_both_have_fallen_to_half(self) -> None:
        assert self.limit.full == self.full
        assert self.limit.room() == (0 if self.full else EVENTS_MAX - self.events)

    @invariant()
    def a_fetch_may_always_ask_for_something_unless_full(self) -> None:
        room = self.limit.room_bytes()
        assert room == 0 if self.full else BYTES_MAX >= room >= max(BYTES_MAX - self.payload_bytes, BYTES_MAX // 8)


TestInFlight = InFlightModel.TestCase


def test_without_a_mutant() -> None:
    check(InFlightModel)


@each(
    Mutant("hysteresis of events left out", InFlight, "remove", "self._events_max // 2", "self._events_max"),
    Mutant("hysteresis of bytes left out", InFlight, "remove", "self._bytes_max // 2", "self._bytes_max"),
    Mutant("an event leaks", InFlight, "remove", "self.events -= events", "self.events -= min(events, 5)"),
    Mutant("bytes leak", InFlight, "remove", "self.payload_bytes -= payload_bytes", "pass"),
    Mutant("bytes do not fill it", InFlight, "add", "or self.payload_bytes >= self._bytes_max", ""),
    Mutant("one event too many", InFlight, "add", "self.events >= self._events_max", "self.events > self._events_max"),
    Mutant("it never opens again", InFlight, "remove", "self._full = False", "pass"),
    Mutant("it opens and tells nobody", InFlight, "remove", "return opens", "return False"),
    Mutant("room although it is full", InFlight, "room", "0 if self._full else ", ""),
    Mutant("room for bytes although it is full", InFlight, "room_bytes", "0 if self._full else ", ""),
    Mutant("a fetch trickles", InFlight, "room_bytes", "self._bytes_max // TRICKLE, ", ""),
)
def test_the_model_finds(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_found(InFlightModel, mutant, monkeypatch)
