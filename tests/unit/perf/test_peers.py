"""What a peer's program says: read, and refused where an event was lost, doubled, reordered or not committed."""

import json
from dataclasses import replace
from typing import Any

import pytest

from perf.harness.checks import CheckFailed
from perf.harness.usage import UsageLog
from perf.peers.outcome import PeerFailed, read
from perf.peers.program import Tally, Work
from perf.peers.totals import Cells, digest_of, expected

LINE: dict[str, Any] = {
    "events": 1_000,
    "span_events": 900,
    "seconds": 0.5,
    "cpu_s": 0.009,
    "broker_cpu_s": 0.0,
    "state_cpu_s": 0.0,
    "lost": 0,
    "doubled": 0,
    "order_violations": 0,
    "rss_bytes": 50_000_000,
}
CELLS = Cells(2, "ab")


def said(**changes: object) -> str:
    return f"a library's greeting\n{json.dumps(LINE | changes)}\n"


def test_the_last_line_counts() -> None:
    outcome = read(said())
    outcome.check(1_000)
    assert outcome.figures() == pytest.approx(
        {"events_per_s": 1_800.0, "worker_us": 10.0, "all_us": 10.0, "rss_mb": 50.0}
    )


def test_the_time_of_servers_is_told_where_it_is_known() -> None:
    figures = read(said(broker_cpu_s=0.0009, state_cpu_s=0.0018)).figures()
    assert figures["broker_us"] == pytest.approx(1.0)
    assert figures["redis_us"] == pytest.approx(2.0)
    assert figures["all_us"] == pytest.approx(13.0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lost": 1}, "1 lost"),
        ({"doubled": 2}, "2 doubled"),
        ({"order_violations": 3}, "3 out of order"),
        ({"seconds": 0}, "no span"),
        ({"span_events": 0}, "no span"),
    ],
)
def test_a_peer_that_did_wrong_has_no_figure(changes: dict[str, object], why: str) -> None:
    with pytest.raises(CheckFailed, match=why):
        read(said(**changes)).check(1_000)


@pytest.mark.parametrize("committed", [-1, 999, 1_001])
def test_what_is_not_committed_is_not_done(committed: int) -> None:
    with pytest.raises(CheckFailed, match=f"offset {committed} is committed"):
        read(said()).check(committed)


def test_cells_must_be_those_of_the_log() -> None:
    read(said(cells=2, digest="ab")).check(1_000, CELLS)
    for wrong in ({"cells": 1, "digest": "ab"}, {"cells": 2, "digest": "ac"}, {}):
        with pytest.raises(CheckFailed, match="cells with digest"):
            read(said(**wrong)).check(1_000, CELLS)


@pytest.mark.parametrize("text", ["", "\n", "Killed", "[1]", '{"events": 1}', json.dumps(LINE | {"unknown": 1})])
def test_what_is_no_line_is_said(text: str) -> None:
    with pytest.raises(PeerFailed, match="the program wrote"):
        read(text)


# ---------------------------------------------------------------- what a program is told
WORK = Work(bootstrap="h:1", topic="t", group="g", events=4, warm_events=1)


def test_the_work_survives_the_command_line() -> None:
    given = replace(WORK, wait_s=0.001, concurrency=100, broker_pid=7, redis_url="redis://h:2/?a=b")
    assert Work.of(given.arguments()) == given


def test_an_argument_that_is_no_name_is_refused() -> None:
    with pytest.raises(TypeError, match="color"):
        Work.of([*WORK.arguments(), "color=red"])
    with pytest.raises(ValueError, match="many"):
        Work.of([*WORK.arguments(), "events=many"])


# ---------------------------------------------------------------- what a program counts
def handled(*steps: tuple[str, int]) -> dict[str, float]:
    """The line after some steps: the name of a key begins (b) or ends (e) an event."""
    tally = Tally(WORK)
    for step, offset in steps:
        key, what = step[0].encode(), step[1]
        if what == "b":
            tally.begin(key, offset)
        else:
            tally.end(key)
    return tally.line()


def wrongs(line: dict[str, float]) -> tuple[float, float, float]:
    return line["lost"], line["doubled"], line["order_violations"]


def test_keys_may_overlap() -> None:
    line = handled(("ab", 0), ("bb", 1), ("be", 1), ("bb", 3), ("ae", 0), ("ab", 2), ("ae", 2), ("be", 3))
    assert wrongs(line) == (0, 0, 0)
    assert line["seconds"] > 0
    assert (line["events"], line["span_events"]) == (4, 3)


def test_the_events_of_a_key_may_not() -> None:
    assert wrongs(handled(("ab", 0), ("ab", 1), ("ae", 0), ("ae", 1), ("ab", 2), ("ae", 2), ("ab", 3), ("ae", 3))) == (
        0,
        0,
        1,
    )


def test_an_older_event_after_a_newer_one_is_out_of_order() -> None:
    assert wrongs(handled(("ab", 1), ("ae", 1), ("ab", 0), ("ae", 0), ("bb", 2), ("be", 2), ("bb", 3), ("be", 3))) == (
        0,
        0,
        1,
    )


def test_a_doubled_event_does_not_hide_a_lost_one() -> None:
    line = handled(("ab", 0), ("ae", 0), ("ab", 1), ("ae", 1), ("ab", 1), ("ae", 1), ("ab", 3), ("ae", 3))
    assert wrongs(line) == (1, 1, 1)
    assert line["seconds"] == 0


# ---------------------------------------------------------------- what the aggregation must hold
def test_a_duplicate_counts_once_and_a_month_is_the_sum_of_its_hours() -> None:
    with_copies = UsageLog(2_000, 3, duplicates=0.2, hours=2)
    once = dict.fromkeys(with_copies.records())
    assert len(once) < 2_000
    cells = expected(with_copies)
    assert cells.cells == 3 * 4 * 3  # keys, models; two hours and a month
    assert cells != expected(UsageLog(2_000, 3, seed=2, duplicates=0.2, hours=2))
    assert cells == expected(with_copies)


def test_the_digest_is_that_of_the_sorted_lines() -> None:
    assert digest_of(["b\t1", "a\t2"]) == digest_of(iter(["a\t2", "b\t1"]))
    assert digest_of(["a\t2"]) != digest_of(["a\t1"])
    assert digest_of(["a", "a"]).cells == 2
