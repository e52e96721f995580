"""Plots as SVG: readable, small, and the same every time."""

import xml.etree.ElementTree as ET

import pytest

from perf.harness.outcome import Line, Plot
from perf.harness.plots import GROUND, svg

SVG = "{http://www.w3.org/2000/svg}"
BYTES_MAX = 40_000
RATES = Plot(
    "rates", "Rates", "", "events/s",
    [Line("p50", [0.0, 1.0], [3.0, 40.0], [2.0, 30.0], [4.0, 50.0]), Line("p99", [0.0, 1.0], [30.0, 400.0])],
    categories=["many events a call", "one event a call"],
)  # fmt: skip
LIFT = Plot(
    "lift", "Events a second by the latency of the handler", "latency, ms", "events/s",
    [
        Line("100 at once", [0.0, 1.0, 100.0], [9e4, 5e4, 990.0], [8e4, 4e4, 900.0], [1e5, 6e4, 1e3]),
        Line("one at a time", [0.0, 1.0, 10.0, 100.0], [2e3, 650.0, 94.0, 9.9]),
    ],
    log_x=True, log_y=True,
)  # fmt: skip


def texts_of(picture: str) -> list[str]:
    return ["".join(each.itertext()).strip() for each in ET.fromstring(picture).iter(f"{SVG}text")]


def groups_of(picture: str, prefix: str) -> list[str]:
    names = [each.get("id", "") for each in ET.fromstring(picture).iter(f"{SVG}g")]
    return [name for name in names if name.startswith(prefix)]


def test_lines_have_their_names_labels_and_ticks() -> None:
    texts = texts_of(svg(LIFT))
    assert {LIFT.title, "latency, ms", "events/s", "100 at once", "one at a time"} <= set(texts)
    assert {"0", "1", "10", "100", "1,000", "10,000"} <= set(texts)


def test_the_spread_of_a_line_is_a_band() -> None:
    assert len(groups_of(svg(LIFT), "FillBetweenPolyCollection")) == 1


def test_bars_carry_their_values_and_whiskers() -> None:
    picture = svg(RATES)
    texts = texts_of(picture)
    assert {"many events a call", "3.00", "40.0", "400", "p50", "p99"} <= set(texts)
    assert len(groups_of(picture, "LineCollection")) == 1


def test_ticks_stand_between_the_powers_of_ten_where_the_range_is_short() -> None:
    short = Plot("short", "Short", "n", "ms", [Line("a", [1.0, 2.0], [20.0, 180.0])], log_y=True)
    assert {"20", "50", "100"} <= set(texts_of(svg(short)))


@pytest.mark.parametrize("plot", [RATES, LIFT])
def test_the_same_figures_give_the_same_small_file_on_a_light_ground(plot: Plot) -> None:
    picture = svg(plot)
    assert picture == svg(plot)
    assert len(picture.encode()) < BYTES_MAX
    assert f"fill: {GROUND}" in picture
    assert "<dc:date>" not in picture


def test_a_long_category_is_folded() -> None:
    folded = Plot(
        "folded", "Folded", "", "s", [Line("a", [0.0], [1.0])], categories=["partition by partition, in order"]
    )
    assert {"partition by", "partition, in", "order"} <= set(texts_of(svg(folded)))


def test_bars_on_a_logarithmic_axis_stand_on_a_power_of_ten() -> None:
    bars = Plot("log", "Log", "", "ms", [Line("a", [0.0, 1.0], [12.0, 900.0])], categories=["a", "b"], log_y=True)
    assert {"1", "10", "100", "1,000"} <= set(texts_of(svg(bars)))


def test_one_round_has_no_whiskers() -> None:
    alone = Plot("alone", "Alone", "", "ms", [Line("a", [0.0], [12.0], [12.0], [12.0])], categories=["a"])
    assert groups_of(svg(alone), "LineCollection") == []
