"""How old what one reads is: from the time at which an event was to be sent to the total, the decision and the alert.

The load is an open loop: a record's intended time is fixed before anything runs, and every latency counts from there.
"""

from functools import partial

from perf.harness.decisions import ASK_S
from perf.harness.fresh import KEYS, REACHING_PER_S, WATCHED_KEYS, decisions, total
from perf.harness.open_loop import LINGER_MS, TICK_S, lateness_note
from perf.harness.outcome import Bar, Figures, Findings, Line, Plot, Sample, median_of, values_of
from perf.harness.stage import Stage
from perf.harness.visible import LOOK_S

TITLE = "Freshness: from the intended send time to the visible total, the access decision and the alert"
RATE = 5_000
OTHER_RATES = (1_000, 10_000)
OTHER_ROUNDS = 2
SECONDS, SECONDS_QUICK = 20.0, 8.0
WARMING_S = 15.0
"""A sample before all others, of which no figure is kept: a broker that has just started takes two to four times the
processor time, and everything here shares two processors with it."""
SERVICE = f"billing service, {RATE:,}/s"
PERCENTILES = ("p50", "p99", "p999")
TOTAL_NOTE = (
    f"total: every event, until the call that wrote it was answered. seen: the events of {WATCHED_KEYS} of {KEYS:,} "
    f"customers, until a process that reads their totals every {LOOK_S * 1e3:g} ms or a little more has them."
)
SERVICE_NOTE = (
    f"access: {REACHING_PER_S} customers a second reach their limit; the first answer of the API that says no, asked "
    f"every {ASK_S * 1e3:g} ms. alert: the record in the alerts topic, as its consumer gets it."
)
LOAD_NOTE = (
    f"The load hands over what is due every {TICK_S * 1e3:g} ms and lingers {LINGER_MS} ms more: that is part of every "
    "latency."
)
SETTINGS_NOTE = (
    "What keeps it fresh: the broker answers a fetch as soon as there is one record, and what gathers while a call to "
    "Redis is under way travels in the next. `fetch_wait_s` and `commit_interval_s` only say how often an idle loop "
    "turns, and how much a crash reads again."
)
STREAMS_NOTE = (
    "For comparison, not of this run: Kafka Streams 4.3.1 (exactly once, commit every 100 ms) took 179 ms at p99 for "
    f"the total, and 133 µs an event, at {RATE:,}/s on two shared cores."
)
CHECKS_NOTE = (
    "Every sample ends with a comparison: all cells and totals; for the service all counters, some customers' usage, "
    "one alert for each limit that was reached, and no refusal before."
)


def measure(stage: Stage) -> Findings:
    seconds = SECONDS_QUICK if stage.quick else SECONDS
    _total(stage, RATE, WARMING_S)
    samples = stage.interleaved(
        {_name(RATE): partial(_total, stage, RATE, seconds), SERVICE: partial(_decisions, stage, RATE, seconds)},
        what="freshness",
    )
    if not stage.quick:
        others = {_name(rate): partial(_total, stage, rate, seconds) for rate in OTHER_RATES}
        samples += stage.interleaved(others, rounds=min(stage.rounds, OTHER_ROUNDS), what="freshness, other rates")
    return Findings(
        configuration={
            "seconds": seconds,
            "keys": KEYS,
            "partitions": 1,
            "customers that reach their limit in a second": REACHING_PER_S,
            "settings": "as the engine and the service come",
        },
        samples=samples,
        bars=bars_of(samples),
        plots=[plot_of(samples)],
        notes=notes_of(samples),
    )


def bars_of(samples: list[Sample]) -> list[Bar]:
    """What is to be reached at `RATE`."""
    inside, outside = (partial(median_of, samples, variant) for variant in (_name(RATE), SERVICE))
    return [
        Bar("total: answered by Redis, p99", inside("total_p99_ms"), 50, 10, better="lower", unit="ms"),
        Bar("total: read by another process, p99", inside("seen_p99_ms"), 50, 10, better="lower", unit="ms"),
        Bar("access decision, p99", outside("access_p99_ms"), 100, 30, better="lower", unit="ms"),
        Bar("alert, p99", outside("alert_p99_ms"), 100, 30, better="lower", unit="ms"),
        Bar("worker", inside("worker_us"), 60, 30, better="lower", unit="µs an event"),
    ]


def plot_of(samples: list[Sample]) -> Plot:
    """Percentiles of everything that was seen, side by side."""
    seen = [
        (variant, prefix)
        for variant in dict.fromkeys(each.variant for each in samples)
        for prefix in ("total", "seen", "access", "alert")
        if values_of(samples, variant, f"{prefix}_p99_ms")
    ]
    x = [float(place) for place in range(len(seen))]
    lines = []
    for name in PERCENTILES:
        rounds = [values_of(samples, variant, f"{prefix}_{name}_ms") for variant, prefix in seen]
        y = [median_of(samples, variant, f"{prefix}_{name}_ms") for variant, prefix in seen]
        lines.append(Line(name, x, y, list(map(min, rounds)), list(map(max, rounds))))
    labels = [f"{prefix}, {variant}" for variant, prefix in seen]
    return Plot("latency", "From the intended send time", "", "ms", lines, categories=labels, log_y=True)


def notes_of(samples: list[Sample]) -> list[str]:
    late_ms = max(each.figures["late_p99_ms"] for each in samples)
    return [
        TOTAL_NOTE,
        SERVICE_NOTE,
        f"{LOAD_NOTE} {lateness_note(late_ms)}",
        SETTINGS_NOTE,
        STREAMS_NOTE,
        CHECKS_NOTE,
    ]


def _name(events_per_s: int) -> str:
    return f"engine, {events_per_s:,}/s"


def _total(stage: Stage, events_per_s: int, seconds: float) -> Figures:
    figures: dict[str, float] = stage.isolated(
        total, servers=stage.servers, name=stage.new_name("total"), events_per_s=events_per_s, seconds=seconds
    )
    return figures


def _decisions(stage: Stage, events_per_s: int, seconds: float) -> Figures:
    figures: dict[str, float] = stage.isolated(
        decisions, servers=stage.servers, name=stage.new_name("service"), events_per_s=events_per_s,
        seconds=seconds,
    )  # fmt: skip
    return figures
