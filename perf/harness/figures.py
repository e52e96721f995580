"""Medians, spreads and percentiles. Pure."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple


class Spread(NamedTuple):
    """Median, lowest and highest of some rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{shown(self.median)} [{shown(self.low)}–{shown(self.high)}]"


def spread_of(values: Sequence[float]) -> Spread:
    """Raises ValueError: there is none."""
    if not values:
        raise ValueError("no values")
    return Spread(median(values), min(values), max(values))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of ascending values; `share` is of one, as 0.99. Raises ValueError: there is none."""
    if not ordered:
        raise ValueError("no values")
    rank = -(-len(ordered) * share // 1)  # rounded up
    return ordered[min(len(ordered), max(1, int(rank))) - 1]


def latencies(values_s: Sequence[float], *, prefix: str = "") -> dict[str, float]:
    """p50, p99, p99.9 and the greatest in milliseconds, as figures of a sample."""
    ordered = sorted(values_s)
    shares = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999, "max_ms": 1.0}
    return {prefix + name: percentile(ordered, share) * 1000 for name, share in shares.items()}


def shown(value: float) -> str:
    """Three digits or all before the point: 0.0123, 1.23, 12.3, 123, 12,345."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 1 or value == 0:
        return f"{value:.2f}"
    return f"{value:.3g}"
