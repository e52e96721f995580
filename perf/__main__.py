"""`python -m perf SCENARIO [--json] [--quick]`; `python -m perf all` writes all figures to `perf/results/`."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from perf import exactly_once

SCENARIOS: dict[str, Callable[..., dict[str, object]]] = {"exactly-once": exactly_once.measure}
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m perf", description=__doc__)
    parser.add_argument("scenario", choices=[*SCENARIOS, "all"])
    parser.add_argument("--json", action="store_true", help="one JSON line instead of text")
    parser.add_argument("--quick", action="store_true", help="fewer events")
    parser.add_argument("--kafka", default="apache", choices=["apache", "embedded"], help="the broker to start")
    options = parser.parse_args()
    for name in SCENARIOS if options.scenario == "all" else [options.scenario]:
        result = SCENARIOS[name](quick=options.quick, kafka=options.kafka)
        if options.scenario == "all":
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
        print(json.dumps(result) if options.json else exactly_once.describe(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
