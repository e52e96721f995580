"""Bars and plot of the freshness scenario, from samples."""

from perf.harness.outcome import Sample
from perf.scenarios.freshness import RATE, SERVICE, bars_of, notes_of, plot_of

ENGINE = f"engine, {RATE:,}/s"


def latencies(prefix: str, p99_ms: float) -> dict[str, float]:
    return {f"{prefix}_p50_ms": p99_ms / 4, f"{prefix}_p99_ms": p99_ms, f"{prefix}_p999_ms": p99_ms * 2}


def samples(*, late_ms: float = 2.0) -> list[Sample]:
    found = []
    for number in range(3):
        engine = latencies("total", 9.0 + number) | latencies("seen", 60.0) | {"worker_us": 40.0}
        service = latencies("access", 25.0) | latencies("alert", 101.0) | {"worker_us": 90.0}
        found.append(Sample(ENGINE, number, engine | {"late_p99_ms": late_ms}))
        found.append(Sample(SERVICE, number, service | {"late_p99_ms": 1.0}))
    return found


def test_bars_are_reached_and_missed_by_the_median() -> None:
    bars = {bar.name: bar for bar in bars_of(samples())}

    assert [bar.reached for bar in bars.values()] == [True, False, True, False, True]
    assert bars["total: answered by Redis, p99"].goal_reached
    assert not bars["worker"].goal_reached


def test_the_plot_shows_everything_that_was_seen() -> None:
    plot = plot_of(samples())

    assert plot.categories == [f"{name}, {ENGINE}" for name in ("total", "seen")] + [
        f"{name}, {SERVICE}" for name in ("access", "alert")
    ]
    assert [line.name for line in plot.lines] == ["p50", "p99", "p999"]
    assert plot.lines[1].y == [10.0, 60.0, 25.0, 101.0]
    assert plot.lines[1].low == [9.0, 60.0, 25.0, 101.0]


def test_a_late_load_is_in_the_notes() -> None:
    assert any("itself was late" in note for note in notes_of(samples(late_ms=50.0)))
    assert not any("itself was late" in note for note in notes_of(samples()))
