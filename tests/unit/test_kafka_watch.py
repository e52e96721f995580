"""When a consumer is taken for hanging, and when not."""

from collections.abc import Mapping

import pytest

from engine.adapters.kafka_watch import StallWatch
from engine.errors import Unanswered

STALL_S = 10.0


class Servers:
    """Tells one end for all partitions and counts the questions; None: no answer."""

    def __init__(self, end: int | None) -> None:
        self.end = end
        self.asked: list[Mapping[int, int]] = []

    async def stable_ends(self, positions: Mapping[int, int]) -> Mapping[int, int]:
        self.asked.append(positions)
        if self.end is None:
            raise Unanswered("away")
        return dict.fromkeys(positions, self.end)


async def looks(servers: Servers, positions: list[Mapping[int, int]], step_s: float = 1.0) -> list[int | None]:
    """At which look which partition was said to hang first."""
    watch = StallWatch(servers.stable_ends, stall_s=STALL_S)
    found: list[int | None] = []
    for number, each in enumerate(positions):
        try:
            hanging = await watch.look(each, number * step_s)
        except Unanswered:
            hanging = []
        found.append(min(hanging, default=None))
    return found


async def test_a_partition_that_stands_still_behind_its_log_hangs() -> None:
    servers = Servers(end=8)
    found = await looks(servers, [{0: 7, 1: 8}] * 12)
    assert found == [None] * 10 + [0, None]
    assert len(servers.asked) == 2


async def test_one_that_moves_or_is_at_the_end_does_not() -> None:
    assert set(await looks(Servers(end=100), [{0: number // 4} for number in range(60)])) == {None}
    assert set(await looks(Servers(end=7), [{0: 7}] * 60)) == {None}


async def test_one_that_is_not_fetched_all_the_time_does_not() -> None:
    positions: list[Mapping[int, int]] = [{0: 7} if number % 8 else {} for number in range(60)]
    assert set(await looks(Servers(end=8), positions)) == {None}


async def test_events_that_have_just_come_are_no_sign() -> None:
    servers = Servers(end=7)
    watch = StallWatch(servers.stable_ends, stall_s=STALL_S)
    assert await watch.look({0: 7}, 0.0) == ()
    servers.end = 8
    assert await watch.look({0: 7}, 600.0) == [], "seen for the first time, after however long a pause"
    assert await watch.look({0: 8}, 601.0) == ()


@pytest.mark.parametrize("silent", [range(60), range(6, 60), range(8)])
async def test_servers_that_are_away_are_no_sign(silent: range) -> None:
    servers = Servers(end=8)
    watch = StallWatch(servers.stable_ends, stall_s=STALL_S)
    said_s: list[float] = []
    for now_s in range(60):
        servers.end = None if now_s in silent else 8
        try:
            if await watch.look({0: 7}, float(now_s)):
                said_s.append(now_s)
        except Unanswered:
            assert now_s in silent
    assert not set(said_s) & set(silent)
    assert bool(said_s) == (silent.stop == 8)
