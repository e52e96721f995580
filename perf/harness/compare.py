"""Two measurements side by side: what got slower beyond the spread of both. Pure.

Something has changed where the rounds of both do not overlap and the medians differ by more than 5 %. A figure that has
only one round on either side has no spread, and is shown without a verdict.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from perf.harness.figures import Spread, shown, spread_of
from perf.harness.outcome import Result, values_of
from perf.harness.report import figures_in, kind

CHANGE_MIN = 0.05
ROUNDS_MIN = 2
BETTER_LOW = ("_us", "_ms", "_bytes", "_s")
Verdict = Literal["same", "faster", "SLOWER", "one round"]
NOT_OF_THE_MACHINE = {"load_average_1_min"}
SPANS = {"seconds", "window_s", "took_s"}


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of both."""

    scenario: str
    what: str
    figure: str
    old: Spread
    new: Spread
    verdict: Verdict

    @property
    def ratio(self) -> float:
        return self.new.median / self.old.median if self.old.median else float("inf")

    def __str__(self) -> str:
        return f"{self.what}, {self.figure}: {self.old} → {self.new}, × {shown(self.ratio)} {self.verdict}"


def better(figure: str) -> Literal["higher", "lower"] | None:
    """By the unit that a figure's name ends with; None where more is neither better nor worse."""
    if figure.endswith("_per_s"):
        return "higher"
    return "lower" if figure.endswith(BETTER_LOW) and figure not in SPANS else None


def verdict(figure: str, old: Sequence[float], new: Sequence[float]) -> Verdict:
    """Raises ValueError: the figure has no direction, or one side no values."""
    direction = better(figure)
    if direction is None:
        raise ValueError(f"{figure}: more of it is neither better nor worse")
    before, after = spread_of(old), spread_of(new)
    if min(len(old), len(new)) < ROUNDS_MIN:
        return "one round"
    overlap = before.low <= after.high and after.low <= before.high
    if overlap or abs(after.median - before.median) <= CHANGE_MIN * abs(before.median):
        return "same"
    return "faster" if (after.median > before.median) is (direction == "higher") else "SLOWER"


def compared(old: Result, new: Result) -> list[Compared]:
    """Every figure that both have: ratios first, since they move less with the machine."""
    return [*_ratios(old, new), *_figures(old, new)]


def _ratios(old: Result, new: Result) -> Iterator[Compared]:
    before = {(each.name, each.figure): each.values for each in old.findings.ratios}
    for each in new.findings.ratios:
        values = before.get((each.name, each.figure))
        if values and each.values and better(each.figure):
            yield _compared(new.scenario, f"ratio {each.name}", each.figure, values, each.values)


def _figures(old: Result, new: Result) -> Iterator[Compared]:
    for variant in dict.fromkeys(each.variant for each in new.findings.samples):
        for figure in filter(better, figures_in(new.findings.samples)):
            before = values_of(old.findings.samples, variant, figure)
            after = values_of(new.findings.samples, variant, figure)
            if before and after:
                yield _compared(new.scenario, variant, figure, before, after)


def _compared(scenario: str, what: str, figure: str, old: Sequence[float], new: Sequence[float]) -> Compared:
    return Compared(scenario, what, figure, spread_of(old), spread_of(new), verdict(figure, old, new))


def differences(old: Result, new: Result) -> list[str]:
    """What makes the two less comparable: kind, broker, configuration, machine, versions."""
    pairs: dict[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
        "": ({"kind": kind(old), "broker": old.kafka}, {"kind": kind(new), "broker": new.kafka}),
        "configuration: ": (old.findings.configuration, new.findings.configuration),
        "machine: ": (old.machine, new.machine),
        "version of ": (old.versions, new.versions),
    }
    return [
        f"{what}{name} was {before.get(name, 'not there')}, is {after.get(name, 'not there')}"
        for what, (before, after) in pairs.items()
        for name in [*before, *(name for name in after if name not in before)]
        if name not in NOT_OF_THE_MACHINE and before.get(name) != after.get(name)
    ]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All scenarios of both sides. `found` is by scenario."""

    found: Mapping[str, Sequence[Compared]]
    differing: Mapping[str, Sequence[str]]
    alone: Sequence[str]
    """Scenarios that only one side has."""

    @property
    def slower(self) -> list[Compared]:
        return [each for all_of_it in self.found.values() for each in all_of_it if each.verdict == "SLOWER"]

    @property
    def exit_code(self) -> int:
        """1: something got slower; 2: nothing can be compared."""
        if not any(self.found.values()):
            return 2
        return 1 if self.slower else 0


def compare(old: Sequence[Result], new: Sequence[Result]) -> Comparison:
    before, after = ({each.scenario: each for each in results} for results in (old, new))
    both = [name for name in after if name in before]
    return Comparison(
        {name: compared(before[name], after[name]) for name in both},
        {name: differences(before[name], after[name]) for name in both},
        sorted(before.keys() ^ after.keys()),
    )


def describe_comparison(comparison: Comparison) -> str:
    """As lines for a terminal."""
    lines: list[str] = []
    for name, found in comparison.found.items():
        lines += [
            name,
            *(f"  differs: {each}" for each in comparison.differing[name]),
            *(f"  {each}" for each in found),
        ]
    if comparison.alone:
        lines.append(f"only on one side: {', '.join(comparison.alone)}")
    slower = len(comparison.slower)
    if comparison.exit_code == 2:
        lines.append("nothing can be compared")
    else:
        lines.append(f"{slower} figures got slower beyond the spread of both" if slower else "nothing got slower")
    return "\n".join(lines)
