"""Who spends what: all customers at once, refreshed while somebody looks, ordered once for everybody.

A customer's row is computed again only when its total has changed. A refresh is followed by a pause of many times what
it took, so that it never fills the process. Meanwhile the few that somebody looks at are read again and again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from billing.domain.customers import Customer
from billing.domain.periods import Window
from billing.facts import Facts
from billing.rows import Row, Snapshot, quick_by_share, row_of
from billing.store import Store
from engine import Clock, Totals

PAUSE_LEAST_S = 0.25
PAUSE_MOST_S = 3.0
"""However many customers there are, and whatever else the process did meanwhile: their sums must not stay behind."""
PAUSE_FACTOR = 40.0
"""So many times the processor time that a refresh takes: it gets at most 2.5 % of a core until PAUSE_MOST_S. Who waits
for an answer of Redis, or for a turn, uses none."""
FRESH_MS = 1_000
"""A snapshot of this age is new enough for whoever asks once."""
CALLS_AT_ONCE = 8
INDEX_EVERY_S = 2.0
INDEX_FACTOR = 50.0
"""All names are asked for after so many times what that took, and after INDEX_EVERY_S at the latest: a new customer is
seen at once where there are few."""
ROWS_AT_ONCE = 500
"""So many are looked through before others of the process have a turn."""
Answer = TypeVar("Answer")


class TotalsReader(Protocol):
    """What is needed of the engine's `StateReader`."""

    async def keys(self, bucket: int) -> Mapping[bytes, tuple[int, ...]]: ...
    async def totals(self, wanted: Sequence[bytes], start_s: int, end_s: int) -> Sequence[Totals]: ...


