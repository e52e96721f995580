"""From a record of the log to what it adds: the event, the meters valid at its arrival, the customer's hour."""

from collections.abc import Sequence
from typing import Protocol

from billing.audit.events import CannotCount, read_usage
from billing.audit.folding import Addition, Address, Series
from billing.audit.meters import MeterRule
from billing.audit.recount import LogRecord, Reading
from billing.audit.zones import QUARTER_S, hour_start_s


class Rules(Protocol):
    """What the facts say."""

    def meters_at(self, arrival_ms: int) -> Sequence[MeterRule]:
        """The meter versions that are valid for an arrival."""
        ...

    def zone_of(self, customer: str, arrival_ms: int) -> str:
        """The IANA name of the time zone that puts the customer's event into its hour, if it arrived then."""
        ...


def read_record(record: LogRecord, rules: Rules, *, horizon_d: int) -> Reading | None:
    """None: the event can never count."""
    try:
        usage = read_usage(record, horizon_d=horizon_d)
        rank = (usage.time_us, record.timestamp, record.partition, record.offset)
        matching = [rule for rule in rules.meters_at(record.timestamp) if rule.matches(usage)]
        measured = [(rule, rule.group(usage), rule.figure(usage, rank)) for rule in matching]
    except CannotCount:
        return None
    zone = rules.zone_of(usage.subject, record.timestamp)
    start_s = hour_start_s(zone, usage.time_us // 1_000_000 // QUARTER_S)
    additions = tuple(
        Addition(Address(start_s, Series(rule.aggregate, rule.name, rule.version, group)), figure)
        for rule, group, figure in measured
    )
    return Reading((usage.source, usage.id), additions)
