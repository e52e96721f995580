"""Many seeds over several processes, and the shortest plan that still fails."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from engine.sim.plan import Plan, plan_of
from engine.sim.plants import plant
from engine.sim.world import Outcome, run_plan, run_seed

SEEDS_TOGETHER = 5


@dataclass
class Verdict:
    """Of all seeds that were run."""

    seeds: int = 0
    failing: list[Outcome] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)

    @property
    def last_line(self) -> str:
        first = min((outcome.seed for outcome in self.failing), default="-")
        return f"seeds {self.seeds}, failures {len(self.failing)}, first failing seed {first}"


def run_seeds(
    seeds: range, *, name: str = "", jobs: int = 1, stop: bool = False, failed: Callable[[Outcome], None] | None = None
) -> Verdict:
    """`name`: the bug to plant first, "" for none; `stop`: at the first failure; `failed` is told of each."""
    verdict = Verdict()
    for outcome in _outcomes(seeds, name, jobs):
        verdict.seeds += 1
        verdict.happened += outcome.happened
        if outcome.problem is not None:
            verdict.failing.append(outcome)
            if failed is not None:
                failed(outcome)
            if stop:
                break
    return verdict


def _outcomes(seeds: range, name: str, jobs: int) -> Iterator[Outcome]:
    """In the order of the seeds."""
    if jobs == 1:
        with plant(name):
            yield from map(run_seed, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        chunks = [seeds[at : at + SEEDS_TOGETHER] for at in range(0, len(seeds), SEEDS_TOGETHER)]
        for outcomes in _few_ahead(pool, partial(_run_chunk, name), chunks, ahead=4 * jobs):
            yield from outcomes


def _few_ahead(
    pool: ProcessPoolExecutor, function: Callable[[range], list[Outcome]], chunks: Sequence[range], *, ahead: int
) -> Iterable[list[Outcome]]:
    """As `map`, but little is begun that nobody may want."""
    waiting = iter(chunks)
    running = [pool.submit(function, chunk) for chunk in islice(waiting, ahead)]
    try:
        while running:
            yield running.pop(0).result()
            running += [pool.submit(function, chunk) for chunk in islice(waiting, 1)]
    finally:
        for future in running:
            future.cancel()


def _run_chunk(name: str, seeds: range) -> list[Outcome]:
    with plant(name):
        return [run_seed(seed) for seed in seeds]


def shortened(seed: int) -> tuple[Plan, Outcome]:
    """The seed's plan with as few faults as still fail, and how it fails: faults are left out one by one."""
    plan = plan_of(seed)
    outcome = run_plan(plan)
    for index in reversed(range(len(plan.faults))):
        shorter = plan.without(index)
        found = run_plan(shorter)
        if found.problem is not None:
            plan, outcome = shorter, found
    return plan, outcome
