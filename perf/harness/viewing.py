"""The billing service with viewers: a system that stays up over all samples, and a sample with and without them."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from anyio.from_thread import BlockingPortal, start_blocking_portal

from perf.harness.cpu import cpu_s
from perf.harness.isolated import standing_by
from perf.harness.open_loop import Schedule, drive, sleep_until
from perf.harness.outcome import Figures
from perf.harness.paged import Due, Sight, WatchedPage, event_to_pixel, watched_page
from perf.harness.servers import append_only
from perf.harness.service import Service, service
from perf.harness.stage import Stage
from perf.harness.streams import Look
from perf.harness.viewers_log import Customers, ViewersLog, dollars
from perf.harness.watching import Span, Truth, watch_streams

LEAD_S = 3.0
"""The processes are up; load and viewers get ready meanwhile."""
WARM_S = 3.0
"""Standings are read, caches are filled."""
PAGE_S = 6.0
"""So long a page may take to open and to come to rest."""
PARTITIONS = 4
NEAR, AT = Look(state="near"), Look(state="at")
FIRST_WATCHED = 10
"""Viewers of one customer look at busy ones, from this place on, but not at the busiest."""


@dataclass(slots=True)
class Viewing:
    """The service, and what has been sent to it."""

    running: Service
    portal: BlockingPortal
    bootstrap: str
    customers: Customers
    events_planned: int
    time_s: int
    pids: dict[str, int]
    sent: int = 0
    segments: int = 0
    cents: dict[str, int] = field(default_factory=dict)
    """What each customer has spent when all that was sent is counted."""
    before: dict[str, int] = field(default_factory=dict)
    """The same without the newest segment."""

    def next_log(self, events: int) -> ViewersLog:
        """One more segment of the load, which counts as sent."""
        self.segments += 1
        log = ViewersLog(events, len(self.customers.names), self.events_planned, self.time_s, self.segments)
        self.before = dict(self.cents)
        for name, cents in log.cents().items():
            self.cents[name] = self.cents.get(name, 0) + cents
        self.sent += events
        return log

    def due(self, log: ViewersLog, schedule: Schedule) -> dict[str, Due]:
        """Every amount that is true of a customer while the newest segment runs."""
        found = {name: ([self.before.get(name, 0)], [0]) for name in self.customers.names}
        for number, (name, cents) in enumerate(log.usages()):
            amounts, due_us = found[name]
            amounts.append(amounts[-1] + cents)
            due_us.append(schedule.intended_us(number))
        return {name: Due(*each) for name, each in found.items()}

    def truth(self, looks: Sequence[Look]) -> Truth:
        """What each look must show when all that was sent is counted."""
        return Truth({look: self._shown(look) for look in set(looks)})

    def _shown(self, look: Look) -> dict[str, str]:
        if look.customer is not None:
            return {look.customer: dollars(self.cents.get(look.customer, 0))}
        standings = self.customers.standings(self.cents, state=look.state)
        return {each.customer: dollars(each.spent) for each in standings[: look.top]}


def looks_of(viewers: int, customers: Customers) -> list[Look]:
    """One in five looks at one customer, one in ten at a state, the others at everybody."""
    looks = []
    for number in range(viewers):
        if number % 5 == 4:
            looks.append(Look(customer=customers.names[(FIRST_WATCHED + number // 5) % len(customers.names)]))
        elif number % 10 == 3:
            looks.append(NEAR if number % 20 == 3 else AT)
        else:
            looks.append(Look())
    return looks


@contextmanager
def viewing(stage: Stage, *, customers: int, events_planned: int) -> Iterator[Viewing]:
    """The service, ready, on a Redis that appends to a file."""
    crowd = Customers(customers, events_planned)
    name = stage.new_name("service")
    with (
        append_only(stage.servers.redis_url),
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            service(stage.servers, name, crowd.catalog(), partitions=PARTITIONS, session_s=stage.servers.session_s)
        ) as running,
    ):
        pids = running.pids | stage.servers.pids
        yield Viewing(
            running, portal, stage.servers.bootstrap, crowd, events_planned, int(time.time()), pids
        )  # fmt: skip


def sample(state: Viewing, viewers: int, *, events_per_s: int, seconds: float) -> Figures:
    """Shares of a core by process under the load, and what the viewers saw. Raises CheckFailed."""
    return state.portal.call(partial(_sample, state, viewers, events_per_s=events_per_s, seconds=seconds))


async def _sample(state: Viewing, viewers: int, *, events_per_s: int, seconds: float) -> dict[str, float]:
    log = state.next_log(round(events_per_s * (WARM_S + seconds)))
    looks = looks_of(viewers, state.customers)
    truth = state.truth(looks)
    async with standing_by(drive, watch_streams) as (send, watch), asyncio.TaskGroup() as tasks:
        schedule = Schedule.soon(events_per_s, lead_s=LEAD_S, warm_s=WARM_S)
        end_us = schedule.intended_us(log.events)
        span = Span(schedule.judged_from_us, end_us, end_us)
        load = tasks.create_task(send(bootstrap=state.bootstrap, topic=state.running.topic, log=log, schedule=schedule))
        used = tasks.create_task(shares(state.pids, span))
        seen = tasks.create_task(watch(url=state.running.url, looks=looks, span=span, truth=truth)) if looks else None
    await state.running.until_counted(state.sent)
    figures: dict[str, float] = used.result() | ({} if seen is None else seen.result()) | load.result()
    return figures


def page_sample(state: Viewing, look: Look, *, events_per_s: int, seconds: float, drawn_s: float) -> Figures:
    """The page at `look` in a browser: its costs for `seconds` under the load, then for `drawn_s` what is drawn when.

    Raises:
        CheckFailed: it showed an amount that was never true, or the stream did.
    """
    path = "/" if look.customer is None else f"/customers/{look.customer}"
    with watched_page(state.running.url) as page:
        return state.portal.call(partial(_page_sample, state, look, page, path, events_per_s, seconds, drawn_s))


async def _page_sample(
    state: Viewing, look: Look, page: WatchedPage, path: str, events_per_s: int, seconds: float, drawn_s: float
) -> dict[str, float]:
    log = state.next_log(round(events_per_s * (WARM_S + PAGE_S + seconds + drawn_s)))
    truth = state.truth([look])
    async with standing_by(drive, watch_streams) as (send, watch), asyncio.TaskGroup() as tasks:
        schedule = Schedule.soon(events_per_s, lead_s=LEAD_S, warm_s=WARM_S + PAGE_S)
        until_us = schedule.judged_from_us + round(seconds * 1e6)
        span = Span(schedule.judged_from_us, until_us, schedule.intended_us(log.events))
        load = tasks.create_task(send(bootstrap=state.bootstrap, topic=state.running.topic, log=log, schedule=schedule))
        seen = tasks.create_task(watch(url=state.running.url, looks=[look], span=span, truth=truth))
        due = await asyncio.to_thread(state.due, log, schedule)
        await sleep_until(schedule.start_us)
        looked = await asyncio.to_thread(_look_at, page, path, span, drawn_s)
    await state.running.until_counted(state.sent)
    costs, sights = looked
    frames_per_s = seen.result()["frames_per_s"]
    costs["script_ms_per_frame"] = costs["script_ms_per_s"] / frames_per_s
    figures: dict[str, float] = costs | {"frames_per_s": frames_per_s} | event_to_pixel(sights, due) | load.result()
    return figures


def _look_at(page: WatchedPage, path: str, span: Span, drawn_s: float) -> tuple[dict[str, float], list[Sight]]:
    first_ms = page.open(path)
    begin = page.size()
    costs = page.costs(span.seconds)
    end = page.size()
    costs |= end | {"first_amount_ms": first_ms, "heap_growth": end["heap_bytes"] / begin["heap_bytes"]}
    return costs, page.sights(drawn_s)


async def shares(pids: dict[str, int], span: Span) -> dict[str, float]:
    """Processor time of each process in the span, in % of one core."""
    await sleep_until(span.from_us)
    before, began_s = {name: cpu_s(pid) for name, pid in pids.items()}, time.perf_counter()
    await sleep_until(span.until_us)
    elapsed_s = time.perf_counter() - began_s
    return {f"{name}_core_pct": (cpu_s(pid) - before[name]) / elapsed_s * 100 for name, pid in pids.items()}
