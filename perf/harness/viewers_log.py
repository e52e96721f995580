"""A load for viewers: many customers, few of them busy, some near their limit; and what the page must show of it.

Pure. The n-th busiest customer has a share of 1/n of the events (Zipf). Limits are set so that at the planned end most
customers are far below theirs, some near, and some at it: alerts come all the time, a few a second.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple

from perf.harness.token_meter import EVENT_TYPE, METER, token_meter

CENTS_MAX = 500
"""What an event costs at most: whole cents, so that no amount on the page is a rounded one."""
TOKENS_PER_CENT = 10
PRICE = "0.001"
LIMIT_LEAST_CENTS = 1_000
FULLEST, RARITY = 1.05, 5
"""A customer's planned share of its limit is FULLEST * r ** RARITY, with r from 0 to 1 by chance."""
NEAR = Fraction(8, 10)


class Standing(NamedTuple):
    """A customer as the page must show it, by cents."""

    customer: str
    spent: int
    limit: int

    @property
    def share(self) -> Fraction:
        return Fraction(self.spent, self.limit)

    def is_in(self, state: str | None) -> bool:
        return state is None or self.share >= (NEAR if state == "near" else 1)


class Customers:
    """So many, with the limits that fit `events_planned`."""

    def __init__(self, count: int, events_planned: int) -> None:
        self.names = [f"c{number}" for number in range(count)]
        weights = [1 / (number + 1) for number in range(count)]
        self.cumulated = list(accumulate(weights))
        random = Random(7)
        cents_planned = events_planned * (CENTS_MAX + 1) / 2 / self.cumulated[-1]
        self.limits = [
            max(LIMIT_LEAST_CENTS, round(cents_planned * weight / max(1e-3, FULLEST * random.random() ** RARITY)))
            for weight in weights
        ]

    def catalog(self) -> dict[str, Any]:
        """The document that the log is priced by; short, since a version of it is one record."""
        rates = [{"name": METER, "meter": METER, "rate": {"model": "per_unit", "unit": PRICE}}]
        return {
            "version": 1,
            "meters": [token_meter({"model": "data.model"})],
            "plans": [{"name": "u", "rates": rates}],
            "customers": [
                {
                    "id": name, "plan": "u", "currency": "USD", "time_zone": "UTC", "limit": dollars(cents),
                    "thresholds": ["100%"],
                }
                for name, cents in zip(self.names, self.limits, strict=True)
            ],
        }  # fmt: skip

    def standings(self, cents: Mapping[str, int], *, state: str | None = None) -> list[Standing]:
        """All that are in a `state` (near, at; None: any), the nearest to its limit first."""
        found = [Standing(name, cents.get(name, 0), limit) for name, limit in zip(self.names, self.limits, strict=True)]
        chosen = [each for each in found if each.is_in(state)]
        return sorted(chosen, key=lambda each: (-each.share, -each.spent, each.customer))


class ViewersLog(NamedTuple):
    """`events` records of `size` customers at `time_s`; `events_planned` as of the whole run. Small to pickle."""

    events: int
    size: int
    events_planned: int
    time_s: int
    seed: int

    @property
    def customers(self) -> Customers:
        return Customers(self.size, self.events_planned)

    def usages(self) -> Iterator[tuple[str, int]]:
        """Customer and cents of every event."""
        customers, random = self.customers, Random(self.seed)
        for _ in range(self.events):
            (name,) = random.choices(customers.names, cum_weights=customers.cumulated)
            yield name, random.randrange(CENTS_MAX) + 1

    def cents(self) -> dict[str, int]:
        """What each customer spends."""
        found: dict[str, int] = {}
        for name, cents in self.usages():
            found[name] = found.get(name, 0) + cents
        return found

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values."""
        text = datetime.fromtimestamp(self.time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
        for number, (name, cents) in enumerate(self.usages()):
            yield (
                name.encode(),
                b'{"specversion":"1.0","id":"%d-%d","source":"gateway/eu-1","type":"%s","subject":"%s","time":"%s",'
                b'"data":{"tokens":%d,"model":"m%d"}}'
                % (
                    self.seed, number, EVENT_TYPE.encode(), name.encode(), text, cents * TOKENS_PER_CENT, number % 4,
                ),
            )  # fmt: skip


def dollars(cents: int) -> str:
    """As the API writes amounts."""
    return f"{cents // 100}.{cents % 100:02}"
