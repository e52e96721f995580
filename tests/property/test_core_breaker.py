"""The circuit breaker against a model too simple to be wrong: everything that happened, as a list."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.core.breaker import Breaker
from tests.property.mutants import Mutant, assert_found, check, each

KEYS = 3
OPEN_S = 1.0
OPEN_MAX_S = 4.0
LANES = range(8)


class BreakerModel(RuleBasedStateMachine):
    """Lanes that call, fail and succeed. `streak`: keys that began to fail since the last success."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(keys=KEYS, open_s=OPEN_S, open_max_s=OPEN_MAX_S)
        self.now_s = 0.0
        self.calling: set[int] = set()
        self.failing: set[int] = set()
        self.streak: list[int] = []
        self.opened_at_s: float | None = None
        self.probes_failed = 0
        self.probe: int | None = None

    @property
    def wait_s(self) -> float:
        return min(OPEN_S * 2.0**self.probes_failed, OPEN_MAX_S)

    @rule(seconds=st.sampled_from([0.25, 1.0, 4.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(lane=st.sampled_from(LANES))
    def call(self, lane: int) -> None:
        if lane in self.calling:
            return
        asked_s = self.breaker.admit(lane, self.now_s, failing=lane in self.failing)
        if self.opened_at_s is None:
            assert asked_s == 0.0, "closed: everybody goes on"
        elif self.probe is not None:
            assert asked_s == OPEN_S, "one probe at a time"
        else:
            due_s = self.opened_at_s + self.wait_s + (OPEN_S if lane in self.failing else 0.0)
            assert asked_s == max(0.0, due_s - self.now_s)
            self.probe = None if asked_s else lane
        if not asked_s:
            self.calling.add(lane)

    @precondition(lambda self: self.calling)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        lane = data.draw(st.sampled_from(sorted(self.calling)))
        self.breaker.succeeded()
        self.calling.discard(lane)
        self.failing.discard(lane)
        self.streak.clear()
        self.opened_at_s, self.probe, self.probes_failed = None, None, 0

    @precondition(lambda self: self.calling)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        self.fail_one(data.draw(st.sampled_from(sorted(self.calling))))

    def fail_one(self, lane: int) -> None:
        self.breaker.failed(lane, self.now_s, failing=lane in self.failing)
        self.calling.discard(lane)
        if self.opened_at_s is None:
            if lane not in self.failing:
                self.streak.append(lane)
            if len(set(self.streak)) >= KEYS:
                self.opened_at_s, self.probes_failed = self.now_s, 0
        elif lane == self.probe:
            self.opened_at_s, self.probe = self.now_s, None
            self.probes_failed += 1
        self.failing.add(lane)

    @rule(lanes=st.lists(st.sampled_from(LANES), min_size=1, max_size=4))
    def fail_in_a_row(self, lanes: list[int]) -> None:
        for lane in lanes:
            self.call(lane)
        for lane in lanes:
            if lane in self.calling:
                self.fail_one(lane)

    @rule(lanes=st.permutations(LANES))
    def fail_while_others_call(self, lanes: list[int]) -> None:
        """Some that began before it opened are still calling when a probe goes."""
        for lane in lanes[:-1]:
            self.call(lane)
        for lane in lanes[:KEYS]:
            if lane in self.calling:
                self.fail_one(lane)
        self.time_passes(OPEN_S)
        self.call(lanes[-1])

    @precondition(lambda self: self.calling)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        lane = data.draw(st.sampled_from(sorted(self.calling)))
        self.breaker.abandoned(lane)
        self.calling.discard(lane)
        if lane == self.probe:
            self.probe = None

    @rule(lane=st.sampled_from(LANES))
    def lane_goes(self, lane: int) -> None:
        """A lane that is empty goes: its key's next event knows nothing of it."""
        if lane not in self.calling:
            self.failing.discard(lane)

    @invariant()
    def open_after_enough_keys(self) -> None:
        assert self.breaker.is_open == (self.opened_at_s is not None)

    @invariant()
    def what_is_remembered_is_bounded(self) -> None:
        assert len(self.breaker._failed) < KEYS

    @invariant()
    def the_probe_may_go_on(self) -> None:
        if self.probe is not None:
            assert self.breaker.admit(self.probe, self.now_s, failing=True) == 0.0


TestBreaker = BreakerModel.TestCase


def test_without_a_mutant() -> None:
    check(BreakerModel)


@each(
    Mutant("a success does not end a row", Breaker, "succeeded", "self._failed.clear()", "pass"),
    Mutant("a success does not close it", Breaker, "succeeded", "self._wait_s = 0.0", "pass"),
    Mutant("a key that fails for ever opens it", Breaker, "failed", "elif not failing:", "else:"),
    Mutant("one key too many", Breaker, "failed", ">= self._keys", "> self._keys"),
    Mutant("everybody is a probe", Breaker, "admit", "self._probe, self._probing = key, True", "pass"),
    Mutant("no probe ever", Breaker, "admit", "return 0.0\n    if self._probing:", "return 0.0\n    if True:"),
    Mutant("a failing key goes first", Breaker, "admit", "self._until_s + self._open_s if failing else ", ""),
    Mutant("the wait does not double", Breaker, "failed", "2 * self._wait_s", "self._wait_s"),
    Mutant("the wait has no end", Breaker, "failed", "min(2 * self._wait_s, self._open_max_s)", "2 * self._wait_s"),
    Mutant("any failure is the probe's", Breaker, "failed", " and key == self._probe", ""),
    Mutant("the row goes on after it opened", Breaker, "_open_for", "self._failed.clear()", "pass"),
    Mutant("a failed probe stays the probe", Breaker, "_open_for", "self._probe, self._probing = None, False", "pass"),
    Mutant("a lost probe stays the probe", Breaker, "abandoned", "self._probe, self._probing = None, False", "pass"),
    Mutant("the probe waits for itself", Breaker, "admit", " or (self._probing and key == self._probe)", ""),
)
def test_the_model_finds(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_found(BreakerModel, mutant, monkeypatch)


def test_half_of_the_keys_failing_for_ever_never_open_it() -> None:
    """Also when the good half is quiet: a key that was failing before says nothing."""
    breaker = Breaker(keys=20, open_s=1.0, open_max_s=30.0)
    failing: set[int] = set()
    for turn in range(50):
        for key in range(1_000):
            assert breaker.admit(key, float(turn), failing=key in failing) == 0.0
            if key % 2:
                breaker.failed(key, float(turn), failing=key in failing)
                failing.add(key)
            elif turn == 0:
                breaker.succeeded()
    assert not breaker.is_open
