"""Results as a measurement might have made them."""

from collections.abc import Mapping, Sequence

from perf.harness.outcome import Bar, Findings, Line, Plot, Result, Sample, ratio_of

MANY, ONE = "many", "one"
FIGURES: Mapping[str, Sequence[float]] = {
    "events_per_s": (30_000.0, 31_000.0, 29_000.0),
    "worker_us": (28.0, 27.0, 29.0),
}


def samples_of(variant: str, figures: Mapping[str, Sequence[float]]) -> list[Sample]:
    rounds = range(len(next(iter(figures.values()))))
    return [Sample(variant, number, {name: each[number] for name, each in figures.items()}) for number in rounds]


def result(
    scenario: str = "lift", *, figures: Mapping[str, Sequence[float]] = FIGURES, quick: bool = False,
    kafka: str = "apache", measured_at: str = "2026-11-26T12:00:00+00:00", python: str = "3.11.7",
) -> Result:  # fmt: skip
    """Two variants: the second does a tenth of the first's events."""
    tenth = {"events_per_s": [each / 10 for each in figures["events_per_s"]]}
    samples = [*samples_of(MANY, figures), *samples_of(ONE, tenth)]
    ratio = ratio_of(samples, "to one", MANY, ONE)
    findings = Findings(
        configuration={"events": 500_000},
        samples=samples,
        ratios=[ratio],
        bars=[
            Bar("times one", ratio.spread.median, 30, 50),
            Bar("worker", 28.0, 30, better="lower", unit="µs an event"),
            Bar("rate", 30_000, 0, 20_000, unit="events/s"),
        ],
        plots=[Plot("rates", "Rates", "", "events/s", [Line("rate", [0.0, 1.0], [30_000.0, 3_000.0])], [MANY, ONE])],
        notes=["Every cell was compared | with the log."],
    )
    return Result(
        scenario, f"Title of {scenario}", measured_at, 83.4, quick, kafka, f"python -m perf {scenario}",
        {"processor": "EPYC", "processors": 2, "memory_bytes": 2**34, "system": "Linux 6", "load_average_1_min": 0.5},
        {"python": python}, findings,
    )  # fmt: skip
