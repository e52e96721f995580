"""`python -m engine.sim --seeds A:B`: the simulation over a half-open range of seeds.

`--plant NAME` puts a bug in first, which must be found (`--plant list` names them): the history written by hand for it
comes before the seeds, and the first failure ends the run. `--jobs` processes share the seeds.
"""

import argparse
import os
import sys
from collections import Counter

from engine.sim.histories import HISTORIES, run_history
from engine.sim.plants import PLANTS, plant
from engine.sim.seeds import Verdict, run_seeds, shortened
from engine.sim.world import Outcome

SHORTENED_MAX = 1


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m engine.sim", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="0:100", metavar="A:B")
    parser.add_argument("--plant", default="", metavar="NAME", choices=["", "list", *PLANTS])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="J")
    arguments = parser.parse_args()
    if arguments.plant == "list":
        print("\n".join(PLANTS))
        return 0
    first, _, last = arguments.seeds.partition(":")
    seeds = range(int(first), int(last))
    if arguments.plant in HISTORIES and (problem := _planted_history(arguments.plant)) is not None:
        print(f"history {arguments.plant}: {problem}")
        print("seeds 0, failures 1, first failing seed -")
        return 1
    verdict = run_seeds(
        seeds, name=arguments.plant, jobs=arguments.jobs, stop=bool(arguments.plant), failed=_print_failure
    )
    _explain(verdict, arguments.plant)
    print(_totals(verdict.happened))
    print(verdict.last_line)
    return 1 if verdict.failing else 0


def _planted_history(name: str) -> str | None:
    with plant(name):
        return run_history(name)


def _print_failure(outcome: Outcome) -> None:
    print(f"seed {outcome.seed}: {outcome.problem}", flush=True)


def _explain(verdict: Verdict, name: str) -> None:
    """How to run a failing seed again, and with how few faults it still fails."""
    planted = f" --plant {name}" if name else ""
    for outcome in verdict.failing[:SHORTENED_MAX]:
        print(f"again: python -m engine.sim --seeds {outcome.seed}:{outcome.seed + 1}{planted}")
        with plant(name):
            plan, shorter = shortened(outcome.seed)
        print(f"it fails with {len(plan.faults)} faults: {shorter.problem}")
        for fault in plan.faults:
            print(f"  {fault}")


def _totals(happened: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(happened.items()))


if __name__ == "__main__":
    sys.exit(main())
