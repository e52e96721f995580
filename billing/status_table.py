"""`billing status`: what `/v1/pipeline` says, as a table for people."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

COLUMNS = ("partition", "worker", "state", "lag", "lag_s", "unstarted", "in_flight", "watermark", "end", "held back by")


def show_status(url: str, say: Callable[[str], None]) -> int:
    """Prints the table; 1 if the API does not answer, or says that it cannot tell."""
    try:
        answer = httpx.get(f"{url}/v1/pipeline", timeout=5.0)
        content = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        say(f"billing: {url} does not answer: {error}")
        return 1
    if answer.status_code != httpx.codes.OK:
        say(f"billing: {content.get('detail', answer.text)}")
        return 1
    Console().print(_table(content))
    return 0


def _table(content: Mapping[str, Any]) -> Table:
    freshness = _text(content["freshness_s"])
    title = f"{content['workers']} workers, {content['events_per_s']:,.0f} events/s, {freshness} s behind"
    if content["lanes"].get("breaker_open"):
        title += ", the circuit breaker is open"
    table = Table(title=title)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in {"worker", "state", "held back by"} else "right")
    for partition in sorted(content["partitions"], key=lambda one: (-(one["lag"] or 0), one["partition"])):
        held = _held_back(partition["held_back_by"]) + _parked(partition.get("parked", ()))
        table.add_row(*(_text(partition.get(name)) for name in COLUMNS[:-1]), held)
    return table


def _parked(parked: Sequence[Any]) -> str:
    return f" · {len(parked)} keys parked" if parked else ""


def _held_back(held: Mapping[str, Any] | None) -> str:
    if held is None:
        return ""
    return f"offset {held['offset']}, {held['age_s']:.1f} s, {held['attempts']} attempts: {held['reason']}"


def _text(value: object) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
