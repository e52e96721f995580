"""The scenario of what-ifs: sizes that are asked for, and the model held against what was measured."""

from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from rich.progress import Progress

from perf.harness.outcome import Findings, Result, Sample
from perf.harness.plots import svg
from perf.harness.results import Unreadable, save
from perf.harness.scenarios import NOWHERE
from perf.harness.stage import Stage
from perf.model.costs import MANY, ONE, Costs, NoCosts
from perf.model.site import Shape
from perf.scenarios import simulate
from tests.unit.perf.results import result

TINY = ["--partitions", "1,2", "--workers", "1,2", "--events-per-s", "5000", "--seconds", "0.05", "--latency-ms", "1"]


def measured(events_per_s: float) -> Result:
    samples = [
        Sample(variant, 0, {"events_per_call": per_call, "worker_us": worker, "redis_us": redis, "events_per_s": rate})
        for variant, per_call, worker, redis, rate in (
            (MANY, 500.0, 25.8, 10.3, events_per_s),
            (ONE, 1.0, 425.0, 160.0, 1_600.0),
        )
    ]
    return msgspec.structs.replace(result("exactly-once"), findings=Findings({}, samples))


def stage(folder: Path, *words: str) -> Stage:
    parser = ArgumentParser()
    simulate.options(parser)
    options = parser.parse_args([*TINY, *words])
    return Stage(NOWHERE, True, 1, Progress(disable=True), "simulate", options, folder)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured is predicted with fewer events."""

    def known(costs: Costs, quick: bool) -> dict[str, Shape]:
        many = Shape(costs, redis_round_trip_s=simulate.LOOPBACK_S, events=3_000, settings={"fetch_max": 200})
        return {MANY: many, ONE: replace(many, events=200, settings=simulate.ONE_BY_ONE)}

    monkeypatch.setattr(simulate, "_known", known)


class TestFindings:
    def test_every_size_that_can_work_has_a_sample_and_the_model_is_held_against_the_measured(
        self, tmp_path: Path
    ) -> None:
        save(measured(30_000.0), tmp_path)
        found = simulate.measure(stage(tmp_path))
        assert [each.variant for each in found.samples] == [
            f"as measured: {MANY}", f"as measured: {ONE}", "1 partition, 1 worker", "2 partitions, 1 worker",
            "2 partitions, 2 workers",
        ]  # fmt: skip
        assert found.samples[-1].figures["events_per_s"] == pytest.approx(5_000, rel=0.1)
        assert [bar.reached for bar in found.bars] == [True, True]
        (many, one) = found.ratios
        assert many.values == [found.samples[0].figures["events_per_s"] / 30_000]
        assert one.denominator == f"{ONE}, measured"
        assert [len(plot.lines) for plot in found.plots] == [2, 2, 2]
        assert all("2 workers" in svg(plot) for plot in found.plots)
        assert "In the measurement the worker used 0.77 of a core and Redis 0.31" in found.notes[2]
        assert "They were measured on another machine than this one." in found.notes

    @pytest.mark.parametrize("events_per_s", [15_000.0, 90_000.0])
    def test_a_model_that_is_far_off_misses_its_bar_whichever_way(self, events_per_s: float, tmp_path: Path) -> None:
        save(measured(events_per_s), tmp_path)
        many, one = simulate.measure(stage(tmp_path)).bars
        assert (many.reached, one.reached) == (False, True)

    def test_costs_that_are_given_change_the_sizes_and_not_what_was_measured(self, tmp_path: Path) -> None:
        save(measured(30_000.0), tmp_path)
        usual = simulate.measure(stage(tmp_path))
        dear = simulate.measure(stage(tmp_path, "--redis-event-us", "150"))
        assert dear.ratios == usual.ratios
        shares = [each.samples[-1].figures["redis_busy_share"] for each in (usual, dear)]
        assert shares[1] > shares[0]
        assert "given: redis_event_us" in dear.notes[0]


class TestRefusals:
    def test_without_a_measurement_there_are_no_costs(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"exactly-once\.json"):
            simulate.measure(stage(tmp_path))
        (tmp_path / "exactly-once.json").write_text("{}")
        with pytest.raises(Unreadable, match="measure it again"):
            simulate.measure(stage(tmp_path))
        other = save(result("lift"), tmp_path)
        with pytest.raises(NoCosts):
            simulate.measure(stage(tmp_path, "--costs", str(other)))

    @pytest.mark.parametrize("text", ["", "0", "1,", "-1", "many", "1,2.5"])
    def test_sizes_are_numbers_from_1_on(self, text: str, capsys: pytest.CaptureFixture[str]) -> None:
        parser = ArgumentParser()
        simulate.options(parser)
        with pytest.raises(SystemExit):
            parser.parse_args([f"--workers={text}"])
        assert "numbers from 1 on were expected" in capsys.readouterr().err
