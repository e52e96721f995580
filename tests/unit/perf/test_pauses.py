"""What a turn of the group cost, told from when events were seen."""

from perf.harness.pauses import Turn, latencies_before_s, pauses
from perf.harness.sightings import Sighting

MS = 1_000
BEFORE = {0: "one", 1: "two", 2: "three"}
AFTER = {0: "one", 1: "one", 2: "two"}
LEAVE = Turn("leave", "three", 1_000 * MS, 2_000 * MS, BEFORE, AFTER)


def seen(partition: int, *times_ms: tuple[int, int]) -> list[Sighting[tuple[int, int]]]:
    return [Sighting((0, partition), due * MS, at * MS) for due, at in times_ms]


def test_partitions_that_stay_are_told_from_those_that_move() -> None:
    found = [
        *seen(0, (900, 910), (1_000, 1_300), (1_290, 1_310)),
        *seen(1, (900, 905), (1_100, 1_600)),
        *seen(2, (990, 1_900), (1_000, 1_910)),
    ]

    figures = pauses(found, [LEAVE])

    assert figures == {
        "leave_stayed_ms": 300,
        "leave_stayed_gap_ms": 390,
        "leave_moved_ms": 910,
        "leave_moved_gap_ms": 695,
    }


def test_an_event_belongs_to_the_turn_in_which_it_is_seen() -> None:
    join = Turn("join", "three", 2_000 * MS, 3_000 * MS, AFTER, BEFORE)
    found = seen(0, (995, 1_005), (1_990, 2_700), (2_950, 3_400))

    figures = pauses(found, [LEAVE, join])

    assert figures["leave_stayed_ms"] == 10
    assert figures["join_stayed_ms"] == 710


def test_the_partitions_of_a_worker_that_comes_back_have_not_stayed() -> None:
    restart = Turn("restart", "three", 1_000 * MS, 2_000 * MS, BEFORE, BEFORE)

    figures = pauses([*seen(0, (1_000, 1_004)), *seen(2, (1_000, 1_700))], [restart])

    assert figures["restart_stayed_ms"] == 4
    assert figures["restart_moved_ms"] == 700


def test_where_nothing_stays_there_is_no_figure() -> None:
    turn = Turn("leave", "three", 1_000 * MS, 2_000 * MS, {0: "three"}, {0: "one"})

    assert set(pauses(seen(0, (1_000, 1_004)), [turn])) == {"leave_moved_ms", "leave_moved_gap_ms"}


def test_before_the_first_turn_it_is_steady() -> None:
    found = seen(0, (100, 130), (400, 405), (990, 1_020))

    assert latencies_before_s(found, LEAVE, from_us=200 * MS) == [0.005]
