"""What a hot key does to everybody else on its partition: nothing, it is hoped.

The others send the same load with and without the hot key, whose events come on top: as many again, or nine times as
many. Judged is what the others' events wait for, from the moment they were due to be sent.
"""

from collections.abc import Sequence
from functools import partial

from perf.harness.open_loop import lateness_note
from perf.harness.outcome import Bar, Figures, Findings, Line, Plot, Ratio, Sample, ratio_of, values_of
from perf.harness.skewed import CONCURRENCY, IN_FLIGHT_MAX, KEYS, LATENCY_S, Load, aggregates, handlers
from perf.harness.stage import Stage

TITLE = "A hot key: what the other keys of its partition wait for"
HANDLERS, AGGREGATES = "handler", "aggregates"
OTHERS_PER_S = {HANDLERS: 500.0, AGGREGATES: 1_000.0}
SHARES = (0.0, 0.5, 0.9)
JUDGED = (0.0, 0.9)
ROUNDS_BETWEEN = 2
"""What has no bar is measured in so many rounds of a full run, and in none of a quick one."""
MUST, GOAL = 2.0, 1.2
SHOWN = {"others_p50_ms": "p50", "others_p99_ms": "p99", "others_p999_ms": "p99.9"}


def name_of(kind: str, hot: float) -> str:
    return f"{kind}, {f'hot key with {hot:.0%}' if hot else 'no hot key'}"


def measure(stage: Stage) -> Findings:
    seconds = 3.0 if stage.quick else 7.0
    between = [] if stage.quick else [hot for hot in SHARES if hot not in JUDGED]
    judged, others = [
        {
            name_of(kind, hot): partial(_sample, stage, kind, Load(OTHERS_PER_S[kind], hot, seconds))
            for kind in OTHERS_PER_S
            for hot in shares
        }
        for shares in (JUDGED, between)
    ]
    samples = stage.interleaved(judged, what="judged")
    samples += stage.interleaved(others, rounds=min(stage.rounds, ROUNDS_BETWEEN), what="between")
    return findings(samples, seconds)


def _sample(stage: Stage, kind: str, load: Load) -> Figures:
    figures: dict[str, float] = stage.isolated(
        handlers if kind == HANDLERS else aggregates, servers=stage.servers, name=stage.new_name("log"), load=load
    )
    return figures


def findings(samples: Sequence[Sample], seconds: float) -> Findings:
    """Everything that follows from the samples."""
    ratios = [_ratio(samples, kind, figure) for kind in OTHERS_PER_S for figure in ("others_p99_ms", "others_p50_ms")]
    return Findings(
        configuration={
            "keys": KEYS, "partitions": 1, "seconds": seconds, "handler_ms": LATENCY_S * 1000,
            "concurrency": CONCURRENCY, "in_flight_max": IN_FLIGHT_MAX,
            **{f"others_per_s_{kind}": rate for kind, rate in OTHERS_PER_S.items()},
        },
        samples=list(samples),
        ratios=ratios,
        bars=[
            Bar(ratio.name, ratio.spread.median, MUST, GOAL, better="lower")
            for ratio in ratios
            if ratio.figure == "others_p99_ms"
        ],
        plots=[_plot(samples, kind) for kind in OTHERS_PER_S],
        notes=_notes(samples),
    )  # fmt: skip


def _ratio(samples: Sequence[Sample], kind: str, figure: str) -> Ratio:
    name = f"{kind}: {SHOWN[figure]} of the others beside a key with {JUDGED[1]:.0%}, times without"
    return ratio_of(samples, name, name_of(kind, JUDGED[1]), name_of(kind, JUDGED[0]), figure)


def _plot(samples: Sequence[Sample], kind: str) -> Plot:
    shares = [hot for hot in SHARES if values_of(samples, name_of(kind, hot), "others_p99_ms")]
    lines = []
    for figure, name in SHOWN.items():
        ordered = [sorted(values_of(samples, name_of(kind, hot), figure)) for hot in shares]
        places = [float(place) for place in range(len(shares))]
        middle = [values[len(values) // 2] for values in ordered]
        lines.append(Line(name, places, middle, low=[each[0] for each in ordered], high=[each[-1] for each in ordered]))
    title = f"Latency of the other keys beside a hot one ({kind})"
    categories = [f"hot key: {hot:.0%}" for hot in shares]
    return Plot(kind, title, "", "ms from the intended send time", lines, categories=categories)


def _notes(samples: Sequence[Sample]) -> list[str]:
    backlog = max((each.figures["backlog"] for each in samples if "backlog" in each.figures), default=0.0)
    late_ms = max(each.figures["late_p99_ms"] for each in samples)
    notes = f"""
        The others send the same number of events a second in every variant; the hot key's come on top. Latencies count
        from the intended send time to the end of the handler, or to the answer of the write.

        A handler of {LATENCY_S * 1000:g} ms takes at most {1 / LATENCY_S:,.0f} events a second of one key, since they
        keep their order. The hot key sends more, so its backlog grows: to {backlog:,.0f} events here. in_flight_max is
        {IN_FLIGHT_MAX:,}, so that it holds them; where it does not, the whole partition waits for that key.

        {lateness_note(late_ms)}
    """
    return [" ".join(note.split()) for note in notes.split("\n\n")]
