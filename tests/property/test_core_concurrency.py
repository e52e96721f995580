"""What must hold for the limit of concurrency whatever the latencies are, and where it goes when they are simple."""

from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.core.concurrency import GradientLimit, Window
from tests.property.mutants import SAME_EXAMPLES, Mutant, assert_found, check, each

MINIMUM = 4
MAXIMUM = 64
KNEE = 12
FEW = settings(SAME_EXAMPLES, max_examples=10, stateful_step_count=8)
"""A rule is thousands of calls long."""


def serve(limit: GradientLimit, calls: int, latency_s: float, *, knee: float = 1_000, used: float = 1.0) -> float:
    """The latency grows in proportion beyond the knee; the caller uses a part of the limit.

    Returns the limit over the last half of the calls, on average.
    """
    random, numbers = Random(calls), []
    for _ in range(calls):
        running = max(1, int(limit.limit * used))
        limit.observe(latency_s * random.uniform(0.9, 1.1) * max(1.0, running / knee), running)
        assert MINIMUM <= limit.limit <= MAXIMUM
        numbers.append(limit.limit)
    half = numbers[calls // 2 :]
    return sum(half) / len(half)


class GradientLimitModel(RuleBasedStateMachine):
    """A server that behaves in one way for a stretch of calls, then in another."""

    @initialize(initial=st.integers(MINIMUM, MAXIMUM))
    def begin(self, initial: int) -> None:
        self.limit = GradientLimit(MINIMUM, MAXIMUM, initial)

    @rule(latency_s=st.sampled_from([0.0, 1e-9, 0.001, 3_600.0]), running=st.integers(1, 1_000))
    def anything_may_be_observed(self, latency_s: float, running: int) -> None:
        for _ in range(200):
            self.limit.observe(latency_s, running)

    @rule(knee=st.sampled_from([0.5, 2.0, 3.0, KNEE, 1_000]), latency_s=st.sampled_from([0.001, 1.0]))
    def anything_may_be_used(self, knee: float, latency_s: float) -> None:
        serve(self.limit, 2_000, latency_s, knee=knee)

    @rule(used=st.sampled_from([0.1, 0.5, 0.7]))
    def what_is_not_used_does_not_grow(self, used: float) -> None:
        serve(self.limit, 5_000, 0.01, used=used)  # whatever went on before is over
        before = self.limit.limit
        serve(self.limit, 2_000, 0.01, used=used)
        assert self.limit.limit == before or before * used < 2
        limit = GradientLimit(MINIMUM, MAXIMUM, 20)
        serve(limit, 2_000, 0.01, used=used)
        assert limit.limit == 20

    @rule(initial=st.sampled_from([MINIMUM, 20, MAXIMUM]), latency_s=st.sampled_from([0.001, 0.1]))
    def constant_latency_reaches_the_maximum(self, initial: int, latency_s: float) -> None:
        """Throughput grows with the limit as far as that goes."""
        assert 0.8 * MAXIMUM < serve(GradientLimit(MINIMUM, MAXIMUM, initial), 8_000, latency_s) <= MAXIMUM

    @rule(initial=st.sampled_from([MINIMUM, 20, MAXIMUM]), latency_s=st.sampled_from([0.001, 0.1]))
    def a_knee_is_found(self, initial: int, latency_s: float) -> None:
        found = serve(GradientLimit(MINIMUM, MAXIMUM, initial), 8_000, latency_s, knee=KNEE)
        assert 0.9 * KNEE < found < 2 * KNEE, "the server is not used, or calls only wait for each other"

    @rule(times=st.sampled_from([0.1, 10.0]))
    def slower_for_everybody_is_not_full(self, times: float) -> None:
        """The latency of every call changes, and the number has nothing to do with it."""
        limit = GradientLimit(MINIMUM, MAXIMUM, 20)
        serve(limit, 8_000, 0.01)
        assert serve(limit, 8_000, 0.01 * times) > 0.8 * MAXIMUM

    @invariant()
    def within_its_bounds(self) -> None:
        assert MINIMUM <= self.limit.limit <= MAXIMUM


TestGradientLimit = GradientLimitModel.TestCase
TestGradientLimit.settings = settings(max_examples=10, stateful_step_count=8, deadline=None)


def test_without_a_mutant() -> None:
    check(GradientLimitModel, FEW)


@each(
    Mutant("no maximum", GradientLimit, "_move", "min(before * exp(step), float(self.maximum))", "before * exp(step)"),
    Mutant("no minimum", GradientLimit, "_move", "max(float(self.minimum), ", "max(0.0, "),
    Mutant("a probe below the minimum", GradientLimit, "_hold", "max(self.minimum, ", "max(1, "),
    Mutant("grows although it is not used", GradientLimit, "_learn", "USED_SHARE * self.limit", "0 * self.limit"),
    Mutant("the wrong way", GradientLimit, "_move", "exp(step)", "exp(-step)"),
    Mutant("latency is not compared", GradientLimit, "_compare", "(window.latency - held.latency)", "0.0"),
    Mutant("no probes", GradientLimit, "_hold", "if probe < round(self._target):", "if False:"),
    Mutant("a probe for ever", GradientLimit, "_compare", "self._move(elasticity, window)", "pass"),
    Mutant("a window for ever", Window, "complete", "self.count >= SAMPLES_MAX or", "False and"),
)  # fmt: skip
def test_the_model_finds(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_found(GradientLimitModel, mutant, monkeypatch, FEW)
