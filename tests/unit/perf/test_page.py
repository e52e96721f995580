"""What people read: lines for a terminal, a page, a table in the README."""

import pytest

from perf.harness.page import BEGIN, END, NoPlace, bars_for_readers, bars_table, page, put_between
from perf.harness.report import describe
from tests.unit.perf.results import result


def test_a_terminal_shows_medians_spreads_and_what_was_missed() -> None:
    text = describe(result())
    assert "Title of lift (full, Apache Kafka, 83 s)" in text
    assert "  many: events_per_s 30,000 [29,000–31,000]; worker_us 28.0 [27.0–29.0]" in text
    assert "  times one: 10.0 × (≥ 30.0: MISSED, goal ≥ 50.0: not reached)" in text
    assert "  worker: 28.0 µs an event (≤ 30.0: reached)" in text
    assert "  rate: 30,000 events/s (goal ≥ 20,000: reached)" in text


def test_every_bar_is_in_the_table_whether_it_was_reached_or_not() -> None:
    assert bars_table([result()]).splitlines()[2:] == [
        "| [lift](#lift) | times one | 10.0× | ≥ 30.0: **missed** | ≥ 50.0: not reached |",
        "|  | worker | 28.0 µs an event | ≤ 30.0: reached |  |",
        "|  | rate | 30,000 events/s |  | ≥ 20,000: reached |",
    ]


class TestPage:
    def test_it_has_figures_ratios_plots_notes_and_how_they_came_about(self) -> None:
        text = page([result()])
        assert "2 × EPYC, 16 GiB, Linux 6" in text
        assert "| many | 3 | 30,000 [29,000–31,000] | 28.0 [27.0–29.0] |" in text
        assert "| one | 3 | 3,000 [2,900–3,100] |  |" in text
        assert "| to one | many / one | `events_per_s` | 10.0 [10.0–10.0] |" in text
        assert "![Rates](lift-rates.svg)" in text
        assert "`python -m perf lift`" in text
        assert "load average 0.5 before" in text
        assert "events 500,000" in text

    def test_versions_that_differ_name_their_scenarios(self) -> None:
        text = page([result("lift"), result("skew", python="3.12.1")])
        assert "- python 3.11.7 (lift)\n- python 3.12.1 (skew)" in text
        assert "- 2 × EPYC, 16 GiB, Linux 6\n" in text

    def test_what_is_of_another_kind_is_named(self) -> None:
        text = page([result("lift")], [result("skew", quick=True)])
        assert "Of another kind and left out: skew (quick, 2026-11-26)." in text
        assert "Title of skew" not in text


class TestReadme:
    def test_the_table_goes_between_its_marks(self) -> None:
        table = bars_for_readers([result(), result("skew", measured_at="2026-11-27T00:00:00+00:00")], "perf/results")
        text = put_between(f"before\n{BEGIN}\nold\n{END}\nafter\n", table)
        assert text.startswith(f"before\n{BEGIN}\n| ")
        assert text.endswith(f"{END}\nafter\n")
        assert "old" not in text
        assert "[skew](perf/results/README.md#skew)" in text
        assert "Measured on 2026-11-26 to 2026-11-27 (full run): 2 × EPYC, 16 GiB, Linux 6." in text
        assert put_between(text, table) == text

    @pytest.mark.parametrize("text", ["", BEGIN, f"{END} {BEGIN}"])
    def test_without_marks_nothing_is_written(self, text: str) -> None:
        with pytest.raises(NoPlace):
            put_between(text, "table")
