"""What events wait for when the group changes: a worker leaves, joins, crashes, or is restarted as the same member.

Seen from outside: a process reads the progress records of all slices over and over, so a killed worker is seen as well
as a living one.
"""

from functools import partial

from perf.harness.open_loop import lateness_note
from perf.harness.outcome import Figures, Findings, Line, Plot, Sample, median_of, values_of
from perf.harness.regroup import CRASH, JOIN, KEYS, LEAVE, PARTITIONS, RESTART, WORKERS, regroup
from perf.harness.stage import Stage

TITLE = "Rebalance: what events wait for when a worker leaves, joins, crashes or is restarted"
RATE = 1_000
SESSION_S = 45.0
SHORT_SESSION_S = 6.0
DEFAULT = f"session {SESSION_S:g} s"
SHORT = f"session {SHORT_SESSION_S:g} s"
QUICK = f"session {SHORT_SESSION_S:g} s, no crash"
STATIC = f"static members, session {SESSION_S:g} s"
TURNS = {DEFAULT: (LEAVE, JOIN), SHORT: (LEAVE, JOIN, CRASH), QUICK: (LEAVE, JOIN), STATIC: (RESTART,)}
SESSIONS_S = {DEFAULT: SESSION_S, SHORT: SHORT_SESSION_S, QUICK: SHORT_SESSION_S, STATIC: SESSION_S}
KINDS = ("stayed", "moved")
EAGER_NOTE = (
    "aiokafka knows eager rebalancing only: in every rebalance all partitions are given up and handed out again, so "
    "those that stay with their worker pause too. stayed: partitions of a worker that did nothing; moved: all others."
)
MEASURE_NOTE = (
    "ms: the greatest time from an event's intended send time until another process saw it counted; gap: the longest "
    "time in which nothing of a partition was. A join begins with the start of a process, a restart with the end of "
    "one: then its start, and mostly its imports, are a part of what the events of its partitions wait for."
)
HEARTBEAT_NOTE = (
    "A worker learns by its next heartbeat that another one left or came; heartbeats come ten times a session, and "
    "at least once a second. After a crash nobody knows of it before the session is over."
)
STATIC_NOTE = (
    "With `ENGINE_INSTANCE_ID` a worker that is back within the session gets its partitions again, and no other one "
    "notices: so a rolling restart moves nothing."
)
CHECK_NOTE = "Every event was counted once: all cells and totals were compared with what was sent."


def measure(stage: Stage) -> Findings:
    samples = stage.interleaved({name: partial(_sample, stage, name) for name in variants_of(stage)})
    late_ms = max(each.figures["late_p99_ms"] for each in samples)
    return Findings(
        configuration={
            "events_per_s": RATE,
            "keys": KEYS,
            "partitions": PARTITIONS,
            "workers": len(WORKERS),
            "session_s": SESSION_S,
            "session_s, short": SHORT_SESSION_S,
        },
        samples=samples,
        plots=[plot_of(samples)],
        notes=[EAGER_NOTE, MEASURE_NOTE, HEARTBEAT_NOTE, STATIC_NOTE, CHECK_NOTE, lateness_note(late_ms)],
    )


def variants_of(stage: Stage) -> list[str]:
    """The embedded broker hands partitions out only after half a session, so there it is a short one."""
    if stage.quick:
        return [QUICK]
    return [SHORT] if stage.servers.kafka == "embedded" else [DEFAULT, SHORT, STATIC]


def plot_of(samples: list[Sample]) -> Plot:
    """The greatest wait of each kind, partitions that stayed beside those that did not."""
    variants = dict.fromkeys(each.variant for each in samples)
    places = [(variant, turn) for variant in variants for turn in TURNS[variant]]
    lines = []
    for kind in KINDS:
        rounds = [values_of(samples, variant, f"{turn}_{kind}_ms") for variant, turn in places]
        known = [place for place, values in enumerate(rounds) if values]
        y = [median_of(samples, places[place][0], f"{places[place][1]}_{kind}_ms") for place in known]
        low, high = ([end(rounds[place]) for place in known] for end in (min, max))
        lines.append(Line(kind, [float(place) for place in known], y, low, high))
    labels = [f"{turn}, {variant}" for variant, turn in places]
    return Plot("waits", "The longest an event waited", "", "ms", lines, categories=labels, log_y=True)


def _sample(stage: Stage, variant: str) -> Figures:
    figures: dict[str, float] = stage.isolated(
        regroup, servers=stage.servers, name=stage.new_name("log"), events_per_s=RATE, turns=TURNS[variant],
        session_s=SESSIONS_S[variant], static=variant == STATIC,
    )  # fmt: skip
    return figures
