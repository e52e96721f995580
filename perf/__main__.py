"""`python -m perf COMMAND`: measures, and says what it found. `python -m perf list` names the scenarios.

`all` measures every scenario and writes `perf/results/`; `report` makes its page and plots again from the JSON there;
`compare OLD NEW` says what got slower.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.embedded.process import ServerFailed
from perf.harness.checks import CheckFailed
from perf.harness.compare import compare, describe_comparison
from perf.harness.outcome import Result
from perf.harness.page import NoPlace
from perf.harness.places import RESULTS
from perf.harness.report import describe
from perf.harness.results import Unreadable, fill_readme, make_page, read_all, save
from perf.harness.scenarios import ROUNDS, ROUNDS_QUICK, SCENARIOS, add_options, load, measure
from perf.harness.steady import NotSteady
from perf.model.costs import NoCosts

REFUSALS = (CheckFailed, NotSteady, NoCosts, ServerFailed, Unreadable, TimeoutError, OSError)
"""What can go wrong without being a bug of ours: told in a line."""


def main(arguments: Sequence[str] | None = None) -> int:
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = parser_for(words).parse_args(words)
    try:
        return int(options.run(options))
    except REFUSALS as error:
        _say(_why(error))
        return 1


# -------------------------------------------------------------------- commands
def one(options: argparse.Namespace) -> int:
    """A scenario."""
    result = _measure(options.command, options, options)
    print(msgspec.json.encode(result).decode() if options.json else describe(result))
    if options.results is not None:
        save(result, options.results)
        _write_pages(options.results, mixed=False)
    return 0


def every(options: argparse.Namespace) -> int:
    """All scenarios, one after another; those that gave no figure are named at the end."""
    folder = options.results or RESULTS
    failed: dict[str, str] = {}
    for scenario in SCENARIOS:
        try:
            result = _measure(scenario, options)
        except Exception as error:  # noqa: BLE001 - a scenario that fails, however it does, stops no other
            failed[scenario] = _why(error)
            _say(f"{scenario}: {failed[scenario]}")
            continue
        save(result, folder)
        print(msgspec.json.encode(result).decode() if options.json else describe(result), flush=True)
    _write_pages(folder, mixed=False)
    for scenario, why in failed.items():
        _say(f"NO FIGURE for {scenario}: {why}")
    return 1 if failed else 0


def titles(_: argparse.Namespace) -> int:
    width = max(map(len, SCENARIOS))
    for scenario in SCENARIOS:
        print(f"{scenario:{width}}  {load(scenario).TITLE}")
    return 0


def report(options: argparse.Namespace) -> int:
    _write_pages(options.results or RESULTS, mixed=options.mixed)
    return 0


def side_by_side(options: argparse.Namespace) -> int:
    """0: nothing got slower; 1: something did; 2: nothing could be compared."""
    try:
        (old, problems), (new, more) = read_all(options.old), read_all(options.new)
    except OSError as error:
        _say(_why(error))
        return 2
    for problem in [*problems, *more]:
        _say(problem)
    comparison = compare(old, new)
    print(describe_comparison(comparison))
    return comparison.exit_code


# -------------------------------------------------------------------- parts
def _measure(scenario: str, options: argparse.Namespace, own: argparse.Namespace | None = None) -> Result:
    return measure(
        scenario, quick=options.quick, kafka=options.kafka, redis_url=options.redis, rounds=options.rounds, options=own,
        results=options.results or RESULTS,
    )  # fmt: skip


def _write_pages(folder: Path, *, mixed: bool) -> None:
    for problem in make_page(folder, mixed=mixed):
        _say(problem)
    if folder != RESULTS:
        return
    try:
        if not fill_readme(folder):
            _say("there are no bars to show: README.md stays as it was")
    except NoPlace as error:
        _say(f"README.md stays as it was: {error}")


def _why(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ServerFailed) and "Java" in str(error):
        return f"{error}. Without: --kafka embedded, or --kafka HOST:PORT for one that runs"
    return f"{type(error).__name__}: {error}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# -------------------------------------------------------------------- the command line
def parser_for(words: Sequence[str]) -> argparse.ArgumentParser:
    """Only the scenario that is asked for is loaded: its own options belong to the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m perf", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = _common()
    for scenario in SCENARIOS:
        added = commands.add_parser(scenario, parents=[common], help="a scenario")
        added.set_defaults(run=one)
        if scenario in words[:1]:
            add_options(scenario, added)
    commands.add_parser("all", parents=[common], help="every scenario").set_defaults(run=every)
    commands.add_parser("list", help="the scenarios and their titles").set_defaults(run=titles)
    remade = commands.add_parser("report", help="page and plots from the JSON files")
    remade.add_argument("--results", type=Path, metavar="FOLDER")
    remade.add_argument("--mixed", action="store_true", help="quick and full results on one page")
    remade.set_defaults(run=report)
    compared = commands.add_parser("compare", help="what got slower", description=side_by_side.__doc__)
    compared.add_argument("old", type=Path, metavar="OLD", help="a JSON file or a folder of them")
    compared.add_argument("new", type=Path, metavar="NEW")
    compared.set_defaults(run=side_by_side)
    return parser


def _common() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of text")
    parser.add_argument("--kafka", default="apache", help="apache, embedded or host:port (default: apache)")
    parser.add_argument("--redis", help="redis://... (default: one is started)")
    parser.add_argument("--rounds", type=int, help=f"default: {ROUNDS}, {ROUNDS_QUICK} with --quick")
    parser.add_argument(
        "--results", type=Path, nargs="?", const=RESULTS, metavar="FOLDER",
        help="write JSON, plots and the page there (without a folder, and with `all`: perf/results)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
