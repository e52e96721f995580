"""Customers as a catalog names them, and what holds for everybody whom it does not name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from billing.domain.document import Table
from billing.domain.limits import Threshold, parse_threshold
from billing.domain.money import CURRENCY_EXPONENTS
from billing.domain.periods import TimeZone, time_zone
from billing.domain.plans import Plan
from billing.domain.usage import SUBJECT_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Customer:
    """Who pays what, in which currency, by which clock. Without a plan or a currency: metered and not priced."""

    id: str
    plan: Plan | None
    currency: str | None
    time_zone: TimeZone
    limit: Fraction | None = None
    thresholds: tuple[Threshold, ...] = ()
    named: bool = True
    """False: the catalog does not name this customer, so the defaults hold."""

    @property
    def priced(self) -> bool:
        return self.plan is not None and self.currency is not None

    @property
    def watched(self) -> bool:
        """Whether a limit or thresholds stand over this customer's spend."""
        return self.priced and (self.limit is not None or bool(self.thresholds))


def read_defaults(table: Table | None, plans: Mapping[str, Plan]) -> Customer:
    """The customer whom no entry names; its `id` is empty."""
    nobody = Customer("", None, None, time_zone("UTC"), named=False)
    if table is None:
        return nobody
    found = _read_terms(table, nobody, plans)
    table.close()
    return found


def read_customer(table: Table, defaults: Customer, plans: Mapping[str, Plan]) -> Customer:
    """One entry. Plan, currency and time zone that it does not name are those of the defaults."""
    name = table.text("id")
    if len(name.encode(errors="replace")) > SUBJECT_BYTES_MAX:
        table.report("id", f"must have at most {SUBJECT_BYTES_MAX} bytes")
    found = _read_terms(table, replace(defaults, id=name, named=True), plans)
    limit = table.optional_decimal("limit")
    thresholds = _read_thresholds(table, limit)
    if (limit is not None or thresholds) and not (table.has("plan") or found.plan):
        table.report("limit" if limit is not None else "thresholds", "needs a plan: without one nothing is spent")
    if found.plan is not None and found.currency is None and not table.has("currency"):
        table.report("currency", "is missing: a plan needs one")
    table.close()
    return replace(found, limit=limit, thresholds=thresholds)


def _read_terms(table: Table, base: Customer, plans: Mapping[str, Plan]) -> Customer:
    plan, currency, zone = base.plan, base.currency, base.time_zone
    if table.has("plan"):
        name = table.text("plan")
        plan = plans.get(name)
        if plan is None and name:
            table.report("plan", f"is {name!r}, but there is no such plan")
    if table.has("currency"):
        code = table.text("currency")
        currency = code if code in CURRENCY_EXPONENTS else None
        if currency is None and code:
            table.report("currency", f"is {code!r}, but must be a code of ISO 4217, for example USD")
    if table.has("time_zone"):
        try:
            zone = time_zone(table.text("time_zone"))
        except ValueError as error:
            table.report("time_zone", str(error))
    return replace(base, plan=plan, currency=currency, time_zone=zone)


def _read_thresholds(table: Table, limit: Fraction | None) -> tuple[Threshold, ...]:
    found: dict[str, Threshold] = {}
    for index, rule in enumerate(table.texts("thresholds")):
        try:
            threshold = parse_threshold(rule, limit)
        except ValueError as error:
            table.report(f"thresholds[{index}]", f"is {rule[:80]!r}, but {error}")
            continue
        if rule in found:
            table.report(f"thresholds[{index}]", f"is {rule!r}, as one before")
        found[rule] = threshold
    return tuple(found.values())
