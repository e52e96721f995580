"""The command line: what it understands, what it writes, and how it ends."""

from argparse import ArgumentParser
from pathlib import Path

import pytest

from perf.__main__ import main, parser_for
from perf.harness import scenarios
from perf.harness.checks import CheckFailed
from perf.harness.outcome import Findings, Sample
from perf.harness.results import read, save
from perf.harness.stage import Stage
from perf.model.costs import NoCosts
from tests.unit.perf.results import FIGURES, result


class Scenario:
    """A module of a scenario, as far as the harness looks at it."""

    TITLE = "Made up"
    SERVERS = False

    def __init__(self, problem: Exception | None = None) -> None:
        self._problem = problem

    @staticmethod
    def options(parser: ArgumentParser) -> None:
        parser.add_argument("--latency-ms", type=float, default=10.0)

    def measure(self, stage: Stage) -> Findings:
        if self._problem is not None:
            raise self._problem
        figures = {"events_per_s": stage.options.latency_ms * stage.rounds}
        return Findings({"quick": stage.quick}, [Sample("only", 0, figures)])


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> dict[str, Scenario]:
    """The scenarios that there are; nothing else is loaded."""
    found = {"first": Scenario(), "second": Scenario()}
    for module in ("perf.__main__", "perf.harness.scenarios"):
        monkeypatch.setattr(f"{module}.SCENARIOS", tuple(found))
        monkeypatch.setattr(f"{module}.load", found.__getitem__)
    return found


@pytest.mark.usefixtures("made_up")
class TestOne:
    def test_its_own_options_reach_it_and_stand_in_the_command(self, tmp_path: Path) -> None:
        assert main(["first", "--quick", "--rounds", "3", "--latency-ms", "7", "--results", str(tmp_path)]) == 0
        found = read(tmp_path / "first.json")
        assert found.findings.samples == [Sample("only", 0, {"events_per_s": 21.0})]
        assert found.command == "python -m perf first --quick --rounds 3 --latency-ms 7.0"
        assert (found.kafka, found.quick, found.findings.configuration) == ("none", True, {"quick": True})
        assert (tmp_path / "README.md").read_text().count("Made up") == 1

    def test_the_address_of_redis_is_not_told(self, tmp_path: Path) -> None:
        assert main(["first", "--redis", "redis://:secret@host", "--results", str(tmp_path)]) == 0
        assert "secret" not in (tmp_path / "first.json").read_text()

    def test_without_a_folder_nothing_is_written(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["first", "--quick"]) == 0
        assert list(tmp_path.iterdir()) == []
        assert capsys.readouterr().out.startswith("Made up (quick, no servers, 0 s)\n  only: events_per_s 20.0")

    def test_json_is_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["first", "--json"]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert '"scenario":"first"' in line


@pytest.mark.parametrize("problem", [CheckFailed("an event is missing"), NoCosts("nothing to go by"), OSError("full")])
def test_a_refusal_is_a_line_and_no_figure(
    made_up: dict[str, Scenario], problem: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up["first"] = Scenario(problem)
    assert main(["first", "--results", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"{type(problem).__name__}: {problem}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_scenario_that_fails_stops_no_other_and_is_named(
    made_up: dict[str, Scenario], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up["first"] = Scenario(ExceptionGroup("two", [CheckFailed("an event is missing"), ValueError("another")]))
    assert main(["all", "--quick", "--results", str(tmp_path)]) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"second.json", "README.md"}
    assert capsys.readouterr().err.endswith("NO FIGURE for first: CheckFailed: an event is missing\n")


@pytest.mark.usefixtures("made_up")
def test_all_that_succeed_end_well(tmp_path: Path) -> None:
    assert main(["all", "--results", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"first.json", "second.json", "README.md"}
    assert read(tmp_path / "second.json").command == "python -m perf second"


@pytest.mark.usefixtures("made_up")
def test_the_list_has_titles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert capsys.readouterr().out == "first   Made up\nsecond  Made up\n"


def test_an_unknown_scenario_is_told_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nosuch"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert [name for name in scenarios.SCENARIOS if name not in told] == []


def test_without_java_the_way_out_is_told(
    made_up: dict[str, Scenario], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engine.embedded.apache.shutil.which", lambda _: None)
    monkeypatch.setattr(made_up["first"], "SERVERS", True, raising=False)
    assert main(["first", "--redis", "redis://localhost:1"]) == 1
    told = capsys.readouterr().err
    assert "java is not installed" in told
    assert "--kafka embedded" in told


class TestCompare:
    def test_it_ends_with_1_when_something_got_slower(self, tmp_path: Path) -> None:
        old, new = save(result(), tmp_path / "old"), tmp_path / "new"
        save(result(figures={**FIGURES, "worker_us": (38.0, 37.0, 39.0)}), new)
        assert main(["compare", str(old), str(old)]) == 0
        assert main(["compare", str(old), str(new)]) == 1
        assert main(["compare", str(new), str(old.parent)]) == 0

    def test_it_ends_with_2_when_there_is_nothing(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "lift.json").write_text("{}")
        assert main(["compare", str(tmp_path), str(tmp_path)]) == 2
        out, err = capsys.readouterr()
        assert out == "nothing can be compared\n"
        assert "lift.json: no result of format 1" in err

    def test_a_folder_that_is_not_there_is_a_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare", str(tmp_path / "nowhere.json"), str(tmp_path)]) == 2
        assert "nowhere.json" in capsys.readouterr().err


@pytest.mark.parametrize("scenario", scenarios.SCENARIOS)
def test_every_scenario_has_a_title_and_a_parser(scenario: str) -> None:
    assert scenarios.load(scenario).TITLE.strip()
    options = parser_for([scenario]).parse_args([scenario])
    assert vars(scenarios.defaults(scenario)).items() <= vars(options).items()
