"""The same work through other systems, in the same rounds: lifting many waits, and aggregating exactly once."""

from perf.harness.figures import spread_of
from perf.harness.outcome import Findings, Line, Plot, values_of
from perf.harness.stage import Stage
from perf.peers.catalogue import LIFTS, OURS, POINTS
from perf.peers.contest import RATE, Contest
from perf.peers.java import described
from perf.peers.lift_contest import KEYS, lift
from perf.peers.totals_contest import totals

TITLE = "Peers: the same work through other systems"
QUICK_POINTS = (POINTS[1], POINTS[3])
MANY_KEYS = 1_000_000
FOREIGN = "Peers run on Apache Kafka or on a broker that is given, not on the embedded one: nothing was measured."
LIFT = """Lift: read the event, wait, be done; uniform keys in their order, offsets committed when done; each peer with
the settings that served it best, its virtual machine warm."""
ONCE = """Exactly once: 1 % exact duplicates dropped, tokens counted and summed by customer and model for hour and
month, and every cell of every system equals the log. Ours keeps its state in a server, Streams within itself."""
TIMES = "`worker_us` is the processor time of the whole process for one event, `all_us` that of broker and Redis too."


def measure(stage: Stage) -> Findings:
    if stage.servers.kafka == "embedded":
        return Findings(configuration={}, samples=[], notes=[FOREIGN])
    contest = Contest(stage, OURS.name)
    topics: dict[int, str] = {}
    for point in QUICK_POINTS if stage.quick else POINTS:
        lift(contest, point, topics)
    totals(contest, keys=KEYS, events=100_000 if stage.quick else 300_000, must=2.5, goal=4.0)
    totals(contest, keys=MANY_KEYS, events=50_000 if stage.quick else 200_000, must=1.5, goal=3.0)
    return Findings(
        configuration={"keys": KEYS, "many_keys": MANY_KEYS, "partitions": 1, "java": described()},
        samples=contest.samples,
        ratios=contest.ratios,
        bars=contest.bars,
        plots=[_plot(contest)],
        notes=[*(" ".join(note.split()) for note in (LIFT, ONCE, TIMES)), *contest.notes],
    )


def _plot(contest: Contest) -> Plot:
    """Rates of the lift: a group of bars a work point, a bar a peer."""
    points = [f"lift {point}" for point in (QUICK_POINTS if contest.stage.quick else POINTS)]
    lines = []
    for peer in (OURS, *LIFTS):
        rates = [values_of(contest.samples, f"{point}: {peer.name}", RATE) or [0.0] for point in points]
        spreads = [spread_of(each) for each in rates]
        lines.append(
            Line(
                peer.name,
                [float(place) for place in range(len(points))],
                [each.median for each in spreads],
                [each.low for each in spreads],
                [each.high for each in spreads],
            )
        )
    return Plot("lift", "Lift: events/s by wait and concurrency", "", "events/s", lines, categories=points)
