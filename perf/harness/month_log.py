"""A customer with a month of usage, and the load of many customers beside it: for whoever measures reading.

Pure. First one event fills each cell of the customer that is read (every hour of the month, every group); then events
of all customers come, all in the month's last hour, so that the cells stay as many and grow while they are read.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple

from perf.harness.token_meter import EVENT_TYPE, METER, token_meter
from perf.harness.usage import HOUR_S

GROUP = "model"
PRICE = "0.001"
LIMIT = "1000000000.00"
"""Far away, but it makes the worker keep and watch a running total."""
LONG_MONTH_D = 31
DAY_S = 86_400
HOURS = LONG_MONTH_D * 24


class Month(NamedTuple):
    """A calendar month of 31 days in UTC."""

    name: str
    """YYYY-MM."""
    start_s: int

    @property
    def end_s(self) -> int:
        return self.start_s + LONG_MONTH_D * DAY_S

    @classmethod
    def newest_before(cls, now_s: int) -> "Month":
        """The newest such month that is over: at most 93 days ago."""
        now = datetime.fromtimestamp(now_s, UTC)
        end = datetime(now.year, now.month, 1, tzinfo=UTC)
        while True:
            year, month = (end.year, end.month - 1) if end.month > 1 else (end.year - 1, 12)
            start = datetime(year, month, 1, tzinfo=UTC)
            if (end - start).days == LONG_MONTH_D:
                return cls(start.strftime("%Y-%m"), int(start.timestamp()))
            end = start


class MonthLog(NamedTuple):
    """`events` of `customers` in the last of `hours`; with `fills` one an hour and group of the first, in turn."""

    month: Month
    groups: int
    events: int
    customers: int = 1
    hours: int = HOURS
    fills: bool = False
    seed: int = 1

    @classmethod
    def filling(cls, month: Month, groups: int, *, hours: int = HOURS) -> "MonthLog":
        """An event for each cell of the customer that is read."""
        return cls(month, groups, hours * groups, hours=hours, fills=True)

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values."""
        for number, (customer, hour, group, tokens) in enumerate(self._usages()):
            name = customer_name(customer).encode()
            text = datetime.fromtimestamp(self.month.start_s + hour * HOUR_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            yield (
                name,
                (
                    b'{"specversion":"1.0","id":"%d-%d","source":"gateway/eu-1","type":"%s","subject":"%s","time":"%s",'
                    b'"data":{"tokens":%d,"model":"m%d"}}'
                    % (self.seed, number, EVENT_TYPE.encode(), name, text.encode(), tokens, group)
                ),
            )

    def tokens_of_first(self) -> int:
        """What the customer that is read uses in this log."""
        return sum(tokens for customer, _, _, tokens in self._usages() if customer == 0)

    def _usages(self) -> Iterator[tuple[int, int, int, int]]:
        random = Random(self.seed)
        for number in range(self.events):
            drawn = random.getrandbits(64)
            tokens = drawn % 4_999 + 1
            if self.fills:
                hour, group = divmod(number, self.groups)
                yield 0, hour, group, tokens
            else:
                yield (drawn >> 16) % self.customers, self.hours - 1, (drawn >> 48) % self.groups, tokens


def customer_name(number: int) -> str:
    return f"customer-{number}"


def month_catalog(customers: int) -> dict[str, Any]:
    """The document of a catalog that meters and prices the logs of this file."""
    return {
        "version": 1,
        "meters": [token_meter({GROUP: "data.model"})],
        "plans": [
            {
                "name": "usage",
                "rates": [{"name": METER, "meter": METER, "rate": {"model": "per_unit", "unit": PRICE}}],
            }
        ],
        "customers": [_customer(customer_name(number)) for number in range(customers)],
    }


def _customer(name: str) -> Mapping[str, Any]:
    return {"id": name, "plan": "usage", "currency": "USD", "time_zone": "UTC", "limit": LIMIT, "thresholds": ["100%"]}
