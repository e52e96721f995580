"""Faults planted on purpose: a model that does not find them proves nothing.

A mutant is one line of a function (or one constant) that is replaced while the model runs, always with the same
examples.
"""

import inspect
import struct
import textwrap
from types import ModuleType
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from engine.errors import EngineError

SAME_EXAMPLES = settings(
    max_examples=100,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


Model = type[RuleBasedStateMachine]
FOUND = (
    *(AssertionError, LookupError, TypeError, ValueError, ArithmeticError, struct.error),
    *(EngineError, pytest.fail.Exception),
)
"""What a model fails with: what it asserts, or what breaks on the way."""


class Mutant(NamedTuple):
    """`old` becomes `new` in the source of `owner.name`."""

    what: str
    owner: type | ModuleType
    name: str
    old: str
    new: str

    def plant(self, patch: pytest.MonkeyPatch) -> None:
        member = inspect.getattr_static(self.owner, self.name)
        if isinstance(member, property):
            member = member.fget
        function = getattr(member, "__func__", member)
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.old) == 1, f"{self.old!r} does not stand once in {self.name}"
        made: dict[str, object] = {}
        code = compile(source.replace(self.old, self.new), f"<{self.what}>", "exec")
        exec(code, function.__globals__, made)
        patch.setattr(self.owner, self.name, made[self.name])


def each(*mutants: Mutant) -> pytest.MarkDecorator:
    """One test a mutant."""
    return pytest.mark.parametrize("mutant", mutants, ids=[mutant.what.replace(" ", "-") for mutant in mutants])


def check(model: Model, examples: settings = SAME_EXAMPLES) -> None:
    """Run the model on the examples that the mutants get."""
    run_state_machine_as_test(model, settings=examples)


def assert_fails(model: Model, examples: settings = SAME_EXAMPLES) -> None:
    """Asserts that it does."""
    with pytest.raises(FOUND):
        check(model, examples)


def assert_found(model: Model, mutant: Mutant, patch: pytest.MonkeyPatch, examples: settings = SAME_EXAMPLES) -> None:
    """The model fails with the mutant. That it passes without is a test of its own."""
    mutant.plant(patch)
    assert_fails(model, examples)
