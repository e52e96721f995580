"""A load for the whole service: usage of many customers, and some among them that reach their limit at a known time.

Pure. Every `every`-th record makes one more customer reach its limit; that customer was seen once before, well below
it. All others have a limit too, far away, so that the worker watches every total as it would in earnest.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple

from perf.harness.token_meter import EVENT_TYPE, METER, token_meter

PRICE = "0.001"
"""Of a token, in dollars."""
LIMIT = "10.00"
BELOW_TOKENS, REACHING_TOKENS = 4_000, 10_000
FAR_LIMIT = "100000000.00"
AHEAD = 40
"""So many such customers earlier each is seen for the first time."""


class BillingLog(NamedTuple):
    """`events` records of `keys` customers at `time_s` (seconds since 1970), and of those that reach their limit."""

    events: int
    keys: int
    every: int
    time_s: int
    seed: int = 1

    @property
    def reaching(self) -> int:
        """How many customers reach their limit."""
        return -(-self.events // self.every)

    def reached_at(self, customer: int) -> int:
        """The number of the record by which it does."""
        return customer * self.every

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values."""
        for customer, tokens, identity in self._usages():
            yield customer.encode(), self._value(customer, tokens, identity)

    def tokens(self) -> dict[str, int]:
        """What each customer must have used in the end."""
        found: dict[str, int] = {}
        for customer, tokens, _ in self._usages():
            found[customer] = found.get(customer, 0) + tokens
        return found

    def _usages(self) -> Iterator[tuple[str, int, int]]:
        random = Random(self.seed)
        for number in range(self.events):
            turn, place = divmod(number, self.every)
            identity = random.getrandbits(64)
            if place == 0:
                yield reaching_name(turn), REACHING_TOKENS, identity
            elif place == self.every // 2 and turn + AHEAD < self.reaching:
                yield reaching_name(turn + AHEAD), BELOW_TOKENS, identity
            else:
                yield usual_name(identity % self.keys), identity % 4_999 + 1, identity

    def _value(self, customer: str, tokens: int, identity: int) -> bytes:
        text = datetime.fromtimestamp(self.time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            b'{"specversion":"1.0","id":"%016x","source":"gateway/eu-1","type":"%s","subject":"%s","time":"%s",'
            b'"data":{"tokens":%d,"model":"m%d","region":"eu"}}'
            % (identity, EVENT_TYPE.encode(), customer.encode(), text.encode(), tokens, identity >> 62)
        )

    def catalog(self) -> dict[str, Any]:
        """The document that the log is priced by."""
        reaching = [_customer(reaching_name(number), LIMIT) for number in range(self.reaching)]
        usual = [_customer(usual_name(number), FAR_LIMIT) for number in range(self.keys)]
        return {
            "version": 1,
            "meters": [token_meter({"model": "data.model", "region": "data.region"})],
            "plans": [
                {
                    "name": "usage",
                    "rates": [{"name": METER, "meter": METER, "rate": {"model": "per_unit", "unit": PRICE}}],
                }
            ],
            "customers": reaching + usual,
        }


def reaching_name(number: int) -> str:
    """The customer that is the `number`-th to reach its limit."""
    return f"reaching-{number}"


def usual_name(number: int) -> str:
    return f"customer-{number}"


def _customer(name: str, limit: str) -> dict[str, Any]:
    return {
        "id": name,
        "plan": "usage",
        "currency": "USD",
        "time_zone": "UTC",
        "limit": limit,
        "thresholds": ["100%"],
    }
