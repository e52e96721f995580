"""How fast a backlog burns down with one worker and with two, each a process, on a topic of eight partitions."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from perf.harness.burning import CONCURRENCY, ENOUGH, LATENCY_S, PARTITIONS, Backlog, burn_together
from perf.harness.outcome import Bar, Figures, Findings, Line, Plot, Sample, ratio_of, values_of
from perf.harness.produce import produce
from perf.harness.stage import Stage
from perf.harness.usage import UsageLog

TITLE = "A backlog: two workers against one"
KEYS = 1_000
WORKERS = (1, 2)
HANDLER, COUNTS = "handler", "aggregates"
FULL, FULL_COUNTED = UsageLog(2_000_000, KEYS), UsageLog(600_000, KEYS)
QUICK = UsageLog(100_000, KEYS)
WINDOW_S = 11.0
MUST, GOAL = 1.7, 1.95


def name_of(kind: str, workers: int) -> str:
    return f"{kind}, {workers} worker{'s' if workers > 1 else ''}"


def measure(stage: Stage) -> Findings:
    logs = {HANDLER: QUICK, COUNTS: QUICK} if stage.quick else {HANDLER: FULL, COUNTS: FULL_COUNTED}
    return measured(stage, logs, least_s=1.0 if stage.quick else 10.0, least_events=1_000 if stage.quick else 200_000)


def measured(stage: Stage, logs: Mapping[str, UsageLog], *, least_s: float, least_events: int) -> Findings:
    """The first round burns all of it down. A full run's others take a window of the handler's backlog."""
    topics = {log: stage.new_name("log") for log in dict.fromkeys(logs.values())}
    for log, topic in topics.items():
        produce(stage.servers.bootstrap, topic, log, partitions=PARTITIONS)
    variants = {
        name_of(kind, workers): partial(
            _sample, stage, topics[log],
            Backlog(log, workers, counts=kind == COUNTS, least_s=least_s, least_events=least_events),
        )
        for kind, log in logs.items()
        for workers in WORKERS
    }  # fmt: skip
    samples = stage.interleaved(variants, rounds=1, what="whole")
    if not stage.quick:
        variants |= {
            name_of(HANDLER, workers): partial(variants[name_of(HANDLER, workers)], window_s=WINDOW_S)
            for workers in WORKERS
        }
    if stage.rounds > 1:
        rest = stage.interleaved(variants, rounds=stage.rounds - 1, what="again")
        samples += [Sample(each.variant, each.round + 1, each.figures) for each in rest]
    return findings(samples, {kind: log.events for kind, log in logs.items()})


def _sample(stage: Stage, topic: str, backlog: Backlog, *, window_s: float | None = None) -> Figures:
    backlog = backlog._replace(window_s=window_s)
    return asyncio.run(
        burn_together(servers=stage.servers, topic=topic, group=stage.new_name("group"), backlog=backlog)
    )


def findings(samples: Sequence[Sample], events: Mapping[str, int]) -> Findings:
    """Everything that follows from the samples."""
    ratios = [
        ratio_of(samples, f"{kind}: two workers, times one", name_of(kind, 2), name_of(kind, 1))
        for kind in (HANDLER, COUNTS)
    ]
    return Findings(
        configuration={
            "keys": KEYS, "partitions": PARTITIONS, "handler_ms": LATENCY_S * 1000, "concurrency": CONCURRENCY,
            **{f"events_{kind}": number for kind, number in events.items()},
        },
        samples=list(samples),
        ratios=ratios,
        bars=[Bar(ratios[0].name, ratios[0].spread.median, MUST, GOAL)],
        plots=[_plot(samples)],
        notes=_notes(samples),
    )  # fmt: skip


def _plot(samples: Sequence[Sample]) -> Plot:
    places, lines = [float(place) for place in range(len(WORKERS))], []
    for kind in (HANDLER, COUNTS):
        ordered = [sorted(values_of(samples, name_of(kind, workers), "events_per_s")) for workers in WORKERS]
        middle = [values[len(values) // 2] for values in ordered]
        lines.append(Line(kind, places, middle, low=[each[0] for each in ordered], high=[each[-1] for each in ordered]))
    categories = ["one worker", "two workers"]
    return Plot("rates", "Events a second while a backlog burns down", "", "events/s", lines, categories=categories)


def _notes(samples: Sequence[Sample]) -> list[str]:
    whole = ", ".join(
        f"{each.variant} {each.figures['whole_s']:.1f} s"
        for each in samples
        if each.round == 0 and "whole_s" in each.figures
    )
    notes = f"""
        A rate counts from the moment on at which all workers hold their partitions, until the first of them has done
        {ENOUGH:.0%} of its events. The first round burned the whole backlog down: {whole}. In a full run the other
        rounds take a window of {WINDOW_S:g} s of the handler's backlog.

        A worker with a handler of {LATENCY_S * 1000:g} ms and {CONCURRENCY} at once does at most
        {CONCURRENCY / LATENCY_S:,.0f} events a second. Workers, broker and Redis share the processors of one machine.

        Aggregates are for information: on two processors Redis and the broker take their share of what a second worker
        would need.

        Every event that was handled, by whichever worker, is committed, and the other way round; every cell and total
        was compared with the log.
    """
    return [" ".join(note.split()) for note in notes.split("\n\n")]
