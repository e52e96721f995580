"""An open loop's schedule does not move, whatever comes back."""

from itertools import pairwise

import pytest

from perf.harness.open_loop import LATE_MAX_MS, Schedule, lateness_note
from perf.harness.usage import UsageLog

START_US = 1_800_000_000_000_000


def test_records_are_due_evenly_from_the_start_on() -> None:
    schedule = Schedule(START_US, 4_000)

    due_us = [schedule.intended_us(number) for number in range(100)]

    assert due_us[0] == START_US
    assert {after - before for before, after in pairwise(due_us)} == {250}


@pytest.mark.parametrize("events_per_s", [1, 3, 999, 5_000, 12_345.6])
def test_a_record_is_due_from_its_time_on_and_not_before(events_per_s: float) -> None:
    schedule = Schedule(START_US, events_per_s)

    for number in range(0, 20_000, 613):
        due_us = schedule.intended_us(number)
        assert schedule.due(due_us + 1) >= number + 1
        assert schedule.due(due_us - 2) <= number


def test_nothing_is_due_before_the_start() -> None:
    assert Schedule(START_US, 1_000_000).due(START_US - 1) == 0


def test_the_warm_up_is_not_judged() -> None:
    assert Schedule(START_US, 100, warm_s=2.5).judged_from_us == START_US + 2_500_000


def test_a_late_load_says_so() -> None:
    assert "itself was late" in lateness_note(LATE_MAX_MS + 1)
    assert "itself was late" not in lateness_note(LATE_MAX_MS)


def test_a_hot_key_gets_its_share_and_the_others_stay_even() -> None:
    keys = [key for key, _ in UsageLog(20_000, 100, hot=0.9).records()]

    assert 0.89 < keys.count(b"customer-0") / len(keys) < 0.91
    others = [keys.count(b"customer-%d" % number) for number in range(1, 100)]
    assert 5 < min(others) <= max(others) < 50
