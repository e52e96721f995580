"""The command line. Each command imports what it needs when it runs, so that `billing price` is quick.

Exit codes: 0 done, 1 it did not work out (or differs), 2 the input or the settings are wrong, 130 interrupted.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

if TYPE_CHECKING:
    from billing.config import BillingConfig

Config = Annotated[Path | None, Parameter(name="--config", help="a TOML file with settings; the environment wins")]

app = App(name="billing", help="Usage-based billing, counted exactly once.", version="0.1.0")
catalog_app = App(name="catalog", help="What meters count, and what it costs.")
app.command(catalog_app)


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: turns what went wrong into words and an exit code."""
    try:
        answer = app(arguments, exit_on_error=False, print_error=True, result_action="return_value")
    except CycloptsError:
        raise SystemExit(2) from None  # cyclopts has said what is wrong
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        problems = _problems(error)
        if problems is None:
            raise
        for problem in problems:
            _say(f"billing: {problem}")
        raise SystemExit(2) from None
    raise SystemExit(answer if isinstance(answer, int) else 0)


def _problems(error: BaseException) -> Sequence[str] | None:
    """What to tell about an error that the user can mend; None if it is a fault of ours."""
    from billing.domain.problems import Invalid
    from engine import ConfigError

    if isinstance(error, BaseExceptionGroup):
        found = [_problems(one) for one in error.exceptions]
        known = [problems for problems in found if problems is not None]
        return None if len(known) < len(found) else [problem for problems in known for problem in problems]
    if isinstance(error, ConfigError):
        return error.problems
    if isinstance(error, Invalid):
        return [str(problem) for problem in error.problems]
    if isinstance(error, OSError) and error.filename is not None:
        return [f"{error.filename}: {error.strerror}"]
    return None


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _load(config: Path | None, *needs: str, **given: Any) -> "BillingConfig":
    from billing.config import load_config

    return load_config(os.environ, config, needs=needs, **given)


@app.command
def demo(
    *,
    rate: str = "500",
    seconds: float | None = None,
    port: int = 8080,
    kafka: str | None = None,
    redis: str | None = None,
    browser: bool = True,
) -> int:
    """Everything at once: broker, Redis, catalog, workers, API, page and a realistic load; ends with an audit.

    Parameters
    ----------
    rate:
        Events a second, or max.
    seconds:
        How long, from the first event sent; without it until Ctrl-C.
    port:
        Of the page; 0 takes a free one.
    kafka:
        embedded, apache or HOST:PORT; by default what BILLING_KAFKA says, else embedded.
    redis:
        embedded or a URL; by default what BILLING_REDIS says, else embedded.
    """
    from billing.demo import run_demo

    return run_demo(rate=rate, seconds=seconds, port=port, kafka=kafka, redis=redis, browser=browser)


@app.command
def price(
    rate: Path,
    /,
    *,
    quantity: list[str] | None = None,
    transactions: str | None = None,
    group: list[str] | None = None,
) -> int:
    """What quantities cost at a rate, exactly: one JSON line each.

    Parameters
    ----------
    rate:
        A rate as JSON or TOML.
    quantity:
        May be given several times.
    transactions:
        For a percentage: amounts in their order, separated by commas.
    group:
        For a matrix: name=value, may be given several times.
    """
    from billing.price import price_lines

    named = {name: value for name, _, value in (pair.partition("=") for pair in group or ())}
    for line in price_lines(rate, quantity or (), transactions, named or None):
        sys.stdout.write(line + "\n")
    return 0


@app.command
def check(catalog: Path, /) -> int:
    """Validates a catalog as a whole; names every problem with its place."""
    from billing.check import check_catalog

    lines, code = check_catalog(catalog)
    for line in lines:
        (sys.stderr if code else sys.stdout).write(line + "\n")
    return code


@catalog_app.command
def apply(
    catalog: Path, /, *, start: Annotated[str | None, Parameter(name="--from")] = None, config: Config = None
) -> int:
    """Registers a new version of the catalog, live.

    Parameters
    ----------
    catalog:
        TOML or JSON.
    start:
        From when changed meters count, RFC 3339; 60 s ahead if absent. Prices and limits hold at once.
    """
    from billing.catalog_commands import apply_file

    return apply_file(_load(config, "kafka"), catalog, start, _say)


@catalog_app.command
def show(*, config: Config = None) -> int:
    """Prints the registered catalog as JSON, and its versions on stderr."""
    from billing.catalog_commands import show_catalog

    return show_catalog(_load(config, "kafka"), _say)


@app.command
def audit(*, start: Annotated[str | None, Parameter(name="--from")] = None, config: Config = None) -> int:
    """Recounts from the log what Redis holds, and compares cell by cell. Works on a running system.

    Parameters
    ----------
    start:
        RFC 3339: only cells that begin there or later.
    """
    from billing.audit.command import audit_command
    from engine.adapters.json_log import set_up_logging

    set_up_logging(level="warning")
    return audit_command(_load(config, "kafka", "redis"), start, _say)


@app.command
def worker(*, name: str | None = None, config: Config = None) -> int:
    """Counts: from Kafka to Redis, until SIGTERM.

    Parameters
    ----------
    name:
        What /v1/pipeline calls this worker; by default host name and process id.
    """
    from billing.service import run_service
    from billing.worker import run_worker

    def load() -> "BillingConfig":
        return _load(config, "kafka", "redis")

    settings = load()
    return run_service(lambda signals: run_worker(settings, signals=signals, load=load, name=name), settings)


@app.command
def api(*, host: str | None = None, port: int | None = None, config: Config = None) -> int:
    """HTTP: takes events, answers queries, streams, serves the page."""
    from billing.api.server import run_api
    from billing.service import run_service

    given = {name: value for name, value in (("api_host", host), ("api_port", port)) if value is not None}

    def load() -> "BillingConfig":
        return _load(config, "kafka", "redis", **given)

    settings = load()
    return run_service(lambda signals: run_api(settings, signals=signals, load=load), settings)


@app.command
def send(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)], /, *, url: str | None = None, config: Config = None
) -> int:
    """Sends newline-delimited CloudEvents through the API; loses none.

    Parameters
    ----------
    file:
        A file, or - for standard input.
    url:
        Where the API is; by default the configured host and port.
    """
    from billing.send import SendFailed, send_file

    settings = _load(config)
    address = url or f"http://{settings.api_host}:{settings.api_port}"
    try:
        if file == "-":
            sent = send_file(sys.stdin.buffer, address, _say)
        else:
            with Path(file).open("rb") as stream:
                sent = send_file(stream, address, _say)
    except SendFailed as error:
        _say(f"billing: {error}")
        return 1
    _say(f"{sent.accepted:,} accepted, {sent.refused:,} refused, {sent.repeats:,} batches sent again")
    return 1 if sent.refused else 0


@app.command
def status(*, url: str | None = None, config: Config = None) -> int:
    """What the pipeline is doing, partition by partition."""
    from billing.status_table import show_status

    settings = _load(config)
    return show_status(url or f"http://{settings.api_host}:{settings.api_port}", _say)
