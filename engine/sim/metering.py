"""What the simulated workers do with events: every aggregate, watched totals, poison, and facts that they wait for.

An answer follows from the event and the fact that was valid when it arrived. The UNIQUE cell of an event holds its
place in the log, so that what is stored tells which copies were counted.
"""

from collections.abc import Awaitable, Sequence
from random import Random
from typing import Final, NamedTuple

import anyio

from engine.aggregate import Aggregate, Cell, Period
from engine.event import Counts, Dead, Effect, Event, Message, Totals
from engine.sim.loop import EPOCH_MS
from engine.state.identity import digest_of, identity_of

ALERTS: Final = "alerts"
STEP: Final = 12
"""An alert at every multiple of a total."""
SLOT_S: Final = 43_200
PERIOD_D: Final = 4
DAY_S: Final = 86_400
SERIES: Final = (
    (Aggregate.SUM, b"sum"), (Aggregate.COUNT, b"count"), (Aggregate.MAX, b"max"), (Aggregate.LATEST, b"latest"),
    (Aggregate.UNIQUE, b"place"),
)  # fmt: skip


class Fact(NamedTuple):
    """What a number counts for, from a time of arrival on; `known_s`: when workers can hear of it."""

    valid_from_ms: int
    factor: int
    known_s: float


class Usage(NamedTuple):
    """The value of an event."""

    identity: bytes
    slot: int
    """Half days since 1970: what the event says of its own time."""
    number: int
    """0: poison."""

    def encode(self) -> bytes:
        return b"%b %d %d" % self

    @classmethod
    def decode(cls, value: bytes) -> "Usage":
        identity, slot, number = value.split()
        return cls(identity, int(slot), int(number))


def factor_at(facts: Sequence[Fact], arrival_ms: int) -> int:
    valid = [fact for fact in facts if fact.valid_from_ms <= arrival_ms]
    return max(valid, key=lambda fact: fact.valid_from_ms).factor if valid else 1


def place_of(event: Event) -> bytes:
    return digest_of(b"%d/%d" % (event.partition, event.offset))


def period_of(slot: int) -> Period:
    start_s = slot * SLOT_S // (PERIOD_D * DAY_S) * PERIOD_D * DAY_S
    return Period.of(start_s, start_s + PERIOD_D * DAY_S, keep=True, watched=True)


def answer(event: Event, facts: Sequence[Fact]) -> Counts | Dead:
    """What the event adds."""
    usage = Usage.decode(event.value or b"")
    if not usage.number:
        return Dead("poison")
    number = usage.number * factor_at(facts, event.timestamp)
    values = {
        Aggregate.SUM: number, Aggregate.COUNT: None, Aggregate.MAX: number,
        Aggregate.LATEST: (usage.slot, number), Aggregate.UNIQUE: place_of(event),
    }  # fmt: skip
    start_s = usage.slot * SLOT_S
    adds = tuple((Cell.of(aggregate, start_s, name), values[aggregate]) for aggregate, name in SERIES)
    return Counts(identity_of(b"default", event.key or b"", b"sim", usage.identity), adds, period_of(usage.slot))


def effects_due(key: bytes, period: Period, total: int) -> list[bytes]:
    return [b"%b/%d/%d" % (key, period.start_s, level) for level in range(STEP, total + 1, STEP)]


class Knowledge:
    """What one worker has heard of the facts."""

    def __init__(self) -> None:
        self.facts: tuple[Fact, ...] = ()
        self.until_ms: int | None = EPOCH_MS - 100 * DAY_S * 1000

    def hear(self, facts: Sequence[Fact], now_s: float) -> None:
        """All that is published now, and up to which arrival that is all there is."""
        self.facts = tuple(fact for fact in facts if fact.known_s <= now_s)
        unheard = [fact.valid_from_ms for fact in facts if fact.known_s > now_s]
        self.until_ms = min(unheard) - 1 if unheard else None


class Metering:
    """The processor; it also fails now and then, hangs, and takes its time."""

    def __init__(self, dice: Random, knowledge: Knowledge, *, slow: bool, trouble: float) -> None:
        self._dice = dice
        self._knowledge = knowledge
        self._slow = slow
        self.trouble = trouble
        self.failures = 0

    def handles_until_ms(self) -> int | None:
        return self._knowledge.until_ms

    def prepare(self, key: bytes, events: Sequence[Event]) -> Sequence[Counts | Dead] | Awaitable[list[Counts | Dead]]:
        if self._slow:
            return self._take_time(events)
        if self._dice.random() < self.trouble:
            self.failures += 1
            raise ConnectionError("a dependency is away")
        return [answer(event, self._knowledge.facts) for event in events]

    async def _take_time(self, events: Sequence[Event]) -> list[Counts | Dead]:
        chance = self._dice.random()
        if chance < self.trouble:
            self.failures += 1
            if chance < self.trouble / 8:
                await anyio.sleep_forever()
            raise ConnectionError("a dependency is away")
        await anyio.sleep(self._dice.uniform(0.1, 0.28) if chance > 0.93 else self._dice.expovariate(60))
        return [answer(event, self._knowledge.facts) for event in events]

    def react(self, totals: Totals) -> list[Effect]:
        total = sum(reading.number for series, reading in totals.values.items() if series.aggregate is Aggregate.SUM)
        return [
            Effect(name, Message(ALERTS, totals.key, name)) for name in effects_due(totals.key, totals.period, total)
        ]
