"""The versions of the catalog that were registered, in their order, and what holds at an arrival.

What a meter counts never changes: a change of it is a new version of the meter, for events that arrive from the
catalog version's own time on. Everything else (rates, plans, limits, thresholds) holds as the newest version says. A
customer's time zone is fixed once registered, and so is that of everybody whom no entry names.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from billing.domain.catalog import Catalog, read_catalog
from billing.domain.customers import Customer
from billing.domain.meters import Meter, MeterSet
from billing.domain.periods import TimeZone
from billing.domain.problems import InvalidCatalog, Problem

BEGINNING_MS: Final = -(2**63)
FOREVER_MS: Final = 2**63 - 1
EMPTY: Final = read_catalog({})


@dataclass(frozen=True, slots=True)
class CatalogVersion:
    """`number` counts from 1. What it says of meters and time zones holds for arrivals from `from_ms` on."""

    number: int
    from_ms: int
    catalog: Catalog


class Registration(NamedTuple):
    """Since when a customer has an own time zone."""

    from_ms: int
    time_zone: TimeZone


@dataclass(frozen=True)
class CatalogHistory:
    """All registered versions, at first none. Immutable: `with_version` makes the next one."""

    versions: tuple[CatalogVersion, ...] = ()
    _meters: Mapping[str, tuple[Meter, ...]] = field(default_factory=dict)
    """All versions of every meter that ever was, version 1 first."""
    _sets: tuple[MeterSet, ...] = (MeterSet((), BEGINNING_MS, FOREVER_MS),)
    _zones: Mapping[str, Registration] = field(default_factory=dict)

    @property
    def newest(self) -> Catalog:
        """What holds of rates, plans, limits and thresholds; an empty catalog where none is registered."""
        return self.versions[-1].catalog if self.versions else EMPTY

    def with_version(self, catalog: Catalog, from_ms: int) -> "CatalogHistory":
        """One version more. Its meters hold for arrivals from `from_ms` on; the first one's from the beginning.

        Raises:
            InvalidCatalog: it would change a time zone, or begin before the version that it follows.
        """
        if not self.versions:
            from_ms = BEGINNING_MS
        if problems := [*self._zone_problems(catalog), *self._from_problems(from_ms)]:
            raise InvalidCatalog(problems)
        meters = dict(self._meters)
        last = self._sets[-1]
        current = []
        for name, definition in catalog.meters.items():
            meter = last.meters.get(name)
            if meter is None or meter.definition != definition:
                earlier = meters.get(name, ())
                meter = Meter(definition, len(earlier) + 1)
                meters[name] = (*earlier, meter)
            current.append(meter)
        before = (*self._sets[:-1], MeterSet(last.meters.values(), last.from_ms, from_ms)) if self.versions else ()
        zones = {name: Registration(from_ms, item.time_zone) for name, item in catalog.customers.items()}
        zones |= self._zones
        former = {name: found.time_zone for name, found in zones.items() if name not in catalog.customers}
        version = CatalogVersion(len(self.versions) + 1, from_ms, replace(catalog, former_zones=former))
        sets = (*before, MeterSet(current, from_ms, FOREVER_MS))
        return CatalogHistory((*self.versions, version), meters, sets, zones)

    def meters_at(self, arrival_ms: int) -> MeterSet:
        """The meters for an event that arrived then, and the span of arrivals for which that is the answer."""
        return self._sets[bisect_right(self._sets, arrival_ms, key=lambda item: item.from_ms) - 1]

    def meter_versions(self, name: str) -> tuple[Meter, ...]:
        """All versions that a meter ever had, version 1 first; none if there was no such meter."""
        return self._meters.get(name, ())

    def meter(self, name: str, version: int) -> Meter | None:
        """That version of a meter, also of one that the newest catalog no longer has; None if there was none."""
        versions = self.meter_versions(name)
        return versions[version - 1] if 0 < version <= len(versions) else None

    def time_zone(self, customer: str, arrival_ms: int) -> TimeZone:
        """By whose clock an event of the customer is put into its hour, if it arrived then."""
        registered = self._zones.get(customer)
        if registered is not None and arrival_ms >= registered.from_ms:
            return registered.time_zone
        return self.newest.defaults.time_zone

    def _zone_problems(self, catalog: Catalog) -> list[Problem]:
        problems = []
        everybody = self.newest.defaults.time_zone
        if self.versions and catalog.defaults.time_zone is not everybody:
            problems.append(_fixed("defaults.time_zone", catalog.defaults, everybody))
        for index, customer in enumerate(catalog.customers.values()):
            registered = self._zones.get(customer.id)
            if registered is not None and customer.time_zone is not registered.time_zone:
                problems.append(_fixed(f"customers[{index}].time_zone", customer, registered.time_zone))
        return problems

    def _from_problems(self, from_ms: int) -> list[Problem]:
        if not self.versions or from_ms >= self.versions[-1].from_ms:
            return []
        last = self.versions[-1]
        return [Problem("from", f"must not be before version {last.number}, which holds from {last.from_ms} ms on")]


def _fixed(place: str, customer: Customer, zone: TimeZone) -> Problem:
    whose = f"of customer {customer.id!r}" if customer.id else "of the defaults"
    message = f"is {customer.time_zone.name!r}, but the time zone {whose} is fixed: it was registered as {zone.name!r}"
    return Problem(place, message)
