"""The scenarios: found by file name, loaded when they are wanted, and run on servers of their own.

A scenario is a module with `TITLE` and `measure(stage)`. It may have `options(parser)`, which declares options of its
own, and `SERVERS = False`, where it needs none.
"""

import argparse
import importlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from perf.harness.machine import machine, versions
from perf.harness.outcome import Result
from perf.harness.places import RESULTS
from perf.harness.report import NO_SERVERS
from perf.harness.servers import Servers, running
from perf.harness.stage import Stage

SCENARIOS = tuple(
    sorted(path.stem.replace("_", "-") for path in Path(__file__).parents[1].joinpath("scenarios").glob("[a-z]*.py"))
)
ROUNDS, ROUNDS_QUICK = 5, 2
NOWHERE = Servers(NO_SERVERS, "", "", None, None)


def load(scenario: str) -> Any:
    """Its module."""
    return importlib.import_module(f"perf.scenarios.{scenario.replace('-', '_')}")


def add_options(scenario: str, parser: argparse.ArgumentParser) -> None:
    """Those of its own, where it has any."""
    declare = getattr(load(scenario), "options", None)
    if declare is not None:
        declare(parser)


def defaults(scenario: str) -> argparse.Namespace:
    """Its own options as they are when none is given."""
    parser = argparse.ArgumentParser()
    add_options(scenario, parser)
    return parser.parse_args([])


def measure(
    scenario: str, *, quick: bool, kafka: str = "apache", redis_url: str | None = None, rounds: int | None = None,
    options: argparse.Namespace | None = None, results: Path = RESULTS,
) -> Result:  # fmt: skip
    """One scenario on servers of its own. Raises what the scenario raises: then there is no figure."""
    module, own = load(scenario), options or defaults(scenario)
    at, began_s = machine(), time.perf_counter()
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    rounds_of_it = rounds or (ROUNDS_QUICK if quick else ROUNDS)
    with _progress() as progress:
        if getattr(module, "SERVERS", True):
            with running(kafka, redis_url) as servers:
                findings = module.measure(Stage(servers, quick, rounds_of_it, progress, scenario, own, results))
        else:
            kafka = NO_SERVERS
            findings = module.measure(Stage(NOWHERE, quick, rounds_of_it, progress, scenario, own, results))
    return Result(
        scenario=scenario,
        title=module.TITLE,
        measured_at=measured_at,
        took_s=time.perf_counter() - began_s,
        quick=quick,
        kafka=kafka,
        command=_command(scenario, quick, kafka, rounds, own),
        machine=at,
        versions=versions(),
        findings=findings,
    )


def _command(scenario: str, quick: bool, kafka: str, rounds: int | None, own: argparse.Namespace) -> str:
    """How to measure it again. The address of Redis is left out: it may hold a password."""
    usual = vars(defaults(scenario))
    words = ["python -m perf", scenario, *(["--quick"] if quick else [])]
    words += [f"--kafka {kafka}"] if kafka not in {"apache", NO_SERVERS} else []
    words += [f"--rounds {rounds}"] if rounds else []
    words += [
        f"--{name.replace('_', '-')} {','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in vars(own).items()
        if name in usual and value != usual[name]
    ]
    return " ".join(words)


def _progress() -> Progress:
    """On the terminal's error stream, and nowhere else."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip
