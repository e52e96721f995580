"""Aggregates in Redis: what each customer has spent this month, exactly, whatever is repeated or crashes.

An order that was sent twice counts once. Whoever reads Redis later finds the same figures: see `StateReader`.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime

from engine import Aggregate, Cell, Counts, Dead, Effect, Event, Period, Series, Totals, identity_of
from engine.run import run_processor

SPENT = Series(Aggregate.SUM, b"cents")
HOUR_S = 3_600


class Spending:
    def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts | Dead]:
        """What consecutive orders of a customer add. The same orders must give the same answer again."""
        return [self._answer(key, event) for event in events]

    def _answer(self, key: bytes, event: Event) -> Counts | Dead:
        try:
            order = json.loads(event.value or b"")
            identity = identity_of(b"shop", key, b"orders", str(order["id"]).encode())
            cents = int(order["cents"])
        except (ValueError, KeyError, TypeError) as error:
            return Dead(f"not an order: {error!r}")
        arrival_s = event.timestamp // 1_000
        cell = Cell.of(SPENT.aggregate, arrival_s - arrival_s % HOUR_S, SPENT.name)
        return Counts(identity, adds=((cell, cents),), period=month_of(arrival_s))

    def react(self, totals: Totals) -> list[Effect]:
        """Called after a write has moved a total; here an `Effect` could be due, which stands once."""
        month = datetime.fromtimestamp(totals.period.start_s, UTC)
        print(f"{totals.key.decode()} {month:%Y-%m}: {totals.values[SPENT].number} cents", flush=True)
        return []


def month_of(time_s: int) -> Period:
    start = datetime.fromtimestamp(time_s, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return Period.of(int(start.timestamp()), int(end.timestamp()), keep=True, watched=True)


if __name__ == "__main__":
    kafka, redis = os.environ.get("KAFKA", "localhost:9092"), os.environ.get("REDIS", "redis://localhost:6379")
    asyncio.run(run_processor(Spending(), kafka=kafka, redis=redis, topic="orders", group="spending"))
