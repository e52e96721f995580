"""What a measurement found, as it is written to `perf/results/NAME.json`: samples first, everything else follows.

Pure. A sample is one variant in one round. A ratio compares two variants of the same round, so that what the machine
does meanwhile touches both; its value is the median over the rounds.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from perf.harness.figures import Spread, spread_of

FORMAT = 1

Figures = Mapping[str, float]
"""Figures of one sample by name, units last: events_per_s, worker_us, p99_ms."""


class Sample(msgspec.Struct, frozen=True):
    """One variant in one round."""

    variant: str
    round: int
    figures: dict[str, float]


class Ratio(msgspec.Struct, frozen=True):
    """`numerator` over `denominator` (variants) by `figure`, per round."""

    name: str
    figure: str
    numerator: str
    denominator: str
    values: list[float]

    @property
    def spread(self) -> Spread:
        return spread_of(self.values)


class Bar(msgspec.Struct, frozen=True):
    """What must be reached, what is wanted beyond that, and what was."""

    name: str
    value: float
    must: float
    goal: float | None = None
    better: Literal["higher", "lower"] = "higher"
    unit: str = "×"

    @property
    def reached(self) -> bool:
        return self.value >= self.must if self.better == "higher" else self.value <= self.must

    @property
    def goal_reached(self) -> bool:
        if self.goal is None:
            return self.reached
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal


class Line(msgspec.Struct, frozen=True):
    """A line of a plot; `low` and `high` are the spread, point by point, where there is one."""

    name: str
    x: list[float]
    y: list[float]
    low: list[float] | None = None
    high: list[float] | None = None


class Plot(msgspec.Struct, frozen=True):
    """Written as `NAME-<name>.svg`. With `categories` it is one of bars, and `x` counts from 0."""

    name: str
    title: str
    x_label: str
    y_label: str
    lines: list[Line]
    categories: list[str] | None = None
    log_x: bool = False
    log_y: bool = False


class Findings(msgspec.Struct, frozen=True):
    """What a scenario returns."""

    configuration: dict[str, str | int | float | bool]
    samples: list[Sample]
    ratios: list[Ratio] = []
    bars: list[Bar] = []
    plots: list[Plot] = []
    notes: list[str] = []
    """What a reader must know to read the figures right."""


class Result(msgspec.Struct, frozen=True):
    """A scenario's findings with where and how they came about."""

    scenario: str
    title: str
    measured_at: str
    """UTC, ISO 8601."""
    took_s: float
    quick: bool
    kafka: str
    command: str
    machine: dict[str, str | int | float]
    versions: dict[str, str]
    findings: Findings
    format: int = FORMAT


def values_of(samples: Sequence[Sample], variant: str, figure: str) -> list[float]:
    """A figure of a variant, in the order of the rounds."""
    return [each.figures[figure] for each in samples if each.variant == variant and figure in each.figures]


def median_of(samples: Sequence[Sample], variant: str, figure: str) -> float:
    """Raises ValueError: no sample has it."""
    return spread_of(values_of(samples, variant, figure)).median


def ratio_of(
    samples: Sequence[Sample], name: str, numerator: str, denominator: str, figure: str = "events_per_s"
) -> Ratio:
    """Per round. Raises ValueError: no round has both."""
    below = {each.round: each.figures[figure] for each in samples if each.variant == denominator}
    values = [
        each.figures[figure] / below[each.round]
        for each in samples
        if each.variant == numerator and each.round in below
    ]
    if not values:
        raise ValueError(f"no round has both {numerator!r} and {denominator!r}")
    return Ratio(name, figure, numerator, denominator, values)