class Standings:
    """Call `run` in a task group, `fresh` to get what is known."""

    def __init__(self, store: Store, reader: TotalsReader, facts: Facts, *, buckets: int, clock: Clock) -> None:
        self._store = store
        self._reader = reader
        self._facts = facts
        self._buckets = buckets
        self._clock = clock
        self._index: dict[str, tuple[int, ...]] = {}
        self._index_due_s = 0.0
        self._catalog: object = None
        self._known: dict[str, Known] = {}
        self._wanted = asyncio.Event()
        self._refreshed = asyncio.Condition()
        self._begun = 0
        self._finished = 0
        self.snapshot = Snapshot(0)
        self._newest = Snapshot(0)
        self._watched = False
        self._follows = False

    async def run(self, patiently: "Patience") -> None:
        """Refreshes for ever, while somebody looks or Redis does not answer, of which `patiently` tells."""
        await self._facts.wait_for_catalog()
        while True:
            self._wanted.clear()
            began_s = time.thread_time()
            self._begun += 1
            begun = self._begun
            came_through = await patiently(self._refresh)
            if came_through:
                async with self._refreshed:
                    self._finished = begun
                    self._refreshed.notify_all()
            self._follows = self._follows or came_through
            used_s = time.thread_time() - began_s if came_through else 0.0  # a failure tells nothing of the work
            await asyncio.sleep(min(PAUSE_MOST_S, max(PAUSE_LEAST_S, PAUSE_FACTOR * used_s)))
            if came_through and not self._watched:
                self._follows = False
                await self._wanted.wait()

    def watch(self, watched: bool) -> None:
        """Whether somebody looks all the time, so that refreshes follow one another."""
        self._watched = watched
        if watched:
            self._wanted.set()

    async def fresh(self, timeout_s: float = 2.0) -> Snapshot:
        """A snapshot that is new enough, or the newest one if that takes too long.

        While refreshes follow one another, and in the pause after one, the newest is as new as it gets: nobody waits.
        """
        if not self._follows and self._clock.now_ms() - self.snapshot.as_of_ms > FRESH_MS:
            wanted = self._begun + 1 if self._begun == self._finished else self._begun
            self._wanted.set()
            try:
                async with asyncio.timeout(timeout_s), self._refreshed:
                    await self._refreshed.wait_for(lambda: self._finished >= wanted)
            except TimeoutError:
                pass  # as_of tells how old it is
        return self.snapshot

    async def look_again(self, names: Iterable[str]) -> None:
        """Reads these customers and no others; `newest` knows them then. Raises Unanswered."""
        as_of_ms, catalog = self._clock.now_ms(), self._facts.catalog
        now_s = as_of_ms // 1_000
        customers = [catalog.customer(name) for name in names]
        totals = await self._read_totals(customers, now_s)
        known = {customer.id: await self._know(customer, totals, now_s) for customer in customers}
        if catalog is self._catalog:  # else what is known is of the old one, until the next refresh
            self._known |= known
            self._newest = Snapshot(as_of_ms, tuple(each.row for each in known.values()))

    def newest(self, rows: Sequence[Row]) -> tuple[int, list[Row]] | None:
        """As of when these rows of the snapshot are known at the earliest, and as what. None: some of them were not
        read with the others lately, so that they have no newest moment in common.
        """
        near, far = self._newest, self.snapshot
        if near.as_of_ms < far.as_of_ms:
            return far.as_of_ms, list(rows)
        found = [newer for row in rows if (newer := near.of(row.customer.id)) is not None]
        return (near.as_of_ms, found) if len(found) == len(rows) else None

    async def _refresh(self) -> None:
        as_of_ms = self._clock.now_ms()
        catalog = self._facts.catalog
        if catalog is not self._catalog:
            self._catalog = catalog
            self._known.clear()
        await self._refresh_index()
        customers = dict(catalog.customers)
        for name in self._index:
            if name not in customers:
                customers[name] = catalog.customer(name)
        now_s = as_of_ms // 1_000
        totals = await self._read_totals(customers.values(), now_s)
        known = {}
        for number, customer in enumerate(customers.values()):
            known[customer.id] = await self._know(customer, totals, now_s)
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)  # others have their turn
        self.snapshot = Snapshot(as_of_ms, self._ordered(known))
        self._known = known

    def _ordered(self, known: Mapping[str, "Known"]) -> tuple[Row, ...]:
        """By share. Most rows stand as they stood: in front, so that sorting only merges the others in."""
        kept = [one for row in self.snapshot.rows if (one := known.get(row.customer.id)) is not None and one.row is row]
        unmoved = {one.row.customer.id for one in kept}
        moved = [one for name, one in known.items() if name not in unmoved]
        ordered = sorted(kept + sorted(moved, key=_rank), key=_rank)
        return tuple(one.row for one in ordered)

    async def _refresh_index(self) -> None:
        clock_s = asyncio.get_running_loop().time
        begun_s = clock_s()
        if begun_s < self._index_due_s:
            return
        found = await self._at_once([self._reader.keys(bucket) for bucket in range(self._buckets)])
        self._index = {key.decode(): days for of_bucket in found for key, days in of_bucket.items()}
        self._index_due_s = begun_s + min(INDEX_EVERY_S, INDEX_FACTOR * (clock_s() - begun_s))

    async def _read_totals(self, customers: Iterable[Customer], now_s: int) -> dict[tuple[str, Window], Totals]:
        """The running totals of everybody's current period."""
        wanted: dict[Window, list[bytes]] = {}
        for customer in customers:
            if customer.priced and customer.id in self._index:
                wanted.setdefault(customer.time_zone.month(now_s), []).append(customer.id.encode())
        found = await self._at_once([self._reader.totals(names, *period) for period, names in wanted.items()])
        return {
            (total.key.decode(), Window(total.period.start_s, total.period.end_s)): total
            for totals in found
            for total in totals
        }

    async def _at_once(self, questions: Sequence[Coroutine[Any, Any, Answer]]) -> list[Answer]:
        """Asks all, some at a time. Raises the first failure, after all have ended."""
        places = asyncio.Semaphore(CALLS_AT_ONCE)

        async def ask(question: Coroutine[Any, Any, Answer]) -> Answer:
            async with places:
                return await question

        answers = await asyncio.gather(*map(ask, questions), return_exceptions=True)
        found = [answer for answer in answers if not isinstance(answer, BaseException)]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return found

    async def _know(self, customer: Customer, totals: Mapping[tuple[str, Window], Totals], now_s: int) -> "Known":
        """What is known still holds where the total is the same, and tells all; where there is none, no cell may."""
        period = customer.time_zone.month(now_s)
        total = totals.get((customer.id, period))
        basis = (period, None if total is None else total.values)
        known = self._known.get(customer.id)
        has_cells = total is None and any(_touches(day, period) for day in self._index.get(customer.id, ()))
        if known is not None and known.basis == basis and known.tells_all and not (has_cells and customer.priced):
            return known
        usage = None if total is None else self._store.usage_of_total(customer, total)
        tells_all = usage is not None or total is None or not customer.priced
        if usage is None and (has_cells or total is not None) and customer.priced:
            statement = await self._store.statement(customer, period)
        else:
            statement = self._store.state_of(customer, period, usage or ())
        row = row_of(statement)
        if known is not None and known.row == row:
            row = known.row
        return Known(basis, tells_all, row, quick_by_share(row))


class Known(NamedTuple):
    """A customer's row, of what it was made, whether that tells everything, and where it stands by share."""

    basis: object
    tells_all: bool
    row: Row
    place: tuple[Any, ...]


def _rank(known: Known) -> tuple[Any, ...]:
    return known.place


class Patience(Protocol):
    """Runs a step and says whether it came through; keeps what went wrong for people to see."""

    def __call__(self, step: Callable[[], Awaitable[None]], /) -> Awaitable[bool]: ...


def _touches(day: int, period: Window) -> bool:
    return day * 86_400 < period.end_s and (day + 1) * 86_400 > period.start_s
