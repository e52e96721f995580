"""Histograms that cost little: a value is a look-up and two additions. The SDK takes ten times as long for each.

They are shown as the SDK's exporter would show them.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from engine.telemetry import Attributes, Metric

UNITS: Final = {"s": "_seconds", "By": "_bytes"}
"""What Prometheus appends to a name; nothing for a {noun}."""


class _Series:
    """The values of one metric with the same attributes."""

    __slots__ = ("bounds", "counts", "labels", "metric", "total")

    def __init__(self, metric: Metric, attributes: Attributes) -> None:
        self.metric = metric
        self.labels = {_prometheus(name): value for name, value in attributes.items()}
        self.bounds = metric.bounds
        self.counts = [0] * (len(metric.bounds) + 1)
        """By bucket; the last one has no bound."""
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def show(self, family: HistogramMetricFamily) -> None:
        for bound, below in zip([*map(str, self.bounds), "+Inf"], accumulate(self.counts), strict=True):
            family.add_sample(f"{family.name}_bucket", {**self.labels, "le": bound}, below)
        family.add_sample(f"{family.name}_count", self.labels, sum(self.counts))
        family.add_sample(f"{family.name}_sum", self.labels, self.total)


class Histograms(Collector):
    """Shown by the registry that it is registered with. `check` asserts that a metric may have these attributes."""

    def __init__(self, check: Callable[[Metric, str, Attributes], None]) -> None:
        self._check = check
        self._series: dict[tuple[str, frozenset[tuple[str, str]]], _Series] = {}

    def recorder(self, metric: Metric, attributes: Attributes) -> Callable[[float], None]:
        """Takes the values of the metric with these attributes."""
        known = metric.name, frozenset(attributes.items())
        series = self._series.get(known)
        if series is None:
            self._check(metric, "histogram", attributes)
            series = self._series[known] = _Series(metric, attributes)
        return series.add

    def collect(self) -> Iterator[HistogramMetricFamily]:
        families: dict[str, HistogramMetricFamily] = {}
        for series in self._series.values():
            if not any(series.counts):
                continue
            metric = series.metric
            if metric.name not in families:
                name = _prometheus(metric.name) + UNITS.get(metric.unit, "")
                families[metric.name] = HistogramMetricFamily(name, metric.about)
            series.show(families[metric.name])
        yield from families.values()


def _prometheus(name: str) -> str:
    return name.replace(".", "_")
