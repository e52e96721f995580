"""The programs of the peers, small, on Apache Kafka: each does its work, and one that loses an event has no figure."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from perf.harness.checks import CheckFailed
from perf.harness.produce import produce
from perf.harness.usage import UsageLog
from perf.peers import launch
from perf.peers.catalogue import LIFTS, OURS, Peer, python
from perf.peers.environment import Missing
from perf.peers.program import Work
from perf.peers.totals import expected

EVENTS = 1_500
PEERS = {peer.name: peer for peer in (OURS, *LIFTS)}
NewName = Callable[[str], str]


@pytest.fixture(scope="module")
def lift_work(kafka_apache: str) -> Work:
    topic = f"perf-peers-lift-{os.getpid()}"
    produce(kafka_apache, topic, UsageLog(EVENTS, keys=50))
    return Work(
        bootstrap=kafka_apache, topic=topic, group="", events=EVENTS, warm_events=150, wait_s=0.001, concurrency=20
    )


def command(peer: Peer) -> list[str]:
    """Where it is required nothing may be missing."""
    try:
        return peer.command()
    except Missing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{peer.name}: {missing}")


@pytest.mark.parametrize(
    "name", ["keylane", "aiokafka, gather", "aiokafka, sequential", "pyrallel-consumer", "Parallel Consumer, Vert.x"]
)
def test_a_peer_handles_every_event_once_and_commits(name: str, lift_work: Work, new_name: NewName) -> None:
    figures = launch.run(command(PEERS[name]), lift_work.of_group(new_name("peer")))

    assert figures["events_per_s"] > 0
    assert figures["worker_us"] > 0


@pytest.mark.parametrize("name", ["aiokafka, gather", "Parallel Consumer, Vert.x"])
def test_a_peer_that_loses_an_event_is_refused(name: str, lift_work: Work, new_name: NewName) -> None:
    """It is told of one more than there is: what it never handled is lost, whatever the reason."""
    work = replace(lift_work, group=new_name("loser"), events=EVENTS + 1, idle_s=5.0)

    with pytest.raises(CheckFailed, match=f"of {EVENTS + 1} events: 1 lost; offset {EVENTS} is committed"):
        launch.run(command(PEERS[name]), work)


def test_our_aggregation_must_hold_the_cells_of_its_log(kafka_apache: str, redis_url: str, new_name: NewName) -> None:
    log = UsageLog(30_000, keys=400, duplicates=0.05, hours=3)
    work = Work(
        bootstrap=kafka_apache, topic=new_name("totals"), group=new_name("totals"), events=log.events, warm_events=300,
        redis_url=redis_url,
    )  # fmt: skip
    produce(kafka_apache, work.topic, log)

    launch.run(python("keylane_totals"), work, expected(log))
    with pytest.raises(CheckFailed, match="cells with digest"):
        launch.run(python("keylane_totals"), work.of_group(new_name("again")), expected(log._replace(seed=2)))
