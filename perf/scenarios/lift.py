"""What keys that run beside each other are worth on one partition, from handlers that wait for nothing to 100 ms.

The work: decode a JSON event, then wait as for a call to another service. Beside the engine, in the same run: the
engine with the partition's events one after another, a loop by hand that gathers the keys of a batch, and for handlers
that wait for nothing the shortest loop over `getmany`.
"""

from collections.abc import Sequence
from functools import partial
from itertools import product

from perf.harness.lifting import HOT_SHARE, KEYS, SLOW_S, ZIPF, Cell, System, Window, lift
from perf.harness.outcome import Bar, Figures, Findings, Line, Plot, Ratio, Sample, median_of, ratio_of, values_of
from perf.harness.produce import produce
from perf.harness.stage import Stage
from perf.harness.usage import UsageLog

TITLE = "Handlers beside each other: keys in order, many at once"
LATENCIES_MS = (0, 1, 5, 10, 50, 100)
MANY, FEW = 1_000, 100
SEQUENTIAL: tuple[System, int] = "sequential", 1
WAIT_MS = (10, 5, 1)
SLOW = Cell("engine", 10, MANY, slow_s=SLOW_S)
SLOW_GATHER = Cell("gather", 10, MANY, slow_s=SLOW_S)
BARE = Cell("getmany", 0)
BARRED = (
    *(Cell("engine", latency_ms, MANY) for latency_ms in (*WAIT_MS, 0)),
    Cell("engine", 5, FEW),
    *(Cell("sequential", latency_ms) for latency_ms in WAIT_MS),
    BARE,
    SLOW,
    SLOW_GATHER,
)
QUICK = tuple(Cell("gather", latency_ms, MANY) for latency_ms in (0, 1, 10))
TIMES = ((10, MANY, 450, 700), (5, MANY, 250, 400), (5, FEW, 80, 94), (1, MANY, 60, 100))
"""Latency, concurrency, how many times as fast as one after another it must be, and the goal."""
SEQUENTIAL_OVERHEAD_S = 0.0005
"""What an event may take beside its wait where they run one after another: else the baseline is too slow."""


def grid() -> list[Cell]:
    """Everything once, but for what the bars measure anyway."""
    systems: tuple[System, ...] = ("engine", "gather")
    spreads = ((False, MANY), (False, FEW), (True, MANY))  # few at once: the hot keys hold everybody up alike
    cells = [
        Cell(system, latency_ms, concurrency, zipf)
        for (zipf, concurrency), latency_ms, system in product(spreads, LATENCIES_MS, systems)
    ]
    cells += [Cell("sequential", latency_ms) for latency_ms in LATENCIES_MS]
    return [cell for cell in cells if cell not in BARRED]


def measure(stage: Stage) -> Findings:
    events = 120_000 if stage.quick else 270_000
    window = Window(events - 25_000, 2.0, 1.0, 1_000) if stage.quick else Window(events - 25_000, 10.5, 10.0, 200_000)
    logs = {False: UsageLog(events, KEYS)} | ({} if stage.quick else {True: UsageLog(events, KEYS, zipf=ZIPF)})
    topics = {zipf: stage.new_name("zipf" if zipf else "uniform") for zipf in logs}
    for zipf, log in logs.items():
        produce(stage.servers.bootstrap, topics[zipf], log)
    once, always = [
        {cell.name: partial(_sample, stage, topics[cell.zipf], cell, window) for cell in cells}
        for cells in (QUICK if stage.quick else grid(), BARRED)
    ]
    samples = stage.interleaved(once, rounds=1, what="grid") + stage.interleaved(always, what="bars")
    return findings(samples, events)


def _sample(stage: Stage, topic: str, cell: Cell, window: Window) -> Figures:
    figures: dict[str, float] = stage.isolated(
        lift, servers=stage.servers, topic=topic, group=stage.new_name("group"), cell=cell, window=window
    )
    return figures


def findings(samples: Sequence[Sample], events: int) -> Findings:
    """Everything that follows from the samples."""
    ratios = _ratios(samples)
    plots = [_plot_rates(samples, zipf=False), _plot_rates(samples, zipf=True), _plot_ratios(ratios)]
    return Findings(
        configuration={"events": events, "keys": KEYS, "partitions": 1, "zipf": ZIPF},
        samples=list(samples),
        ratios=ratios,
        bars=[*_bars(ratios), *_bars_of_sequential(samples)],
        plots=[plot for plot in plots if plot.lines],
        notes=_notes(samples),
    )


