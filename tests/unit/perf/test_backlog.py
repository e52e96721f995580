"""Rates of workers that burn a backlog down together, and what follows from the samples."""

import pytest

from perf.harness.burning import Burned, Mark, burned_together
from perf.harness.outcome import Sample
from perf.harness.steady import NotSteady
from perf.scenarios import backlog


def burned(start_s: int, end_s: int, per_s: int) -> Burned:
    marks = [Mark(float(at_s), (at_s - start_s) * per_s, at_s * 0.5) for at_s in range(start_s, end_s + 1)]
    return Burned(marks, float(end_s + 1), None)


class TestTogether:
    def test_only_the_time_counts_in_which_all_have_work(self) -> None:
        figures = burned_together([burned(0, 20, 100), burned(5, 15, 300)], least_s=10.0, least_events=10**9)
        assert (figures["seconds"], figures["events"], figures["events_per_s"]) == (10.0, 4_000.0, 400.0)
        assert figures["worker_us"] == pytest.approx(10.0 / 4_000 * 1e6)
        assert figures["least_share"] == pytest.approx(1 / 3)

    @pytest.mark.parametrize("other", [burned(15, 30, 100), burned(20, 30, 100), burned(30, 40, 100)])
    def test_too_little_time_together_gives_no_rate(self, other: Burned) -> None:
        with pytest.raises(NotSteady, match="no rate was taken"):
            burned_together([burned(0, 20, 100), other], least_s=10.0, least_events=10**9)


def test_the_bar_is_the_handlers_ratio_and_aggregates_are_information() -> None:
    rates = {(backlog.HANDLER, 1): 100.0, (backlog.HANDLER, 2): 180.0}
    rates |= {(backlog.COUNTS, 1): 100.0, (backlog.COUNTS, 2): 120.0}
    samples = [
        Sample(backlog.name_of(kind, workers), 0, {"events_per_s": rate, "whole_s": 12.5})
        for (kind, workers), rate in rates.items()
    ]
    found = backlog.findings(samples, {backlog.HANDLER: 1_000, backlog.COUNTS: 500})
    (bar,) = found.bars
    assert bar.value == pytest.approx(1.8)
    assert (bar.reached, bar.goal_reached) == (True, False)
    assert [ratio.values for ratio in found.ratios] == [[pytest.approx(1.8)], [pytest.approx(1.2)]]
    assert any("handler, 2 workers 12.5 s" in note for note in found.notes)
