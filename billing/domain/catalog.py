"""The catalog: meters, plans and customers as one frozen whole, checked as a whole.

A document is what TOML and JSON have in common: tables, lists, texts, whole numbers and booleans. Amounts are texts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import orjson

from billing.domain.customers import Customer, read_customer, read_defaults
from billing.domain.document import Table
from billing.domain.meters import MeterDefinition, read_meter
from billing.domain.periods import TimeZone
from billing.domain.plans import Plan, read_plan
from billing.domain.problems import InvalidCatalog, Problem

FORMAT_VERSION = 1
Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything by name. Two catalogs are equal if they mean the same, however they are written."""

    meters: Mapping[str, MeterDefinition]
    plans: Mapping[str, Plan]
    customers: Mapping[str, Customer]
    defaults: Customer
    """What holds for customers that no entry names; its id is empty."""
    document: Mapping[str, Any] = field(compare=False, repr=False)
    """As it was written: what `read_catalog` makes this catalog of again."""
    former_zones: Mapping[str, TimeZone] = field(default_factory=dict, compare=False, repr=False)
    """The clocks of customers that only earlier versions named."""

    def customer(self, name: str) -> Customer:
        """The customer as this catalog has it, by its entry or by default."""
        found = self.customers.get(name)
        if found is None:
            zone = self.former_zones.get(name, self.defaults.time_zone)
            found = replace(self.defaults, id=name, time_zone=zone)
        return found

    def to_json(self) -> bytes:
        """Canonical JSON text: the same document gives the same bytes, and `read_catalog` an equal catalog of it."""
        return orjson.dumps(self.document, option=orjson.OPT_SORT_KEYS)


def read_catalog(document: object) -> Catalog:
    """The catalog of a parsed document.

    Raises:
        InvalidCatalog: every problem, each with its place in the document.
    """
    problems: list[Problem] = []
    table = Table(document, "", problems)
    version = table.whole("version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        table.report("version", f"is {version}, but must be {FORMAT_VERSION}")
    meters = _read_entries(table, "meters", "name", read_meter, lambda meter: meter.name)
    plans = _read_entries(table, "plans", "name", lambda row: read_plan(row, meters), lambda plan: plan.name)
    defaults = read_defaults(table.table("defaults"), plans)
    customers = _read_entries(
        table, "customers", "id", lambda row: read_customer(row, defaults, plans), lambda customer: customer.id
    )
    table.close()
    if problems:
        raise InvalidCatalog(problems)
    return Catalog(meters, plans, customers, defaults, table.members)


def _read_entries(
    table: Table, name: str, key: str, read: Callable[[Table], Entry], key_of: Callable[[Entry], str]
) -> dict[str, Entry]:
    """The entries of a list by their key, which must be their own."""
    entries: dict[str, Entry] = {}
    for row in table.tables(name):
        entry = read(row)
        if key_of(entry) in entries:
            row.report(key, f"is {key_of(entry)!r}, as that of an earlier entry")
        elif key_of(entry):
            entries[key_of(entry)] = entry
    return entries
