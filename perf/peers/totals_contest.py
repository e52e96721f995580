"""The aggregation: drop exact duplicates, count and sum by customer and model for hour and month, exactly once."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from tempfile import TemporaryDirectory
from typing import NamedTuple

from perf.harness.outcome import Figures, Sample
from perf.harness.produce import produce
from perf.harness.usage import UsageLog
from perf.peers.catalogue import OURS, python, streams
from perf.peers.contest import RATE, Contest
from perf.peers.program import Work
from perf.peers.totals import Cells, expected

DUPLICATES = 0.01
HOURS = 8
WARMS_UP = 1 / 3


class Setting(NamedTuple):
    """Of Streams: where its stores are, and the milliseconds between its commits."""

    store: str
    commit_ms: int

    def __str__(self) -> str:
        return f"Streams, {self.store}, {self.commit_ms:,} ms"


SETTINGS = (Setting("memory", 1_000), Setting("memory", 100), Setting("rocksdb", 1_000), Setting("rocksdb", 100))
"""The first one was the best so far."""


def totals(contest: Contest, *, keys: int, events: int, must: float, goal: float | None = None) -> None:
    """Ours against Kafka Streams. In a full run each of its settings has a round, and the best goes on."""
    stage, servers = contest.stage, contest.stage.servers
    log = UsageLog(events, keys, duplicates=DUPLICATES, hours=HOURS)
    work = Work(
        bootstrap=servers.bootstrap,
        topic=stage.new_name("totals"),
        group="",
        events=events,
        warm_events=round(events * WARMS_UP),
        broker_pid=servers.broker_pid or 0,
    )
    produce(servers.bootstrap, work.topic, log)
    cells = expected(log)
    what = f"exactly once, {keys:,} keys"
    setting = SETTINGS[0] if stage.quick else _best(contest, what, work, cells)
    variants: dict[str, Callable[[], Figures]] = {OURS.name: partial(_ours, contest, work, cells)}
    variants |= _streams(contest, work, cells, setting)
    contest.compare(what, contest.rounds(what, variants), list(variants), must=must, goal=goal)


def _best(contest: Contest, what: str, work: Work, cells: Cells) -> Setting:
    what = f"{what}, a choice"
    samples: list[Sample] = []
    for setting in SETTINGS:
        samples += contest.rounds(what, _streams(contest, work, cells, setting), rounds=1)
    rates = {each.variant: each.figures[RATE] for each in samples}
    return max(SETTINGS, key=lambda setting: rates.get(f"{what}: {setting}", 0.0))


def _streams(contest: Contest, work: Work, cells: Cells, setting: Setting) -> dict[str, Callable[[], Figures]]:
    """Empty where it cannot run here."""
    name = str(setting)
    command = contest.command(name, partial(streams, setting.store, setting.commit_ms))
    return {} if command is None else {name: partial(_theirs, contest, name, command, work, cells)}


def _theirs(contest: Contest, name: str, command: list[str], work: Work, cells: Cells) -> Figures:
    with TemporaryDirectory(prefix="keylane-streams-") as folder:
        return contest.sample(name, [*command, f"folder={folder}"], work.of_group(contest.stage.new_name("s")), cells)


def _ours(contest: Contest, work: Work, cells: Cells) -> Figures:
    servers = contest.stage.servers
    state = replace(work, redis_url=servers.redis_url, state_pid=servers.redis_pid or 0)
    command = python("keylane_totals")
    return contest.sample(OURS.name, command, state.of_group(contest.stage.new_name("k")), cells)
