"""Slopes are bytes for one more, and a handler's gate knows what came how often."""

from statistics import StatisticsError
from typing import NamedTuple, cast

import pytest

from engine import Event
from perf.harness.checks import CheckFailed
from perf.harness.footprint import Gate, slope


class Numbered(NamedTuple):
    offset: int


def test_what_is_there_once_falls_out_of_a_slope() -> None:
    once = 50_000_000
    assert slope([10.0, 20.0, 40.0], [once + 10 * 700, once + 20 * 700, once + 40 * 700]) == pytest.approx(700)


def test_one_point_has_no_slope() -> None:
    with pytest.raises(StatisticsError):
        slope([10.0], [7_000.0])


@pytest.mark.parametrize(
    ("offsets", "committed", "wrong"),
    [([0, 1, 2], 3, None), ([0, 2], 3, "1 of 3"), ([0, 1, 1, 2], 3, "1 of 3"), ([0, 1, 2], 2, "2 are committed")],
    ids=["once each", "one is lost", "one is doubled", "not all is committed"],
)
async def test_every_event_is_handled_once(offsets: list[int], committed: int, wrong: str | None) -> None:
    gate = Gate(3)
    gate.open()
    for offset in offsets:
        await gate.handle(cast("Event", Numbered(offset)))

    assert gate.handled == len(offsets)
    if wrong is None:
        gate.check(committed)
        return
    with pytest.raises(CheckFailed, match=wrong):
        gate.check(committed)
