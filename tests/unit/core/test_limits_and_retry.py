"""Limits and retries, by example. The model of what is in flight is in `tests/property/test_core_limits.py`."""

import pytest

from engine.core.limits import TRICKLE, InFlight
from engine.core.retry import retry_delay_s


def test_full_at_either_limit_and_open_again_only_at_half_of_both() -> None:
    limit = InFlight(10, 1_000)
    limit.add(9, 100)
    assert (limit.full, limit.room()) == (False, 1)
    limit.add(1, 100)
    assert (limit.full, limit.room()) == (True, 0)
    assert not limit.remove(4, 0)
    assert limit.full, "six of ten are still in flight"
    assert limit.remove(1, 0)
    assert not limit.full


def test_bytes_fill_it_too() -> None:
    limit = InFlight(10, 1_000)
    limit.add(1, 1_000)
    assert limit.full
    assert limit.remove(1, 1_000)


def test_a_fetch_may_ask_for_what_is_left_of_the_bytes_but_never_trickles() -> None:
    limit = InFlight(10, 1_000)
    assert limit.room_bytes() == 1_000
    limit.add(1, 600)
    assert limit.room_bytes() == 400
    limit.add(1, 399)
    assert limit.room_bytes() == 1_000 // TRICKLE, "one byte is left"
    limit.add(1, 1)
    assert limit.room_bytes() == 0, "it is full"


@pytest.mark.parametrize(("attempt", "longest_s"), [(1, 0.1), (2, 0.2), (5, 1.6), (12, 30.0), (10_000, 30.0)])
def test_the_longest_delay_doubles_up_to_a_cap(attempt: int, longest_s: float) -> None:
    assert retry_delay_s(attempt, base_s=0.1, cap_s=30, chance=0.0) == 0
    assert retry_delay_s(attempt, base_s=0.1, cap_s=30, chance=0.5) == pytest.approx(longest_s / 2)
