"""The whole engine in virtual time, with every fault: what must hold holds in every seed, and the faults do happen."""

import pytest

from engine.sim.plan import FAULTS, KINDS
from engine.sim.seeds import run_seeds

SEEDS = 500
ALSO = (
    "writes lost", "demoted primary", "writes to a demoted primary", "libraries loaded", "lagging partition",
    "partitions added", "duplicates", "identities deleted", "failed handlers", "refused, rollback",
    "refused, other owner", "failovers out of spite",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_event_counts_once_whatever_happens() -> None:
    verdict = run_seeds(range(SEEDS), jobs=2)
    print(verdict.last_line, dict(verdict.happened))
    assert verdict.failing == []
    for fault in (*KINDS, *ALSO):
        assert verdict.happened[fault] >= SEEDS / 50, f"hardly any {fault}: the simulation proves less than it says"
    assert sum(verdict.happened[kind] for kind in KINDS) == SEEDS * FAULTS
    assert verdict.happened["events"] >= 150 * SEEDS
