"""A seed is a run: the same every time, in every process, and as it was drawn."""

import os
import subprocess
import sys

import pytest

from engine.sim.plan import FAULTS, plan_of
from engine.sim.plants import plant
from engine.sim.seeds import shortened
from engine.sim.world import run_plan, run_seed

DIGESTS = "from engine.sim.world import run_seed; print([run_seed(seed).digest for seed in (3, 4, 5)])"


def test_the_same_seed_gives_the_same_run() -> None:
    once, again = run_seed(7), run_seed(7)
    assert once.digest == again.digest
    assert once.happened == again.happened
    assert run_seed(8).digest != once.digest


def test_hashes_of_this_process_do_not_matter() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGESTS], capture_output=True, text=True, check=True, timeout=100,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "random")
    }  # fmt: skip
    assert len(digests) == 1


def test_a_plan_is_drawn_before_anything_happens() -> None:
    plan = plan_of(5)
    assert plan == plan_of(5)
    assert len(plan.faults) == FAULTS
    assert run_plan(plan).digest == run_seed(5).digest
    assert run_plan(plan.without(3)).digest != run_seed(5).digest


@pytest.mark.parametrize("name", ["skip", "holes"])
def test_a_failing_plan_is_shortened(name: str) -> None:
    with plant(name):
        seed = next(seed for seed in range(20) if run_seed(seed).problem is not None)
        plan, outcome = shortened(seed)
    assert outcome.problem is not None
    assert len(plan.faults) < FAULTS
