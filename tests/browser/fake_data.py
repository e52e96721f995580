"""A small billing world for the page: customers that spend, partitions that lag, alerts that fire. Seeded, exact."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

NAMES = (
    "acme",
    "northwind",
    "globex",
    "initech",
    "umbra-research",
    "hooli",
    "stark-labs",
    "wayne-data",
    "tyrell",
    "cyberdyne",
    "aperture",
    "black-mesa",
    "massive-dynamic",
    "pied-piper",
    "soylent",
    "oscorp",
    "vandelay",
    "dunder-mifflin",
    "wonka-ai",
    "gringotts",
    "monarch",
    "zenith",
    "lumen",
    "quanta-systems",
    "helios",
    "orbital",
    "sable-analytics",
    "fjord",
    "kestrel",
    "tundra",
    "meridian",
    "basalt",
    "cobalt-works",
    "juniper",
    "halcyon",
)
ZONES = ("Europe/Berlin", "America/New_York", "UTC", "Asia/Tokyo")
LIMITS = ("500.00", "250.00", None, "1000.00", "120.00", "80.00", "2000.00")
SHARES = {0: 0.82, 3: 1.04}
"""Of their limit, of customers by their place; of others by chance."""
UNPRICED = 13
"""The place of the customer without a plan."""
RATES: tuple[tuple[str, str, dict[str, str], str, str], ...] = (
    ("large model, prompt", "tokens", {"model": "m-large", "kind": "prompt"}, "0.00002", "$0.00002 per token"),
    ("large model, completion", "tokens", {"model": "m-large", "kind": "completion"}, "0.00006", "$0.00006 per token"),
    ("small model", "tokens", {"model": "m-small"}, "0.0000015", "$0.0000015 per token"),
    ("requests", "requests", {}, "0.0004", "$0.0004 per request"),
)
CENT = {"USD": Decimal("0.01"), "EUR": Decimal("0.01"), "JPY": Decimal(1)}
ERRORS = (
    "data.tokens: must be a number, is 'n/a'",
    "time: lies more than 34 days before its arrival",
    "not valid JSON",
)
UNTOUCHED = "untouched"
"""A customer with a limit that has used nothing yet."""
HELD_MAX = 70
PER_PARTITION_PER_S = 41
LONGEST_ID = "a" * 256
LONG_ID = "org_7f3a9c1e-52d4-4b7e-9a60-2f8f1b6c0d11-production-eu-central"


def text_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Customer:
    """One customer: quantities by rate, and what they cost."""

    def __init__(self, name: str, index: int, chance: random.Random) -> None:
        self.name = name
        self.plan = None if index == UNPRICED else ("scale" if index % 3 == 0 else "pay-as-you-go")
        self.currency = None if self.plan is None else "EUR" if index % 5 == 1 else "USD"
        self.zone = ZONES[index % len(ZONES)]
        self.limit = None if self.plan is None else LIMITS[index % len(LIMITS)]
        self.weight = 1 / (index + 1)
        goal = float(self.limit or 300) * SHARES.get(index, chance.uniform(0.1, 0.9))
        self.shares = [0.34, 0.4, 0.2, 0.06]
        self.quantities = [int(goal * share / float(rate[3])) for share, rate in zip(self.shares, RATES, strict=True)]
        self.last_event = datetime.now(UTC) - timedelta(seconds=chance.uniform(0, 5000))
        self.fired: set[str] = set()

    def use_nothing(self) -> None:
        """From the start and later."""
        self.quantities = [0, 0, 0, 0]
        self.weight = 0.0

    def amounts(self) -> list[Decimal]:
        step = CENT[self.currency or "USD"]
        return [
            (Decimal(rate[3]) * quantity).quantize(step, ROUND_HALF_UP)
            for rate, quantity in zip(RATES, self.quantities, strict=True)
        ]

    @property
    def spend(self) -> Decimal:
        return sum(self.amounts(), Decimal(0))

    @property
    def total(self) -> str | None:
        """The spend where there are prices."""
        return None if self.plan is None else str(self.spend)

    @property
    def allowed(self) -> bool:
        return self.limit is None or self.spend < Decimal(self.limit)

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        start = now.astimezone(ZoneInfo(self.zone)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return start, (start + timedelta(days=32)).replace(day=1)

    def row(self) -> dict[str, Any]:
        return {
            "customer": self.name,
            "plan": self.plan,
            "currency": self.currency,
            "spend": self.total,
            "limit": self.limit,
            "limit_share": None if self.limit is None else f"{self.spend / Decimal(self.limit):.12f}",
            "allowed": self.allowed,
            "time_zone": self.zone,
        }


class World:
    """Everything; `step` lets time pass."""

    def __init__(self, *, seed: int = 7, empty: bool = False) -> None:
        self.chance = random.Random(seed)
        names = [*NAMES[:12], LONG_ID, *NAMES[12:]]
        self.customers = {name: Customer(name, index, self.chance) for index, name in enumerate(names)}
        self.customers[UNTOUCHED] = Customer(UNTOUCHED, 0, self.chance)
        self.customers[UNTOUCHED].use_nothing()
        self.alerts: list[dict[str, Any]] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.counters = Counter(counted=48_201_331, unmetered=1_204, duplicates_dropped=486_930, dead_lettered=412)
        self.partitions = [{"end": 4_000_000 + 7 * n, "lag": self.chance.randint(0, 9)} for n in range(12)]
        self.backlog = 0
        """Events that every partition stays behind by."""
        self.rate = 487.0
        self.history: list[dict[str, Any]] = []
        self.remembered = datetime.now(UTC)
        self.empty = empty
        if empty:
            self._forget()
        else:
            self._past()

    def _forget(self) -> None:
        for customer in self.customers.values():
            customer.use_nothing()
        self.counters = Counter(counted=0, unmetered=0, duplicates_dropped=0, dead_lettered=0)
        self.partitions = [{"end": 0, "lag": 0} for _ in range(12)]
        self.rate = 0.0

    def grow(self) -> None:
        """Figures of a whole industry, and the longest name."""
        self.customers[LONGEST_ID] = Customer(LONGEST_ID, 0, self.chance)
        for customer in self.customers.values():
            customer.quantities = [200_000 * quantity for quantity in customer.quantities]
            customer.limit = customer.limit and f"{int(Decimal(customer.limit)) * 200_000}.00"
        self.counters.update(dict.fromkeys(self.counters, 10**12))
        self.backlog = 2_500_000_123
        self.partitions = [{"end": 9_223_372_036_854, "lag": self.backlog} for _ in self.partitions]
        self.rate = 1_234_567.8
        self.alerts.clear()
        self._past()

    def _past(self) -> None:
        now = datetime.now(UTC)
        for customer in self.customers.values():
            customer.fired.clear()
            self._alert(customer, now - timedelta(seconds=self.chance.uniform(20, 300_000)))
        for ago in range(290, 0, -1):
            self._remember(now - timedelta(seconds=ago))

    @property
    def lag(self) -> int:
        return sum(partition["lag"] for partition in self.partitions)

    def step(self, seconds: float) -> tuple[list[Customer], list[dict[str, Any]]]:
        """Lets time pass: the customers that changed, and the alerts that fired."""
        if self.empty:
            return [], []
        now = datetime.now(UTC)
        self.rate = max(120.0, self.rate + self.chance.uniform(-25, 26))
        customers = list(self.customers.values())
        changed = {c.name: c for c in self.chance.choices(customers, [c.weight for c in customers], k=8)}
        fired: list[dict[str, Any]] = []
        for customer in changed.values():
            for index, share in enumerate(customer.shares):
                customer.quantities[index] += int(
                    seconds * share * self.chance.uniform(0.1, 0.9) / float(RATES[index][3])
                )
            customer.last_event = now
            fired += self._alert(customer, now)
            self._event(customer, now)
        self._pass(seconds)
        return list(changed.values()), fired

    def _pass(self, seconds: float) -> None:
        count = int(self.rate * seconds)
        self.counters["counted"] += count
        self.counters["duplicates_dropped"] += count // 100
        for number, partition in enumerate(self.partitions):
            partition["end"] += count // 12
            left = self.backlog + self.chance.randint(0, 9)
            partition["lag"] = partition["lag"] + count // 12 if number == 7 else left
        if self.partitions[7]["lag"] > self.backlog + HELD_MAX:
            self.partitions[7]["lag"] = self.backlog
        now = datetime.now(UTC)
        if now - self.remembered >= timedelta(seconds=1):
            self._remember(now)

    def _remember(self, moment: datetime) -> None:
        come = max(0.0, self.rate + self.chance.uniform(-60, 60))
        lag = sum(p["lag"] for p in self.partitions) + self.chance.randint(0, 40)
        self.remembered = moment
        self.history = [
            *self.history[-299:],
            {"time": text_time(moment), "in_per_s": come, "events_per_s": self.rate, "lag": lag, "lag_s": 0.2},
        ]
        self.rate = max(120.0, self.rate + self.chance.uniform(-12, 12))

    def _alert(self, customer: Customer, now: datetime) -> list[dict[str, Any]]:
        if customer.limit is None or customer.plan is None:
            return []
        fired = []
        past = now < datetime.now(UTC) - timedelta(seconds=10)
        for percent in (50, 80, 100):
            amount = Decimal(customer.limit) * percent / 100
            rule = f"{percent}%"
            if customer.spend < amount or rule in customer.fired:
                continue
            customer.fired.add(rule)
            start, end = customer.period(now)
            fired.append(
                {
                    "id": f"{customer.name}-{rule}",
                    "type": "spend.threshold",
                    "customer": customer.name,
                    "period": {"start": text_time(start), "end": text_time(end)},
                    "rule": rule,
                    "threshold": f"{amount:.2f}",
                    "spend": str(customer.spend),
                    "currency": customer.currency,
                    "limit": customer.limit,
                    "time": text_time(now - timedelta(minutes=(100 - percent) * 31) if past else now),
                    "latency_s": round(self.chance.uniform(0.02, 0.12), 3),
                }
            )
        self.alerts += fired
        return fired

    def _event(self, customer: Customer, now: datetime) -> None:
        outcome = self.chance.choices(("counted", "duplicate", "rejected", "unmetered"), (94, 3, 1, 2))[0]
        self.events = [
            *self.events[-400:],
            (
                customer.name,
                {
                    "id": f"req-{self.chance.randrange(16**8):08x}",
                    "type": "llm.tokens",
                    "time": text_time(now),
                    "arrival": text_time(now),
                    "partition": 3,
                    "offset": self.counters["counted"],
                    "outcome": outcome,
                    "error": ERRORS[0] if outcome == "rejected" else None,
                    "meters": ["tokens", "requests"] if outcome == "counted" else [],
                },
            ),
        ]
