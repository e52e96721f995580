"""Read models: usage, spend and access of one customer, from the engine's read port under the newest catalog.

A customer's running total answers where there is one; else the cells of the period are rolled up, read in one moment.
Versions of a meter are one meter to whoever reads.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Literal, NamedTuple, Protocol

from billing.catalog import CatalogHistory
from billing.domain import limits
from billing.domain.customers import Customer
from billing.domain.limits import Access
from billing.domain.meters import Meter
from billing.domain.periods import Window, WindowKind
from billing.domain.plans import Plan
from billing.domain.spend import Spend, Unpriced, Usage, quantity_of, spend_of
from billing.series import group_of, parse_series_name
from engine import Aggregate, Reading, Series, Totals, merge

ROWS_MAX = 10_000
NOTHING = Reading()
UsageWindow = Literal["hour", "day", "month", "total"]


class Reader(Protocol):
    """What is needed of the engine's `StateReader`."""

    async def total(self, key: bytes, start_s: int, end_s: int) -> Totals | None: ...
    async def roll_up(
        self, key: bytes, start_s: int, end_s: int, window_of: Callable[[int], Window], *, members: bool = False
    ) -> Mapping[Series, Mapping[Window, Reading]]: ...
    async def days(self, key: bytes) -> Sequence[int]: ...
    async def last_arrival_ms(self, key: bytes, day: int) -> int | None: ...


class KnownFacts(Protocol):
    @property
    def history(self) -> CatalogHistory: ...


class TooManyRows(Exception):
    """The answer would have more than ROWS_MAX rows."""


class UsageRow(NamedTuple):
    """`window`: the window that the value covers; `group`: the named groups only."""

    window: Window
    group: Mapping[str, str]
    value: Fraction


@dataclass(frozen=True, slots=True)
class Statement:
    """What a customer spent in a period. `spend` is None for one without prices; then `unpriced` has everything."""

    customer: Customer
    period: Window
    spend: Spend | None
    unpriced: Sequence[Unpriced]


