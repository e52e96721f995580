"""Every checker sees its fault, and none where there is none."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.sim.broker import SimulatedEvent
from engine.testing.guarantees import NO_HASH, Guarantees, HashChain, link
from engine.testing.journal import Journal, Occurrence, read_journals

Step = tuple[str, str] | tuple[str, str, int]
LOG = [(0, offset) for offset in range(3)]
WHOLE: list[Step] = [(what, "a", offset) for offset in range(3) for what in ("started", "done")]


def story(steps: Sequence[Step]) -> Guarantees:
    guarantees = Guarantees()
    for number, (what, worker, *offset) in enumerate(steps):
        place = {"partition": 0, "offset": offset[0], "key": b"k"} if offset else {}
        guarantees.see(Occurrence(float(number), worker, what, **place))  # type: ignore[arg-type]
    return guarantees


FAULTS: dict[str, tuple[list[Step], str]] = {
    "lost": (WHOLE[:2] + WHOLE[4:], "offset 1 of partition 0 took no effect"),
    "never done": (WHOLE[:-1], "offset 2 of partition 0 took no effect"),
    "not in the log": ([*WHOLE, ("started", "a", 7), ("done", "a", 7)], "offset 7 of partition 0 took effect and is"),
    "swapped": (
        WHOLE[2:4] + WHOLE[:2] + WHOLE[4:],
        "offset 0 of lane (0, b'k') took effect for the first time after 1",
    ),
    "started again": ([*WHOLE, ("started", "a", 2), ("done", "a", 2)], "a started offset 2 of lane (0, b'k') after 2"),
    "two in a worker": (
        [("started", "a", 0), ("started", "a", 1), ("done", "a", 0), ("done", "a", 1), *WHOLE[4:]],
        "a started offset 1 of lane (0, b'k') while it ran 0",
    ),
    "two workers": (
        [("started", "a", 0), ("started", "b", 0), ("done", "a", 0), ("done", "b", 0), *WHOLE[2:]],
        "b started offset 0 of lane (0, b'k') while a ran 0",
    ),
    "two workers, one was fenced before": (
        [("paused", "a"), ("assigned", "a"), ("started", "a", 0), ("started", "b", 0), ("done", "b", 0), *WHOLE[1:]],
        "b started offset 0 of lane (0, b'k') while a ran 0",
    ),
    "a paused worker alone is not excused": (
        [("paused", "a"), ("started", "a", 0), ("started", "a", 1), ("done", "a", 0), ("done", "a", 1), *WHOLE[4:]],
        "a started offset 1 of lane (0, b'k') while it ran 0",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(name: str) -> None:
    steps, told = FAULTS[name]
    assert any(fault.startswith(told) for fault in story(steps).faults(LOG)), story(steps).faults(LOG)


GOOD: dict[str, list[Step]] = {
    "plain": WHOLE,
    "retried": [("started", "a", 0), ("failed", "a", 0), *WHOLE],
    "repeated by the next owner": [*WHOLE, ("assigned", "b"), ("started", "b", 1), ("done", "b", 1)],
    "repeated after an assignment": [*WHOLE, ("assigned", "a"), ("started", "a", 0), ("done", "a", 0)],
    "killed while it ran": [("started", "a", 0), ("died", "a"), ("started", "b", 0), ("done", "b", 0), *WHOLE[2:]],
    "woke up as a zombie": [
        ("started", "a", 0), ("paused", "a"), ("started", "b", 0), ("done", "a", 0), ("started", "a", 1),
        ("done", "b", 0), ("started", "b", 1), ("done", "a", 1), ("done", "b", 1), ("assigned", "a"), *WHOLE[4:],
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_what_is_allowed_is_no_fault(name: str) -> None:
    guarantees = story(GOOD[name])
    assert guarantees.faults(LOG) == []
    assert guarantees.at_least_once.missing([*LOG, (0, 3)]) == [(0, 3)]


def chain(events: Sequence[tuple[int, bytes]]) -> HashChain:
    chain = HashChain()
    for offset, payload in events:
        chain.apply(0, b"k", offset, payload)
    return chain


def test_the_chain_skips_what_it_has_and_names_the_lane_that_differs() -> None:
    whole = [(0, b"x"), (3, b"y"), (4, b"x")]
    log = chain(whole)
    assert log.links[0, b"k"][0] == 4
    assert log.differences(chain([*whole[:2], *whole]).links) == []
    for wrong in (whole[:2], [whole[0], whole[2]], [whole[0], (3, b"z"), whole[2]], []):
        assert len(log.differences(chain(wrong).links)) == 1
    twice = link(link(link(NO_HASH, 0, b"x"), 0, b"x"), 3, b"y")
    assert len(log.differences({(0, b"k"): (4, link(twice, 4, b"x"))})) == 1


def test_a_link_is_what_a_script_of_redis_makes() -> None:
    inner = hashlib.sha1(b"payload").hexdigest()
    assert link(NO_HASH, 12, b"payload") == hashlib.sha1(f"{NO_HASH}:12:{inner}".encode()).hexdigest()


def test_a_journal_comes_back_without_its_torn_end(tmp_path: Path) -> None:
    event = SimulatedEvent("t", 3, 17, 0, b"\x00\tk\n", b"v")
    with Journal(tmp_path / "a") as first, Journal(tmp_path / "b") as second:
        first.assigned({3, 1})
        first.started(event)
        second.warned("two\nlines\tand a tab")
        first.done(event)
        first.failed(event)
        first.revoked([])
        second.ended()
    with (tmp_path / "b").open("ab") as torn:
        torn.write(b"12.5\tsta")
    found = read_journals({"a": tmp_path / "a", "b": tmp_path / "b"})
    assert [(each.worker, each.what) for each in found] == [
        *[("a", "assigned"), ("a", "started"), ("b", "warned"), ("a", "done"), ("a", "failed"), ("a", "revoked")],
        ("b", "ended"),
    ]
    assert found[0].partitions == {1, 3}
    assert found[1].lane == (3, b"\x00\tk\n")
    assert found[1].offset == 17
    assert found[2].text == "two lines and a tab"
    (tmp_path / "b").write_bytes(b"1.0\tslept\n")
    with pytest.raises(ValueError, match="slept"):
        read_journals({"b": tmp_path / "b"})
