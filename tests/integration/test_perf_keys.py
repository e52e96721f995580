"""`perf keys` and `perf recover` with a few customers: figures come out, and none of a state that was damaged."""

import pytest

from perf.harness.checks import CheckFailed
from perf.harness.resident import BUCKETS, Resident
from perf.harness.stage import Stage
from perf.scenarios import keys, recover
from tests.integration.small_stage import in_process, lose_a_cell, small_stage

CUSTOMERS = 50
EVENTS = 300
SEGMENT_EVENTS = 20_000
"""Of which something is left after the warm-up, however fast it goes."""


@pytest.fixture
def stage(kafka_embedded: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr("perf.harness.produce.isolated", in_process)
    return small_stage(kafka_embedded, redis_url, "keys")


def damage(resident: Resident) -> None:
    lose_a_cell(resident.servers.redis_url, resident.group, b"customer-0", BUCKETS)


def test_figures_by_the_number_of_customers(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "SIZES_QUICK", (10, CUSTOMERS))
    monkeypatch.setattr(keys, "EVENTS_QUICK", SEGMENT_EVENTS)

    found = keys.measure(stage)

    assert [each.variant for each in found.samples] == ["10 uniform", "50 uniform", "50 Zipf"]
    assert all(0 < each.figures["events"] <= SEGMENT_EVENTS for each in found.samples)
    assert all(each.values[0] > 0 for each in found.ratios)
    assert not found.bars, "they are over a million customers"


def test_a_damaged_state_has_no_figure_of_keys(stage: Stage) -> None:
    resident = Resident.filled(stage, CUSTOMERS)
    keys.sample(stage, resident, EVENTS, keys.ZIPF)
    assert resident.expected.events == CUSTOMERS + EVENTS
    damage(resident)

    with pytest.raises(CheckFailed, match="customer-0"):
        keys.sample(stage, resident, EVENTS)


def test_a_restart_is_timed_and_a_damaged_state_has_no_figure(stage: Stage) -> None:
    resident = Resident.filled(stage, CUSTOMERS)

    figures = recover.sample(stage, resident, 2)

    assert 0 < figures["begin_ms"] < figures["commit_ms"]
    damage(resident)
    with pytest.raises(CheckFailed, match="customer-0"):
        recover.sample(stage, resident, 1)
