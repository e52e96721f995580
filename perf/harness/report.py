"""What was found, as a few lines for a terminal. Pure."""

from perf.harness.figures import shown, spread_of
from perf.harness.outcome import Bar, Result, Sample

NO_SERVERS = "none"
"""In place of a broker's kind, where a scenario needs none."""
BROKERS = {"apache": "Apache Kafka", "embedded": "the embedded broker", NO_SERVERS: "no servers"}


def describe(result: Result) -> str:
    """Figures with median and spread, ratios, bars, notes."""
    lines = [f"{result.title} ({origin(result)})"]
    found = result.findings
    for variant in dict.fromkeys(each.variant for each in found.samples):
        samples = [each for each in found.samples if each.variant == variant]
        told = [f"{figure} {spread_of(figures_of(samples, figure))}" for figure in figures_in(samples)]
        lines.append(f"  {variant}: " + "; ".join(told))
    lines += [f"  {each.name}: {each.spread}" for each in found.ratios]
    lines += [f"  {each.name}: {shown(each.value)} {each.unit} ({_verdict(each)})" for each in found.bars]
    return "\n".join([*lines, *(f"  {note}" for note in found.notes)])


def origin(result: Result) -> str:
    """What kind of run it was: `full, Apache Kafka, 83 s`."""
    broker = BROKERS.get(result.kafka, f"broker at {result.kafka}")
    return f"{kind(result)}, {broker}, {result.took_s:.0f} s"


def kind(result: Result) -> str:
    return "quick" if result.quick else "full"


def has_must(bar: Bar) -> bool:
    """A bar from 0 upwards has only a goal."""
    return bar.better == "lower" or bar.must > 0


def sign(bar: Bar) -> str:
    return "≥" if bar.better == "higher" else "≤"


def figures_in(samples: list[Sample]) -> list[str]:
    """Names, in the order in which they first appear."""
    return list(dict.fromkeys(name for each in samples for name in each.figures))


def figures_of(samples: list[Sample], figure: str) -> list[float]:
    return [each.figures[figure] for each in samples if figure in each.figures]


def _verdict(bar: Bar) -> str:
    told = [f"{sign(bar)} {shown(bar.must)}: {'reached' if bar.reached else 'MISSED'}"] if has_must(bar) else []
    if bar.goal is not None:
        told.append(f"goal {sign(bar)} {shown(bar.goal)}: {'reached' if bar.goal_reached else 'not reached'}")
    return ", ".join(told)