class Store:
    """Answers from Redis. Every method may raise Unanswered."""

    def __init__(self, reader: Reader, facts: KnownFacts) -> None:
        self._reader = reader
        self._facts = facts
        self._seen: set[str] = set()

    async def find_customer(self, customer_id: str) -> Customer | None:
        """None if neither the catalog nor any counted event names it."""
        customer = self._facts.history.newest.customer(customer_id)
        if customer.named or customer_id in self._seen:
            return customer
        if not await self._reader.days(customer_id.encode()):
            return None
        if len(self._seen) >= 100_000:
            self._seen.clear()
        self._seen.add(customer_id)
        return customer

    # ---------------------------------------------------------------- usage
    async def usage(
        self, customer: Customer, meter: str, span: Window, window: UsageWindow, group_by: Sequence[str]
    ) -> list[UsageRow]:
        """Rows in the order of their windows and groups; empty windows are left out.

        Raises:
            TooManyRows
        """
        members = any(version.aggregate is Aggregate.UNIQUE for version in self._facts.history.meter_versions(meter))
        window_of = _all_in(span) if window == "total" else partial(customer.time_zone.window, window)
        rolled = await self._reader.roll_up(customer.id.encode(), *span, window_of, members=members)
        rows: dict[tuple[Window, tuple[str, ...]], list[Usage]] = {}
        for series, readings in rolled.items():
            one = self._usage_of(series, NOTHING)
            if one is None or one.meter.name != meter:
                continue
            group = group_of(one)
            named = tuple(group.get(name, "") for name in group_by)
            for place, reading in readings.items():
                rows.setdefault((place, named), []).append(Usage(one.meter, one.group, reading))
            if len(rows) > ROWS_MAX:
                raise TooManyRows
        return [
            UsageRow(place, dict(zip(group_by, named, strict=True)), quantity_of(items))
            for (place, named), items in sorted(rows.items(), key=lambda row: row[0])
        ]

    # ---------------------------------------------------------------- spend
    async def statement(self, customer: Customer, period: Window) -> Statement:
        """All lines of a month, as of one moment."""
        return self.state_of(customer, period, await self._period_usage(customer, period))

    def state_of(self, customer: Customer, period: Window, usage: Sequence[Usage]) -> Statement:
        """The statement of usage that is at hand already."""
        if customer.plan is None or customer.currency is None:
            return Statement(customer, period, None, _nothing_priced(usage))
        spend = spend_of(customer.plan, customer.currency, usage)
        return Statement(customer, period, spend, spend.unpriced)

    def usage_of_total(self, customer: Customer, total: Totals) -> list[Usage] | None:
        """None where the total can't tell: a rate joins sets, whose members only the cells hold."""
        usage = self._known(total.values.items())
        return None if customer.plan is not None and joins_sets(customer.plan, usage) else usage

    async def _period_usage(self, customer: Customer, period: Window) -> list[Usage]:
        key = customer.id.encode()
        if customer.priced:
            total = await self._reader.total(key, *period)
            usage = None if total is None else self.usage_of_total(customer, total)
            if usage is not None:
                return usage
        rolled = await self._reader.roll_up(key, *period, _all_in(period), members=True)
        return self._known((series, readings[period]) for series, readings in rolled.items())

    async def spend_by_window(self, customer: Customer, period: Window, kind: WindowKind) -> list[tuple[Window, Spend]]:
        """What had been spent by the end of each window that holds usage and of the first, oldest first.

        For priced customers. What a plan costs without usage is there at the end of the first window.
        """
        assert customer.plan is not None
        assert customer.currency is not None
        window_of = partial(customer.time_zone.window, kind)
        rolled = await self._reader.roll_up(customer.id.encode(), *period, window_of, members=True)
        windows = {window_of(period.start_s)}.union(*rolled.values())
        so_far: dict[Series, Reading] = {}
        steps = []
        for window in sorted(windows):
            for series, readings in rolled.items():
                if window in readings:
                    before, reading = so_far.get(series), readings[window]
                    so_far[series] = reading if before is None else merge(series.aggregate, before, reading)
            steps.append((window, spend_of(customer.plan, customer.currency, self._known(so_far.items()))))
        return steps

    async def last_arrival_ms(self, customer_id: str) -> int | None:
        """When the newest counted event of the two newest days with usage arrived; None if there is none."""
        key = customer_id.encode()
        days = await self._reader.days(key)
        arrivals = [
            arrival_ms
            for day in sorted(days)[-2:]
            if (arrival_ms := await self._reader.last_arrival_ms(key, day)) is not None
        ]
        return max(arrivals, default=None)

    def _known(self, readings: Iterable[tuple[Series, Reading]]) -> list[Usage]:
        return [item for series, reading in readings if (item := self._usage_of(series, reading)) is not None]

    def _usage_of(self, series: Series, reading: Reading) -> Usage | None:
        name = parse_series_name(series.name)
        meter: Meter | None = self._facts.history.meter(name.meter, name.version)
        return None if meter is None else Usage(meter, name.group, reading)


def _all_in(span: Window) -> Callable[[int], Window]:
    """Everything falls in one window."""
    return lambda start_s: span


def joins_sets(plan: Plan, usage: Sequence[Usage]) -> bool:
    """Whether one rate would have to join several sets of these."""
    sets = [item for item in usage if item.meter.aggregate is Aggregate.UNIQUE]
    return len(sets) > 1 and any(
        sum(item.meter.name == entry.meter and entry.prices(group_of(item)) for item in sets) > 1
        for entry in plan.rates
    )


def access_of(statement: Statement) -> Access:
    """May the customer go on? One without prices has no limit."""
    if statement.spend is None:
        return Access(True, "not priced", None, None)
    return limits.access(statement.spend.total, statement.customer.limit)


def _nothing_priced(usage: Sequence[Usage]) -> list[Unpriced]:
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[Usage]] = {}
    for item in usage:
        groups.setdefault((item.meter.name, tuple(group_of(item).items())), []).append(item)
    return [Unpriced(name, dict(group), quantity_of(items)) for (name, group), items in groups.items()]
