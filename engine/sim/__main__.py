"""`python -m engine.sim --seeds A:B`: the simulation over a half-open range of seeds."""

import argparse
import sys
from collections import Counter

from engine.sim.world import run_seed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.sim", description=__doc__)
    parser.add_argument("--seeds", default="0:100", metavar="A:B")
    first, _, last = parser.parse_args().seeds.partition(":")
    failing: list[int] = []
    totals: Counter[str] = Counter()
    for seed in range(int(first), int(last)):
        outcome = run_seed(seed)
        totals += outcome.happened
        if outcome.problem is not None:
            failing.append(seed)
            print(f"seed {seed}: {outcome.problem}")
    print(", ".join(f"{name} {count:,}" for name, count in sorted(totals.items())))
    seeds = int(last) - int(first)
    print(f"seeds {seeds}, failures {len(failing)}, first failing seed {failing[0] if failing else '-'}")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
