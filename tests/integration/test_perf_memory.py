"""`perf memory` with few of everything: figures come out, and none of a state that was damaged."""

from collections.abc import Awaitable
from typing import Any

import pytest

from engine.config import EngineConfig
from perf.harness.checks import CheckFailed
from perf.harness.expectation import Expectation
from perf.harness.resident import check_expected
from perf.harness.stage import Stage
from perf.scenarios import memory
from tests.integration.small_stage import in_process, lose_a_cell, small_stage

POINTS = (1, 6_000)
"""Further apart than two fetches bring."""


@pytest.fixture
def stage(kafka_embedded: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr("perf.harness.produce.isolated", in_process)
    monkeypatch.setattr(memory, "CELL_EVENTS_QUICK", 1_000)
    for points in ("OPEN", "CUSTOMER", "IDENTITY"):
        monkeypatch.setattr(memory, f"{points}_POINTS_QUICK", POINTS)
    return small_stage(kafka_embedded, redis_url, "memory")


def test_figures_of_everything(stage: Stage) -> None:
    found = memory.measure(stage)

    figures = {each.variant: each.figures for each in found.samples}
    assert list(figures) == [memory.IN_FLIGHT, memory.BEHIND_OTHERS, memory.CUSTOMER, memory.CELL, memory.IDENTITY]
    assert figures[memory.CUSTOMER]["redis_bytes"] > figures[memory.CELL]["redis_bytes"] > 0
    assert figures[memory.IDENTITY]["redis_bytes"] > 16, "so many bytes it has"
    assert {bar.name for bar in found.bars} == {"an identity, up to 6,000", "an event in flight"}


def test_a_damaged_state_has_no_figure(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def damage_and_check(redis_url: str, group: str, expected: Expectation) -> Awaitable[Any]:
        lose_a_cell(redis_url, group, b"customer-0", EngineConfig().buckets)
        return check_expected(redis_url, group, expected)

    monkeypatch.setattr(memory, "check_expected", damage_and_check)
    produced = memory._produced(stage, POINTS, each_once=True)

    with pytest.raises(CheckFailed, match="customer-0"):
        memory.customer(stage, produced, POINTS)