def _ratios(samples: Sequence[Sample]) -> list[Ratio]:
    found = [
        ratio_of(
            samples,
            f"{latency_ms} ms, C={concurrency:,}: times one after another",
            Cell("engine", latency_ms, concurrency).name,
            Cell("sequential", latency_ms).name,
        )
        for latency_ms, concurrency, _, _ in TIMES
    ]
    plain = Cell("engine", 10, MANY).name
    return [
        *found,
        ratio_of(samples, "0 ms: times the getmany loop", Cell("engine", 0, MANY).name, BARE.name),
        ratio_of(samples, "1 key in 100 slow: times the gather loop", SLOW.name, SLOW_GATHER.name),
        ratio_of(samples, "1 key in 100 slow: fast keys, times without", SLOW.name, plain, "fast_per_s"),
    ]


def _bars(ratios: Sequence[Ratio]) -> list[Bar]:
    limits: list[tuple[float, float | None]] = [(must, goal) for *_, must, goal in TIMES]
    limits += [(0.7, 1.2), (5, 20), (0.9, None)]
    return [
        Bar(ratio.name, ratio.spread.median, must, goal) for ratio, (must, goal) in zip(ratios, limits, strict=True)
    ]


def _bars_of_sequential(samples: Sequence[Sample]) -> list[Bar]:
    """What the others are compared with must not be slow by itself."""
    bars = []
    for latency_ms in WAIT_MS:
        rate = median_of(samples, Cell("sequential", latency_ms).name, "events_per_s")
        possible = 1 / (latency_ms / 1000 + SEQUENTIAL_OVERHEAD_S)
        bars.append(Bar(f"{latency_ms} ms, one after another: of 1 / (latency + 0.5 ms)", rate / possible, 0.9))
    return bars


def _plot_rates(samples: Sequence[Sample], *, zipf: bool) -> Plot:
    lines = []
    kinds: list[tuple[System, int]] = [("engine", MANY), ("engine", FEW), ("gather", MANY), ("gather", FEW)]
    for system, concurrency in kinds if zipf else [*kinds, SEQUENTIAL]:
        points = [
            (float(latency_ms), values)
            for latency_ms in LATENCIES_MS
            if (values := values_of(samples, Cell(system, latency_ms, concurrency, zipf).name, "events_per_s"))
        ]
        if points:
            lines.append(_line(Cell(system, 0, concurrency).name.rpartition(",")[0], points))
    title = f"Events a second over the handler's latency, keys {f'Zipf({ZIPF:g})' if zipf else 'uniform'}"
    name = "rates-zipf" if zipf else "rates"
    return Plot(name, title, "latency of the handler, ms", "events/s", lines, log_x=True, log_y=True)


def _line(name: str, points: Sequence[tuple[float, list[float]]]) -> Line:
    ordered = [sorted(values) for _, values in points]
    return Line(
        name,
        [latency_ms for latency_ms, _ in points],
        [values[len(values) // 2] for values in ordered],
        low=[values[0] for values in ordered],
        high=[values[-1] for values in ordered],
    )


def _plot_ratios(ratios: Sequence[Ratio]) -> Plot:
    names = [ratio.name.partition(": times")[0] for ratio in ratios[: len(TIMES)]]
    spreads = [ratio.spread for ratio in ratios[: len(TIMES)]]
    line = Line(
        "times one after another",
        [float(place) for place in range(len(names))],
        [each.median for each in spreads],
        low=[each.low for each in spreads],
        high=[each.high for each in spreads],
    )
    return Plot("times", "Keys beside each other, against one after another", "", "×", [line], categories=names)


def _notes(samples: Sequence[Sample]) -> list[str]:
    latency_ms = {cell.name: cell.latency_ms for cell in (*grid(), *BARRED) if cell.latency_ms}
    waits = [
        (each.figures["handler_ms"] / latency_ms[each.variant], each.variant)
        for each in samples
        if each.variant in latency_ms
    ]
    shortest, where = min(waits)
    notes = f"""
        A ratio compares samples of the same round. The gather loop is measured over whole batches. Both loops commit
        once a second, where a batch has ended.

        uvloop's timers count whole milliseconds, so a wait may end up to 1 ms early on a busy loop; the mean wait was
        at least {shortest:.2f} of what was asked for ({where}).

        Zipf({ZIPF:g}) over {KEYS:,} keys: the first has {HOT_SHARE:.1%} of the events. Whoever keeps its order does at
        most 1 / ({HOT_SHARE:.3f} × latency); there, fewer events are in flight, so that this state is reached soon.

        With slow keys their backlog grows: the window ends before it fills what may be in flight.

        What a sample handled and what its group committed were compared by number and sum of the offsets.
    """
    return [" ".join(note.split()) for note in notes.split("\n\n")]
