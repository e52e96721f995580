"""The demo's figures in words: the status lines, and alerts as they come."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

SYMBOLS = {"USD": "$", "EUR": "€"}
COUNTED, UNMETERED, DUPLICATES, DEAD = "counted", "unmetered", "duplicates_dropped", "dead_lettered"


def status_lines(
    elapsed_s: float, sent: int, pipeline: Mapping[str, Any], overview: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """What was sent and what became of it; how quick it is, and what it comes to."""
    counters = pipeline.get("counters") or {}
    done = sum(counters.get(name, 0) for name in (COUNTED, UNMETERED, DUPLICATES, DEAD))
    unmetered = f" + unmetered {counters[UNMETERED]:,}" if counters.get(UNMETERED) else ""
    minutes, seconds = divmod(int(elapsed_s), 60)
    first = (
        f"  {minutes:02d}:{seconds:02d}  {pipeline.get('events_per_s') or 0:,.0f}/s  sent {sent:,} = "
        f"counted {counters.get(COUNTED, 0):,} + duplicates {counters.get(DUPLICATES, 0):,}{unmetered} "
        f"+ rejected {counters.get(DEAD, 0):,} + in flight {max(0, sent - done):,}"
    )
    second = [_latency(pipeline.get("latency_s") or {})]
    currencies: Sequence[Mapping[str, Any]] = (overview or {}).get("currencies") or ()
    second += [f"{one['currency']} {grouped(one['spend'])}" for one in currencies]
    if currencies:
        second.append(f"{sum(one['at_limit'] for one in currencies)} at limit")
    return first, "         " + " · ".join(filter(None, second))


def alert_line(alert: Mapping[str, Any], local: datetime) -> str:
    """`local`: the alert's time on the clock of whoever looks."""
    limit, customer = alert.get("limit"), alert["customer"]
    after = f", {alert['latency_s'] * 1_000:.0f} ms after the event" if alert.get("latency_s") is not None else ""
    if limit is not None and alert["threshold"] == limit:
        shown = f"closed  {customer} at {money(alert['spend'], alert['currency'])} of {money(limit, alert['currency'])}"
    elif limit is not None and alert["rule"].endswith("%"):
        shown = f"alert   {customer} at {alert['rule'].rstrip('%')} % of {money(limit, alert['currency'])}"
    else:
        shown = f"alert   {customer} at {money(alert['threshold'], alert['currency'])}"
    return f"  {local:%H:%M:%S}  {shown}{after}"


def money(amount: str, currency: str) -> str:
    symbol = SYMBOLS.get(currency)
    return f"{symbol}{grouped(amount)}" if symbol else f"{currency} {grouped(amount)}"


def grouped(amount: str) -> str:
    """A decimal text with its thousands set apart; never through a float."""
    whole, point, decimals = amount.partition(".")
    return f"{int(whole):,}{point}{decimals}"


def _latency(latency: Mapping[str, float | None]) -> str:
    shown = [f"{name} {value * 1_000:.0f} ms" for name in ("p50", "p99") if (value := latency.get(name)) is not None]
    return "event to total " + "  ".join(shown) if shown else ""
