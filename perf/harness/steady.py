"""Rates in the steady state: what happens between a warm-up and an end, long enough to mean something."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from perf.harness.cpu import cpu_s


class NotSteady(Exception):
    """The span was too short to be called a rate."""


@dataclass(frozen=True, slots=True)
class Span:
    """When a rate may be taken: it begins after `warm_events`, and ends after `events_max` or `window_s`.

    A span that is shorter than `least_s` and has fewer than `least_events` is no steady state.
    """

    warm_events: int
    events_max: int
    window_s: float = 12.0
    least_s: float = 10.0
    least_events: int = 200_000
    stalled_s: float = 60.0
    """Without any progress for so long it gives up."""


async def steady(
    done: Callable[[], int], span: Span, *, pids: Mapping[str, int] | None = None, poll_s: float = 0.02
) -> dict[str, float]:
    """Figures of the span: events, seconds, events_per_s, worker_us, and NAME_us for each of `pids` (µs an event).

    `done` says how many events are done since the start; `worker_us` is this process's own time.

    Raises:
        NotSteady: the span was too short.
        TimeoutError: nothing moved.
    """
    pids = pids or {}
    await _until(done, span.warm_events, span, poll_s)
    first, start_s = done(), time.perf_counter()
    own_s, others_s = time.process_time(), {name: cpu_s(pid) for name, pid in pids.items()}
    await _until(done, span.events_max, span, poll_s, end_s=start_s + span.window_s)
    events, elapsed_s = done() - first, time.perf_counter() - start_s
    if elapsed_s < span.least_s and events < span.least_events:
        raise NotSteady(
            f"process {os.getpid()}: {events} events in {elapsed_s:.2f} s; {span.least_s:g} s or "
            f"{span.least_events} events were expected, so no rate was taken"
        )
    figures = {"events": float(events), "seconds": elapsed_s, "events_per_s": events / elapsed_s}
    figures["worker_us"] = (time.process_time() - own_s) / max(1, events) * 1e6
    for name, pid in pids.items():
        figures[f"{name}_us"] = (cpu_s(pid) - others_s[name]) / max(1, events) * 1e6
    return figures


async def _until(done: Callable[[], int], count: int, span: Span, poll_s: float, end_s: float = float("inf")) -> None:
    newest, moved_s = done(), time.perf_counter()
    while newest < count and (now_s := time.perf_counter()) < end_s:
        await asyncio.sleep(poll_s)
        if (current := done()) != newest:
            newest, moved_s = current, now_s
        elif now_s - moved_s > span.stalled_s:
            raise TimeoutError(f"{newest} of {count} events are done, and nothing moved for {span.stalled_s:g} s")
