"""The catalog versions, from the raw records of `billing-facts`: what was counted by which meter, on whose clock.

Only what the recount needs is read: meters and time zones. A record counts if it is the next version; its meters hold
for arrivals from its time on, yet never earlier than half a minute after it was registered. A version that would
change a time zone, or hold from before the one that it follows, was passed over by everybody.
"""

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billing.audit.meters import MeterRule, scalar_text
from billing.audit.recount import LogRecord

SLACK_MS = 30_000
BEGINNING_MS = -(2**63)
DEFAULT_ZONE = "UTC"


@dataclass(slots=True)
class CatalogRules:
    """What the versions that were registered so far say of events."""

    versions: int = 0
    starts_ms: list[int] = field(default_factory=list)
    """From when each version holds, ascending."""
    meters: list[Sequence[MeterRule]] = field(default_factory=list)
    """The meters of each version."""
    every_meter: dict[str, list[MeterRule]] = field(default_factory=dict)
    """All versions of every meter that ever was."""
    zones: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Customer -> since which arrival, and which zone."""
    default_zone: str = DEFAULT_ZONE

    def meters_at(self, arrival_ms: int) -> Sequence[MeterRule]:
        index = bisect_right(self.starts_ms, arrival_ms) - 1
        return self.meters[index] if index >= 0 else ()

    def zone_of(self, customer: str, arrival_ms: int) -> str:
        from_ms, zone = self.zones.get(customer, (BEGINNING_MS, self.default_zone))
        return zone if arrival_ms >= from_ms else self.default_zone

    def group_names(self) -> Mapping[tuple[str, int], Sequence[str]]:
        """By meter and version."""
        return {(rule.name, rule.version): rule.group_names for every in self.every_meter.values() for rule in every}

    def add(self, catalog: Mapping[str, Any], valid_from_ms: int) -> bool:
        """Takes the next version; False if it cannot follow on what is registered."""
        default_zone = (catalog.get("defaults") or {}).get("time_zone") or DEFAULT_ZONE
        zones = {one["id"]: one.get("time_zone") or default_zone for one in catalog.get("customers") or ()}
        if self.versions and not self._can_follow(default_zone, zones, valid_from_ms):
            return False
        self.default_zone = default_zone
        self.zones = {name: (valid_from_ms, zone) for name, zone in zones.items()} | self.zones
        standing = {rule.name: rule for rule in (self.meters[-1] if self.meters else ())}
        self.meters.append([self._rule(one, standing) for one in catalog.get("meters") or ()])
        self.starts_ms.append(valid_from_ms)
        self.versions += 1
        return True

    def _can_follow(self, default_zone: str, zones: Mapping[str, str], valid_from_ms: int) -> bool:
        moved = [name for name, zone in zones.items() if name in self.zones and self.zones[name][1] != zone]
        return default_zone == self.default_zone and not moved and valid_from_ms >= self.starts_ms[-1]

    def _rule(self, definition: Mapping[str, Any], standing: Mapping[str, MeterRule]) -> MeterRule:
        """The meter as it stands, or its next version where it counts otherwise."""
        name = definition["name"]
        before = standing.get(name)
        if before is not None and _meaning(before.definition) == _meaning(definition):
            return before
        every = self.every_meter.setdefault(name, [])
        every.append(MeterRule(name, len(every) + 1, definition))
        return every[-1]


def read_rules(records: Iterable[LogRecord]) -> CatalogRules:
    """The rules of the whole topic of facts. Records of other kinds, and such as hold nothing, are passed over."""
    rules = CatalogRules()
    for record in records:
        if not (record.key or b"").startswith(b"catalog/"):
            continue
        try:
            fact = json.loads(record.value or b"", parse_float=Decimal)
            version, valid_from_ms, catalog = int(fact["version"]), int(fact["valid_from_ms"]), fact["catalog"]
        except (ValueError, KeyError, TypeError):
            continue
        if version == rules.versions + 1:
            first = version == 1
            rules.add(catalog, BEGINNING_MS if first else max(valid_from_ms, record.timestamp + SLACK_MS))
    return rules


def _meaning(definition: Mapping[str, Any]) -> object:
    """What a meter counts, however it is written."""
    filters = {path: frozenset(map(scalar_text, values)) for path, values in (definition.get("filter") or {}).items()}
    whole = [definition.get(name) for name in ("event_type", "aggregation", "property")]
    return whole, dict(definition.get("group_by") or {}), filters
