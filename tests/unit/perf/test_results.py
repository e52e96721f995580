"""The folder of results: what is written, read again, and made of it."""

from pathlib import Path

import pytest

from perf.harness.page import BEGIN, END, NoPlace
from perf.harness.results import Unreadable, fill_readme, make_page, read, read_all, save
from tests.unit.perf.results import result


def test_what_is_saved_is_what_is_read(tmp_path: Path) -> None:
    path = save(result(), tmp_path / "results")
    assert path.name == "lift.json"
    assert read(path) == result()
    assert read_all(path) == ([result()], [])


def test_a_file_that_is_no_result_is_told_and_stops_no_other(tmp_path: Path) -> None:
    save(result("skew"), tmp_path)
    (tmp_path / "broken.json").write_text("{}")
    (tmp_path / "later.json").write_text((tmp_path / "skew.json").read_text().replace('"format": 1', '"format": 2'))
    results, problems = read_all(tmp_path)
    assert results == [result("skew")]
    assert ["broken.json" in problems[0], "format 2, 1 was expected" in problems[1], len(problems)] == [True, True, 2]
    with pytest.raises(Unreadable, match="measure it again"):
        read(tmp_path / "broken.json")


class TestPage:
    def test_it_is_made_of_the_json_alone_and_twice_the_same(self, tmp_path: Path) -> None:
        save(result("lift"), tmp_path)
        save(result("skew"), tmp_path)
        (tmp_path / "gone-rates.svg").write_text("of a scenario that is no more")
        assert make_page(tmp_path) == []
        first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert set(first) == {"README.md", "lift.json", "skew.json", "lift-rates.svg", "skew-rates.svg"}
        make_page(tmp_path)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first

    def test_it_holds_one_kind_unless_it_is_told_to_mix(self, tmp_path: Path) -> None:
        save(result("lift", measured_at="2026-11-25T00:00:00+00:00"), tmp_path)
        save(result("skew", quick=True), tmp_path)
        make_page(tmp_path)
        text = (tmp_path / "README.md").read_text()
        assert "left out: lift (full, 2026-11-25)" in text
        assert "\n## lift" not in text
        assert "\n## skew" in text
        make_page(tmp_path, mixed=True)
        text = (tmp_path / "README.md").read_text()
        assert "\n## lift" in text
        assert "(quick, Apache Kafka, 83 s" in text
        assert "(full, Apache Kafka, 83 s" in text


class TestReadme:
    def test_it_shows_all_bars_and_says_which_are_of_quick_runs(self, tmp_path: Path) -> None:
        readme = tmp_path / "README.md"
        readme.write_text(f"# Product\n{BEGIN}\n{END}\nmore\n")
        folder = tmp_path / "perf" / "results"
        folder.mkdir(parents=True)
        assert not fill_readme(folder, readme)
        save(result("skew", quick=True), folder)
        save(result("lift"), folder)
        assert fill_readme(folder, readme)
        text = readme.read_text()
        assert "[lift](perf/results/README.md#lift) |" in text
        assert "[skew](perf/results/README.md#skew) (quick) |" in text

    def test_one_without_marks_is_left_alone(self, tmp_path: Path) -> None:
        readme = tmp_path / "README.md"
        readme.write_text("# Product\n")
        save(result(), tmp_path / "results")
        with pytest.raises(NoPlace):
            fill_readme(tmp_path / "results", readme)
        assert readme.read_text() == "# Product\n"
