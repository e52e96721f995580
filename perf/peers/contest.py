"""What several rounds of ours against others come to: samples, ratios, a bar a work point, and who is ahead."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from perf.harness.checks import CheckFailed
from perf.harness.figures import shown
from perf.harness.outcome import Bar, Figures, Ratio, Sample, ratio_of
from perf.harness.stage import Stage
from perf.peers import launch
from perf.peers.environment import Missing
from perf.peers.outcome import PeerFailed
from perf.peers.program import Work
from perf.peers.totals import Cells

RATE, TIME = "events_per_s", "all_us"
FAILURE_LETTERS = 300


@dataclass(slots=True)
class Contest:
    """Grows while the scenario runs. A peer that is missing or fails becomes a note; ours raises."""

    stage: Stage
    ours: str
    samples: list[Sample] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def command(self, name: str, start: Callable[[], list[str]]) -> list[str] | None:
        """What starts a peer, or None where it cannot run here."""
        try:
            return start()
        except Missing as missing:
            if (note := f"{name} was left out: {missing}") not in self.notes:
                self.note(note)
            return None

    def sample(self, name: str, command: Sequence[str], work: Work, expected: Cells | None = None) -> Figures:
        """Nothing for a peer that failed. Raises CheckFailed, PeerFailed: ours did."""
        try:
            return launch.run(command, work, expected)
        except (CheckFailed, PeerFailed) as failed:
            if name == self.ours:
                raise
            self.note(f"a sample of {name} was left out: {str(failed)[:FAILURE_LETTERS]}")
            return {}

    def rounds(
        self, what: str, variants: Mapping[str, Callable[[], Figures]], *, rounds: int | None = None
    ) -> list[Sample]:
        """Interleaved samples, named by what was done and by whom; those without figures are dropped."""
        named = {f"{what}: {name}": sample for name, sample in variants.items()}
        samples = [each for each in self.stage.interleaved(named, rounds=rounds, what=what) if each.figures]
        self.samples += samples
        return samples

    def compare(
        self, what: str, samples: list[Sample], names: Sequence[str], *, must: float, goal: float | None = None
    ) -> None:
        """Ours to each of the others, round by round; the bar is what is left against the fastest."""
        variants = {each.variant for each in samples}
        others = [name for name in names if name != self.ours and f"{what}: {name}" in variants]
        found = {name: self._ratio(what, samples, name, RATE) for name in others}
        for name, ratio in found.items():
            time = self._ratio(what, samples, name, TIME)
            if ratio.spread.median < 1:
                self.note(
                    f"{what}: {name} is ahead, ours does {shown(ratio.spread.median)} × its events, "
                    f"each with {shown(time.spread.median)} × its processor time"
                )
        if found:
            fastest = min(found, key=lambda name: found[name].spread.median)
            self.bars.append(Bar(f"{what}, to {fastest}", found[fastest].spread.median, must, goal))

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.stage.say(text)

    def _ratio(self, what: str, samples: list[Sample], name: str, figure: str) -> Ratio:
        title = f"{what}, to {name}{'' if figure == RATE else ', processor time'}"
        ratio = ratio_of(samples, title, f"{what}: {self.ours}", f"{what}: {name}", figure)
        self.ratios.append(ratio)
        return ratio
