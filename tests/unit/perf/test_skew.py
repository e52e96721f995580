"""Loads with a hot key, who is judged, and what follows from the samples."""

import pytest

from perf.harness.outcome import Sample
from perf.harness.skewed import HOT, Judged, Load
from perf.scenarios import skew


class TestLoad:
    @pytest.mark.parametrize("hot", skew.SHARES)
    def test_the_others_send_as_much_with_and_without_a_hot_key(self, hot: float) -> None:
        load = Load(500.0, hot, 4.0)
        keys = [key for key, _ in load.log.records()]
        others = sum(key != HOT for key in keys) / (len(keys) / load.events_per_s)
        assert others == pytest.approx(500.0, rel=0.05)


def test_the_hot_key_is_judged_apart() -> None:
    judged = Judged()
    for latency_us in (1_000, 2_000, 3_000):
        judged.add(b"customer-7", 10, 10 + latency_us)
    judged.add(HOT, 10, 5_000_010)
    figures = judged.figures()
    assert (figures["others"], figures["others_p50_ms"], figures["others_max_ms"]) == (3.0, 2.0, 3.0)
    assert figures["hot_p99_ms"] == 5_000.0


def sample(kind: str, hot: float, p99_ms: float) -> Sample:
    figures = {"others_p50_ms": 5.0, "others_p99_ms": p99_ms, "others_p999_ms": 20.0, "late_p99_ms": 1.5}
    return Sample(skew.name_of(kind, hot), 0, figures | ({"backlog": 40_000.0} if kind == skew.HANDLERS else {}))


class TestFindings:
    def test_a_bar_for_each_kind_compares_p99(self) -> None:
        samples = [
            sample(skew.HANDLERS, 0.0, 8.0),
            sample(skew.HANDLERS, 0.9, 8.8),
            sample(skew.AGGREGATES, 0.0, 8.0),
            sample(skew.AGGREGATES, 0.9, 24.0),
        ]
        found = skew.findings(samples, 3.0)
        handler, aggregates = found.bars
        assert [handler.value, aggregates.value] == pytest.approx([1.1, 3.0])
        assert (handler.reached, handler.goal_reached, aggregates.reached) == (True, True, False)
        assert any("40,000 events" in note for note in found.notes)
        assert found.plots[0].categories == ["hot key: 0%", "hot key: 90%"]
