"""What a scenario gets: servers, how much time there is, rounds in which its variants take turns, a progress bar."""

import itertools
import os
from argparse import Namespace
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from perf.harness.isolated import isolated
from perf.harness.outcome import Figures, Sample
from perf.harness.places import RESULTS
from perf.harness.servers import Servers

_numbers = itertools.count(1)


@dataclass(slots=True)
class Stage:
    """`rounds` is at least five in a full run."""

    servers: Servers
    quick: bool
    rounds: int
    progress: Progress
    scenario: str
    options: Namespace = field(default_factory=Namespace)
    """The scenario's own, as its `options(parser)` declares them."""
    results: Path = RESULTS
    """Where those of the other scenarios are."""

    def new_name(self, what: str) -> str:
        """A topic or group that nothing has used before, on a shared cluster either."""
        return f"perf-{self.scenario}-{what}-{os.getpid()}-{next(_numbers)}"

    def interleaved(
        self, variants: Mapping[str, Callable[[], Figures]], *, rounds: int | None = None, what: str = ""
    ) -> list[Sample]:
        """Every variant once a round; every second round the other way round, so that none is always first."""
        samples = []
        rounds = rounds or self.rounds
        task = self.progress.add_task(what or self.scenario, total=rounds * len(variants))
        for number in range(rounds):
            names = list(variants)
            for name in names if number % 2 == 0 else reversed(names):
                self.progress.update(task, description=f"{what or self.scenario}: {name}")
                samples.append(Sample(name, number, dict(variants[name]())))
                self.progress.advance(task)
        self.progress.remove_task(task)
        return samples

    def isolated(self, function: Callable[..., Awaitable[Any]], **arguments: object) -> Any:
        """See `perf.harness.isolated`."""
        return isolated(function, **arguments)

    def say(self, text: str) -> None:
        """A line above the progress bar."""
        self.progress.console.print(text, highlight=False)
