"""Results as Markdown: one page with everything, and a table of bars to put into another page. Pure."""

from collections.abc import Iterable, Sequence

from perf.harness.figures import shown, spread_of
from perf.harness.outcome import Bar, Findings, Result, Sample
from perf.harness.report import figures_in, figures_of, has_must, kind, origin, sign

BEGIN, END = "<!-- perf:begin -->", "<!-- perf:end -->"
HEAD = """\
# What was measured

Made from the JSON files beside it, which hold every sample: `python -m perf all` measures, `python -m perf report`
makes this page again. A figure is the median over the rounds, with the lowest and the highest round behind it. A ratio
compares two variants of the same round. How to read it: [perf/README.md](../README.md).
"""
MEMORY_UNIT_BYTES = 2**30


class NoPlace(Exception):
    """A text has no pair of marks to put the table between."""


def page(results: Sequence[Result], left_out: Sequence[Result] = ()) -> str:
    """The whole page, scenarios in their order. `left_out`: those of another kind, which are only named."""
    parts = [HEAD, *_machines(results), "## Bars\n", bars_table(results)]
    if left_out:
        names = ", ".join(f"{each.scenario} ({kind(each)}, {each.measured_at[:10]})" for each in left_out)
        parts.append(f"Of another kind and left out: {names}.\n")
    return "\n".join([*parts, *(_scenario(each) for each in results)])


def bars_table(results: Sequence[Result]) -> str:
    """Every bar, and whether it was reached."""
    rows = [
        [_anchor(each) if not number else "", bar.name, _value(bar), _must(bar), _goal(bar)]
        for each in results
        for number, bar in enumerate(each.findings.bars)
    ]  # fmt: skip
    return _table(["", "", "measured", "must", "goal"], rows)


def _anchor(result: Result) -> str:
    return f"[{result.scenario}](#{result.scenario}){' (quick)' if result.quick else ''}"


def bars_for_readers(results: Sequence[Result], folder: str) -> str:
    """The table for a page elsewhere, from where the results are in `folder`."""
    days = sorted({each.measured_at[:10] for each in results})
    kinds = " and ".join(sorted({kind(each) for each in results}))
    table = bars_table(results).replace("](#", f"]({folder}/README.md#")
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    machines = "; ".join(dict.fromkeys(_machine_line(each) for each in results))
    return f"{table}\nMeasured on {when} ({kinds} run): {machines}.\n"


def put_between(text: str, table: str) -> str:
    """`text` with `table` between its marks. Raises NoPlace."""
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise NoPlace(f"{BEGIN} and {END} were expected, in this order")
    return f"{before}{BEGIN}\n{table}{END}{after}"


# -------------------------------------------------------------------- parts
def _machines(results: Sequence[Result]) -> list[str]:
    """One line a machine, and one a set of versions: most often one each."""
    machines = _by_text((_machine_line(each), each.scenario) for each in results)
    versions = _by_text((_versions_line(each), each.scenario) for each in results)
    return ["## Where\n", "\n".join([*machines, *versions]) + "\n"]


def _by_text(lines: Iterable[tuple[str, str]]) -> list[str]:
    """Items of a list; where there are several, each names its scenarios."""
    names: dict[str, list[str]] = {}
    for text, scenario in lines:
        names.setdefault(text, []).append(scenario)
    alone = len(names) == 1
    return [f"- {text}" if alone else f"- {text} ({', '.join(theirs)})" for text, theirs in names.items()]


def _versions_line(result: Result) -> str:
    return ", ".join(f"{name} {text}" for name, text in result.versions.items())


def _machine_line(result: Result) -> str:
    at = result.machine
    memory = float(at.get("memory_bytes", 0)) / MEMORY_UNIT_BYTES
    return f"{at.get('processors')} × {at.get('processor')}, {memory:.0f} GiB, {at.get('system')}"


def _scenario(result: Result) -> str:
    found = result.findings
    settings = ", ".join(f"{name} {_plain(value)}" for name, value in found.configuration.items())
    load = float(result.machine.get("load_average_1_min", 0))
    parts = [
        f"## {result.scenario}\n",
        f"{result.title}.\n",
        f"{result.measured_at} ({origin(result)}, load average {load:.1f} before): `{result.command}`. {settings}\n",
        *(f"![{plot.title}]({plot_name(result, plot.name)})\n" for plot in found.plots),
        *_figures(found.samples),
        *_ratios(found),
        *(f"- {note}" for note in found.notes),
    ]
    return "\n".join(parts) + ("\n" if found.notes else "")


def plot_name(result: Result, plot: str) -> str:
    return f"{result.scenario}-{plot}.svg"


def _figures(samples: list[Sample]) -> Iterable[str]:
    names = figures_in(samples)
    rows = []
    for variant in dict.fromkeys(each.variant for each in samples):
        mine = [each for each in samples if each.variant == variant]
        cells = [_spread(figures_of(mine, name)) for name in names]
        rows.append([variant, str(len(mine)), *cells])
    if rows:
        yield _table(["variant", "rounds", *(f"`{name}`" for name in names)], rows)


def _ratios(found: Findings) -> Iterable[str]:
    rows = [
        [each.name, f"{each.numerator} / {each.denominator}", f"`{each.figure}`", _spread(each.values)]
        for each in found.ratios
    ]
    if rows:
        yield _table(["ratio", "of", "by", "median"], rows)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = spread_of(values)
    return shown(spread.median) if len(values) == 1 else str(spread)


def _value(bar: Bar) -> str:
    return f"{shown(bar.value)}{'' if bar.unit == '×' else ' '}{bar.unit}"


def _must(bar: Bar) -> str:
    if not has_must(bar):
        return ""
    return f"{sign(bar)} {shown(bar.must)}: {'reached' if bar.reached else '**missed**'}"


def _goal(bar: Bar) -> str:
    if bar.goal is None:
        return ""
    return f"{sign(bar)} {shown(bar.goal)}: {'reached' if bar.goal_reached else 'not reached'}"


def _plain(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines) + "\n"
