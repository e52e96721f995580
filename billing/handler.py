"""The handler: what a usage event adds, and what is due at a customer's totals. Where billing meets the engine.

What an event adds follows from its bytes, its arrival and the facts: the meter versions that are valid at its arrival
and the customer's clock. What is due follows from the totals under the newest catalog. Everything that many events
share (an hour, a cell, a customer) is made once and remembered, up to a bound.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from billing.catalog import CatalogHistory
from billing.domain.customers import Customer
from billing.domain.limits import DueAlert
from billing.domain.meters import Measure, Meter, MeterSet
from billing.domain.periods import QUARTER_S, TimeZone
from billing.domain.problems import InvalidEvent
from billing.domain.usage import LOG_GRACE_S, check_key, decode, moment_us
from billing.reaction import Reactions, encode_alert
from billing.series import series_name
from engine import Cell, Clock, Counts, Dead, Effect, Event, Message, Period, Totals, Value, identity_of

TENANT = b"default"
QUARTER_US = QUARTER_S * 1_000_000
REMEMBERED_MAX = 100_000
REASON_CHARACTERS_MAX = 1_000


class KnownFacts(Protocol):
    """What the handler needs of the facts."""

    @property
    def history(self) -> CatalogHistory: ...

    def handles_until_ms(self) -> int: ...


class Place(NamedTuple):
    """Where an event of a customer counts: the start of the local hour, and the running total beside it."""

    start_s: int
    period: Period | None


class BillingHandler:
    """A `Processor` with a reaction, and with events that wait for the facts."""

    def __init__(self, facts: KnownFacts, *, horizon_d: int, alerts_topic: str, clock: Clock) -> None:
        self._facts = facts
        self._horizon_d = horizon_d
        self._alerts_topic = alerts_topic
        self._clock = clock
        self._history: CatalogHistory | None = None
        self._meters = MeterSet((), 0, 0)
        self._cells: dict[tuple[int, Meter, tuple[str, ...]], Cell] = {}
        self._customers: dict[bytes, tuple[Customer, dict[int, Place]]] = {}
        self._places: dict[tuple[str, str, bool, bool], dict[int, Place]] = {}
        self._arrivals_ms: dict[bytes, int] = {}
        """Of watched customers: when the first event of those that were handed over last arrived."""
        self._clocks_vary = False
        self._reactions = Reactions(facts.history)

    def handles_until_ms(self) -> int | None:
        return self._facts.handles_until_ms()

    # ---------------------------------------------------------------- what events add
    def prepare(self, key: bytes, events: Sequence[Event]) -> Sequence[Counts | Dead]:
        self._notice_facts()
        customer, places = self._customer(key)
        if customer.watched and events:
            if len(self._arrivals_ms) >= REMEMBERED_MAX:
                self._arrivals_ms.clear()
            self._arrivals_ms[key] = events[0].timestamp
        return [self._prepare(key, event, customer, places) for event in events]

    def _prepare(self, key: bytes, event: Event, customer: Customer, places: dict[int, Place]) -> Counts | Dead:
        arrival_ms = event.timestamp
        meters = self._meters
        if not meters.from_ms <= arrival_ms < meters.until_ms:
            meters = self._meters = self._facts.history.meters_at(arrival_ms)
        try:
            usage = decode(event.value)
            check_key(usage, key)
            instant_us = moment_us(usage, arrival_ms, horizon_d=self._horizon_d, grace_s=LOG_GRACE_S)
            measures = meters.measure(usage, instant_us)
        except InvalidEvent as error:
            return Dead(str(error)[:REASON_CHARACTERS_MAX])
        identity = identity_of(TENANT, key, usage.source.encode(), usage.id.encode())
        if not measures:
            return Counts(identity)
        clock = customer.time_zone
        if self._clocks_vary and (found := self._facts.history.time_zone(customer.id, arrival_ms)) is not clock:
            clock = found  # it arrived before the customer had a clock of its own
            places = self._places_of(customer, clock)
        quarter = instant_us // QUARTER_US
        place = places.get(quarter)
        if place is None:
            place = _find_place(customer, clock, quarter, places)
        return Counts(identity, tuple([self._add(place.start_s, measure) for measure in measures]), place.period)

    def _add(self, start_s: int, measure: Measure) -> tuple[Cell, Value]:
        meter, group, value = measure
        cell = self._cells.get((start_s, meter, group))
        if cell is None:
            if len(self._cells) >= REMEMBERED_MAX:
                self._cells.clear()
            cell = Cell.of(meter.aggregate, start_s, series_name(meter, group))
            self._cells[start_s, meter, group] = cell
        return cell, value

    def _places_of(self, customer: Customer, clock: TimeZone) -> dict[int, Place]:
        """By quarter of an hour, shared by all customers with the same clock and terms."""
        terms = (clock.name, customer.time_zone.name, customer.priced, customer.watched)
        return self._places.setdefault(terms, {})

    def _customer(self, key: bytes) -> tuple[Customer, dict[int, Place]]:
        """The customer, and the places by its own clock."""
        known = self._customers.get(key)
        if known is None:
            if len(self._customers) >= REMEMBERED_MAX:
                self._customers.clear()
            name = key.decode("utf-8", "replace")  # such a key is no event's subject
            customer = self._facts.history.newest.customer(name)
            known = self._customers[key] = customer, self._places_of(customer, customer.time_zone)
        return known

    def _notice_facts(self) -> None:
        """Forgets what was remembered under an older catalog."""
        if self._history is not self._facts.history:
            self._history = self._facts.history
            self._clocks_vary = len(self._history.versions) > 1
            self._reactions = Reactions(self._history)
            self._meters = MeterSet((), 0, 0)
            for remembered in (self._cells, self._customers, self._places):
                remembered.clear()

    # ---------------------------------------------------------------- what is due at totals
    def react(self, totals: Totals) -> Sequence[Effect]:
        """Every alert that is due at these totals, also those that stand: of these the names alone."""
        self._notice_facts()
        customer, _ = self._customer(totals.key)
        alerts = self._reactions.due(customer, totals)
        return [self._effect(alert, customer, totals) for alert in alerts] if alerts else ()

    def _effect(self, alert: DueAlert, customer: Customer, totals: Totals) -> Effect:
        name = alert.id.encode()
        if name in totals.standing:
            return Effect(name)
        content = encode_alert(alert, customer, self._clock.now_ms(), self._arrivals_ms.get(totals.key))
        return Effect(name, Message(self._alerts_topic, totals.key, content))


def _find_place(customer: Customer, clock: TimeZone, quarter: int, places: dict[int, Place]) -> Place:
    """The hour is cut by the clock at the event's arrival; the period is the month of that hour for who reads."""
    start_s = clock.hour_start_s(quarter * QUARTER_S)
    period = None
    if customer.priced:
        month = customer.time_zone.month(start_s)
        period = Period.of(month.start_s, month.end_s, keep=True, watched=customer.watched)
    if len(places) >= REMEMBERED_MAX:
        places.clear()
    place = places[quarter] = Place(start_s, period)
    return place
