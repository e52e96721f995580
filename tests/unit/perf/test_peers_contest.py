"""Ours against others: a peer that fails is left out and said, ours is not forgiven, and the bar is for the fastest."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from rich.console import Console
from rich.progress import Progress

from perf.harness.checks import CheckFailed
from perf.harness.outcome import Figures
from perf.harness.servers import Servers
from perf.harness.stage import Stage
from perf.peers import launch
from perf.peers.catalogue import LIFTS, OURS, POINTS
from perf.peers.contest import Contest
from perf.peers.environment import Missing
from perf.peers.outcome import PeerFailed
from perf.peers.program import Work
from perf.scenarios import peers as scenario

WORK = Work(bootstrap="h:1", topic="t", group="g", events=4, warm_events=1)


def stage_on(kafka: str = "apache") -> Stage:
    servers = Servers(kafka, "h:1", "redis://h:2", None, None)
    return Stage(servers, quick=True, rounds=2, progress=Progress(console=Console(quiet=True)), scenario="peers")


@pytest.fixture
def contest() -> Contest:
    return Contest(stage_on(), "ours")


def rate(*values: float) -> Callable[[], Figures]:
    """A variant: one value a round."""
    left = iter(values)
    return lambda: {"events_per_s": (value := next(left)), "all_us": 1e6 / value}


def test_the_bar_is_against_the_fastest_and_who_is_ahead_is_said(contest: Contest) -> None:
    names = ["ours", "slow", "fast"]
    samples = contest.rounds("w", {"ours": rate(50, 60), "slow": rate(25, 20), "fast": rate(100, 100)})

    contest.compare("w", samples, names, must=1.0)

    (bar,) = contest.bars
    assert (bar.name, bar.value, bar.reached) == ("w, to fast", 0.55, False)
    assert [note for note in contest.notes if "is ahead" in note] == [
        "w: fast is ahead, ours does 0.55 × its events, each with 1.83 × its processor time"
    ]
    rates = {each.name: each.values for each in contest.ratios if each.figure == "events_per_s"}
    assert rates == {"w, to slow": [2.0, 3.0], "w, to fast": [0.5, 0.6]}


def test_rounds_that_a_peer_failed_are_left_out(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[Exception | Figures] = iter(
        [CheckFailed("of 4 events: 1 lost"), {"events_per_s": 10.0, "all_us": 1.0}]
    )

    def run(command: Sequence[str], work: Work, expected: object) -> Figures:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(launch, "run", run)
    variants = {"ours": rate(30, 40), "peer": lambda: contest.sample("peer", ["x"], WORK)}
    samples = contest.rounds("w", variants)
    contest.compare("w", samples, list(variants), must=1.0)

    assert [bar.value for bar in contest.bars] == [4.0]
    assert contest.notes == ["a sample of peer was left out: of 4 events: 1 lost"]


@pytest.mark.parametrize("failure", [CheckFailed("1 lost"), PeerFailed("killed")])
def test_ours_is_not_forgiven(contest: Contest, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def run(*_: object) -> Figures:
        raise failure

    monkeypatch.setattr(launch, "run", run)
    with pytest.raises(type(failure)):
        contest.sample("ours", ["x"], WORK)


def test_without_any_peer_there_is_no_bar(contest: Contest) -> None:
    samples = contest.rounds("w", {"ours": rate(1, 1), "peer": dict})

    contest.compare("w", samples, ["ours", "peer"], must=1.0)

    assert contest.bars == []
    assert len(samples) == 2


def test_a_missing_peer_is_said_once(contest: Contest) -> None:
    def start() -> list[str]:
        raise Missing("mvn is not installed")

    assert contest.command("peer", start) is None
    assert contest.command("peer", start) is None
    assert contest.notes == ["peer was left out: mvn is not installed"]


def test_on_the_embedded_broker_nothing_is_measured() -> None:
    findings = scenario.measure(stage_on("embedded"))

    assert findings.samples == []
    assert findings.notes == [scenario.FOREIGN]


def test_ours_and_every_concurrent_peer_run_at_every_point() -> None:
    concurrent = [peer for peer in (OURS, *LIFTS) if peer.name != "aiokafka, sequential"]
    assert len(concurrent) == 5
    assert [peer.name for peer in concurrent if set(peer.rates) != set(POINTS)] == []
