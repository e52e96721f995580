"""What got slower between two measurements."""

import pytest

from perf.harness.compare import Compared, better, compare, describe_comparison, differences, verdict
from tests.unit.perf.results import FIGURES, MANY, result


def of(found: list[Compared], what: str, figure: str) -> Compared:
    (one,) = [each for each in found if (each.what, each.figure) == (what, figure)]
    return one


@pytest.mark.parametrize(
    ("figure", "direction"),
    [
        ("events_per_s", "higher"), ("worker_us", "lower"), ("p99_ms", "lower"), ("identity_bytes", "lower"),
        ("first_commit_s", "lower"), ("seconds", None), ("events", None), ("events_per_call", None),
    ],
)  # fmt: skip
def test_which_way_is_better_follows_from_the_unit(figure: str, direction: str | None) -> None:
    assert better(figure) == direction


@pytest.mark.parametrize(
    ("figure", "new", "expected"),
    [
        ("p99_ms", (10.1, 10.2, 10.3), "same"),  # apart, but by 2 %
        ("p99_ms", (10.0, 12.0, 14.0), "same"),  # by 20 %, but they overlap
        ("p99_ms", (11.0, 12.0, 14.0), "SLOWER"),
        ("p99_ms", (8.0, 8.5, 9.0), "faster"),
        ("events_per_s", (11.0, 12.0, 14.0), "faster"),
        ("events_per_s", (8.0, 8.5, 9.0), "SLOWER"),
        ("events_per_s", (8.0,), "one round"),
    ],
)
def test_slower_is_what_is_beyond_both_spreads_and_5_percent(
    figure: str, new: tuple[float, ...], expected: str
) -> None:
    assert verdict(figure, (9.8, 10.0, 10.0), new) == expected


def test_a_figure_without_direction_gets_no_verdict() -> None:
    with pytest.raises(ValueError, match="neither better nor worse"):
        verdict("events", (1.0,), (2.0,))


class TestComparison:
    def test_nothing_changed(self) -> None:
        comparison = compare([result()], [result()])
        assert comparison.exit_code == 0
        assert {each.verdict for each in comparison.found["lift"]} == {"same"}
        assert comparison.found["lift"][0].what == "ratio to one"
        assert describe_comparison(comparison).endswith("nothing got slower")

    def test_one_figure_got_slower(self) -> None:
        slow = result(figures={**FIGURES, "worker_us": (38.0, 37.0, 39.0)})
        comparison = compare([result()], [slow])
        assert comparison.exit_code == 1
        assert of(list(comparison.found["lift"]), MANY, "events_per_s").verdict == "same"
        worker = of(list(comparison.found["lift"]), MANY, "worker_us")
        assert (worker.verdict, round(worker.ratio, 3)) == ("SLOWER", 1.357)
        text = describe_comparison(comparison)
        assert "  many, worker_us: 28.0 [27.0–29.0] → 38.0 [37.0–39.0], × 1.36 SLOWER" in text
        assert text.endswith("1 figures got slower beyond the spread of both")

    def test_nothing_can_be_compared(self) -> None:
        comparison = compare([result("lift")], [result("skew")])
        assert comparison.exit_code == 2
        assert describe_comparison(comparison) == "only on one side: lift, skew\nnothing can be compared"

    def test_what_makes_them_less_comparable_is_told(self) -> None:
        assert differences(result(), result()) == []
        assert differences(result(), result(quick=True, kafka="embedded", python="3.12.1")) == [
            "kind was full, is quick",
            "broker was apache, is embedded",
            "version of python was 3.11.7, is 3.12.1",
        ]
        assert "  differs: kind was full, is quick" in describe_comparison(compare([result()], [result(quick=True)]))
