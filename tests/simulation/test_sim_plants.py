"""Every planted bug is found: by the history that was written for it, or within a few seeds."""

import subprocess
import sys

import pytest

from engine.sim.histories import HISTORIES, run_history
from engine.sim.plants import PLANTS, plant
from engine.sim.world import run_seed

FOUND_WITHIN = 120
"""Seeds; nearly all are found in the first few."""


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_ends_well_without_its_bug(name: str) -> None:
    assert run_history(name) is None


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    with plant(name):
        if name in HISTORIES:
            assert run_history(name) is not None
            return
        assert any(run_seed(seed).problem is not None for seed in range(FOUND_WITHIN)), "nothing was found"


def test_what_was_planted_is_taken_out_again() -> None:
    with plant("holes"):
        assert run_seed(0).problem is not None
    assert run_seed(0).problem is None


def test_the_command_finds_a_planted_bug_and_says_how_to_see_it_again() -> None:
    found = _command("--seeds", "0:3", "--plant", "skip", "--jobs", "1")
    lines = found.stdout.splitlines()
    assert found.returncode == 1
    assert lines[-1].startswith("seeds ")
    assert ", failures 1, first failing seed " in lines[-1]
    assert any(line.startswith("again: python -m engine.sim --seeds ") and "--plant skip" in line for line in lines)
    assert any(line.startswith("it fails with ") for line in lines)


def test_the_command_lists_what_can_be_planted() -> None:
    assert _command("--plant", "list").stdout.splitlines() == list(PLANTS)


def test_the_command_succeeds_without_a_bug() -> None:
    found = _command("--seeds", "3:5", "--jobs", "2")
    assert (found.returncode, found.stdout.splitlines()[-1]) == (0, "seeds 2, failures 0, first failing seed -")


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.sim", *arguments], capture_output=True, text=True, check=False, timeout=100
    )
