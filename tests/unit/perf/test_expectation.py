"""What is expected of a sample of customers is what the logs say of them, however many segments there were."""

import pytest

from perf.harness.expectation import Expectation
from perf.harness.usage import UsageLog


def test_segments_add_up_to_what_the_logs_say_together() -> None:
    logs = [UsageLog(300, 20, seed=1, each_once=False), UsageLog(200, 20, seed=2, zipf=1.1)]
    expected = Expectation(20)
    for log in logs:
        expected.add(log)

    wanted: dict[bytes, dict[tuple[int, str], int]] = {}
    for log in logs:
        for key, cells in log.cells().items():
            for place, number in cells.items():
                mine = wanted.setdefault(key, {})
                mine[place] = mine.get(place, 0) + number
    assert expected.cells == wanted
    assert expected.events == 500


def test_of_many_customers_some_are_followed_the_heaviest_among_them() -> None:
    expected = Expectation(1_000, sampled_max=10)

    expected.add(UsageLog(1_000, 1_000, each_once=True))

    assert list(expected.cells) == [b"customer-%d" % number for number in range(0, 1_000, 100)]
    assert expected.events == 1_000


def test_a_log_with_duplicates_is_refused() -> None:
    with pytest.raises(ValueError, match="duplicates"):
        Expectation(10).add(UsageLog(10, 10, duplicates=0.1))
