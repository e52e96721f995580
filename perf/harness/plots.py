"""A plot as SVG: the same figures give the same bytes, and text stays text, so that files are small.

The ground is light and solid, for pages of either colour. Lines carry their spread as a band, bars as a whisker. A 0 on
a logarithmic axis stands before everything else: there the axis is linear.
"""

import io
import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from perf.harness.figures import shown
from perf.harness.outcome import Line, Plot

WIDTH_IN, HEIGHT_IN = 7.6, 4.2
INK, PALE, GROUND = "#24292f", "#d0d7de", "#ffffff"
COLOURS = ("#0b5fad", "#d1600a", "#1a7f4b", "#8a3ffc", "#b4232c", "#5f6b7a")
"""Told apart also by those who see fewer colours, together with the markers."""
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "keylane",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "legend.frameon": False,
    "text.parse_math": False,
}
TITLE_LETTERS_MAX, CATEGORY_LETTERS_MAX = 78, 18
LEGEND_LETTERS_MAX, MARKER_LETTERS = 92, 9
"""In a row, and what a marker takes of them."""
SHORT_RANGE = 100
"""A logarithmic axis that spans less than this factor has ticks between the powers of ten."""
SHORTEST_BAR = 0.2
"""On a logarithmic axis, which begins at a power of ten: at least this part of one."""
BARS_WIDTH = 0.78
"""Of a category's place, all its bars together."""


def svg(plot: Plot) -> str:
    """The plot as the text of an SVG file."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), facecolor=GROUND, layout="constrained")
        axes = figure.add_subplot(facecolor=GROUND)
        axes.set_axisbelow(True)
        if plot.categories is None:
            _draw_lines(axes, plot)
        else:
            _draw_bars(axes, plot, plot.categories)
        axes.set_title(_folded(plot.title, letters_max=TITLE_LETTERS_MAX), pad=12)
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        if len(plot.lines) > 1:
            columns = LEGEND_LETTERS_MAX // (max(len(line.name) for line in plot.lines) + MARKER_LETTERS)
            figure.legend(loc="outside lower center", ncols=max(1, min(len(plot.lines), columns)))
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return written.getvalue()


# -------------------------------------------------------------------- lines
def _draw_lines(axes: Axes, plot: Plot) -> None:
    for place, line in enumerate(plot.lines):
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        axes.plot(line.x, line.y, color=colour, marker=marker, markersize=5.5, linewidth=1.8, label=line.name)
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.16, linewidth=0)
    axes.grid(visible=True, color=PALE, linewidth=0.6)
    _scale(axes, "x", [x for line in plot.lines for x in line.x], logarithmic=plot.log_x)
    _scale(axes, "y", [y for line in plot.lines for y in line.y], logarithmic=plot.log_y)


def _scale(axes: Axes, which: str, values: Sequence[float], *, logarithmic: bool) -> None:
    """Where there are few places on a logarithmic x axis, its ticks are these."""
    set_scale = axes.set_xscale if which == "x" else axes.set_yscale
    axis = axes.xaxis if which == "x" else axes.yaxis
    positive = [value for value in values if value > 0]
    if logarithmic and positive:
        if len(positive) < len(values):
            set_scale("symlog", linthresh=min(positive), linscale=0.5)
        else:
            set_scale("log")
            if max(positive) < SHORT_RANGE * min(positive):
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        places = sorted(set(values))
        if which == "x" and len(places) <= 12:
            axis.set_ticks(places)
            axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    elif values and min(values) >= 0 and which == "y":
        axes.set_ylim(bottom=0)
    axis.set_major_formatter(FuncFormatter(_tick))


def _tick(value: float, _place: int | None = None) -> str:
    return f"{value:,.10g}" if abs(value) < 1e15 else f"{value:g}"


# -------------------------------------------------------------------- bars
def _draw_bars(axes: Axes, plot: Plot, categories: Sequence[str]) -> None:
    width = BARS_WIDTH / max(1, len(plot.lines))
    for place, line in enumerate(plot.lines):
        shift = (place - (len(plot.lines) - 1) / 2) * width
        places = [x + shift for x in line.x]
        bars = axes.bar(
            places, line.y, width * 0.94, color=COLOURS[place % len(COLOURS)], label=line.name, yerr=_whiskers(line),
            error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 3},
        )  # fmt: skip
        axes.bar_label(bars, [shown(y) for y in line.y], padding=3, fontsize=9.5)
    axes.set_xticks(range(len(categories)), [_folded(name) for name in categories])
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=True, axis="y", color=PALE, linewidth=0.6)
    heights = [y for line in plot.lines for y in line.y]
    _scale(axes, "y", heights, logarithmic=plot.log_y)
    axes.margins(y=0.12)
    if plot.log_y and heights and min(heights) > 0:
        axes.set_ylim(bottom=10 ** math.floor(math.log10(min(heights)) - SHORTEST_BAR))


def _whiskers(line: Line) -> list[list[float]] | None:
    if line.low is None or line.high is None or line.low == line.high:
        return None
    down = [max(0.0, y - low) for y, low in zip(line.y, line.low, strict=True)]
    return [down, [max(0.0, high - y) for y, high in zip(line.y, line.high, strict=True)]]


def _folded(name: str, *, letters_max: int = CATEGORY_LETTERS_MAX) -> str:
    """In lines of so many letters, where there are spaces to break at."""
    lines = [""]
    for word in name.split():
        if lines[-1] and len(lines[-1]) + len(word) >= letters_max:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)
