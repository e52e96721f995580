"""The lift: many waits at once over one partition, the keys in their order."""

from functools import partial

from perf.harness.outcome import Figures
from perf.harness.produce import produce
from perf.harness.usage import UsageLog
from perf.peers.catalogue import LIFTS, OURS, Peer, Point
from perf.peers.contest import Contest
from perf.peers.program import Work

KEYS = 1_000
SIZES = (200, 500, *(1_000 * size for size in (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300)))
"""Of the logs, so that peers of about the same speed share one."""
WINDOW_S, WINDOW_QUICK_S = 3.0, 1.5
"""About so long a span is measured."""


def lift(contest: Contest, point: Point, topics: dict[int, str]) -> None:
    """All peers at one work point; `topics` by their number of events, made where they are missing."""
    peers = [peer for peer in (OURS, *LIFTS) if point in peer.rates]
    commands = {peer.name: contest.command(peer.name, peer.command) for peer in peers}
    variants = {
        peer.name: partial(_sample, contest, peer.name, command, _work(contest, peer, point, topics))
        for peer in peers
        if (command := commands[peer.name]) is not None
    }
    what = f"lift {point}"
    contest.compare(what, contest.rounds(what, variants), list(variants), must=1.0)


def _sample(contest: Contest, name: str, command: list[str], work: Work) -> Figures:
    return contest.sample(name, command, work.of_group(contest.stage.new_name("group")))


def _work(contest: Contest, peer: Peer, point: Point, topics: dict[int, str]) -> Work:
    window_s = WINDOW_QUICK_S if contest.stage.quick else WINDOW_S
    wanted = peer.rates[point] * window_s / (1 - peer.warms_up)
    events = next((size for size in SIZES if size >= wanted), SIZES[-1])
    servers = contest.stage.servers
    if events not in topics:
        topics[events] = contest.stage.new_name(f"lift-{events}")
        produce(servers.bootstrap, topics[events], UsageLog(events, KEYS))
    return Work(
        bootstrap=servers.bootstrap,
        topic=topics[events],
        group="",
        events=events,
        warm_events=round(events * peer.warms_up),
        wait_s=point.wait_ms / 1_000,
        concurrency=point.concurrency,
        broker_pid=servers.broker_pid or 0,
    )
