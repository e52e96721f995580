"""The log that is measured with, and the processor that counts it.

The log is a pure function of its description: whoever has that can tell every record, and what the state must hold in
the end, without keeping either. An event is about 225 bytes of JSON, as a gateway of language models would send it.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple

import msgspec

from engine import Aggregate, Cell, Counts, Effect, Event, Period, Totals, identity_of

HOUR_S = 3_600
MONTH_S = 31 * 86_400
SCALE = 10**12
MODELS = tuple(f"m{number}" for number in range(4))
WATCHED_AT = 10**9 * SCALE
"""A limit that nobody reaches: what is measured is that it is watched."""


class UsageLog(NamedTuple):
    """`events` records over `keys` customers: uniform, or with `zipf` = s the k-th of them with weight 1 / k**s.

    `first_key`: the number of the first customer. `duplicates`: so large a share repeats an earlier record, from
    anywhere in the log. `hours`: times are spread over so many hours, the first of which holds `start_s`.
    """

    events: int
    keys: int
    seed: int = 1
    zipf: float = 0.0
    duplicates: float = 0.0
    hours: int = 1
    start_s: int = 1_764_000_000
    each_once: bool = False
    """Every customer in turn instead: to fill a state."""
    hot: float = 0.0
    """So large a share is the first customer's, beside what the distribution gives it."""

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values."""
        random = Random(self.seed)
        numbers = self._numbers(random)
        sent: list[tuple[bytes, bytes]] = []
        keeps = self.duplicates > 0
        for number in range(self.events):
            if sent and random.random() < self.duplicates:
                yield sent[int(random.random() * len(sent))]
                continue
            record = b"customer-%d" % next(numbers), self._value(random, number)
            if keeps:
                sent.append(record)
            yield record

    def cells(self) -> dict[bytes, dict[tuple[int, str], int]]:
        """By key: what its cells (start of the hour, model) must hold."""
        found: dict[bytes, dict[tuple[int, str], int]] = {}
        decode, seen = msgspec.json.Decoder(Usage).decode, set()
        for key, value in self.records():
            usage = decode(value)
            if self.duplicates:
                if usage.id in seen:
                    continue
                seen.add(usage.id)
            cells = found.setdefault(key, {})
            place = hour_of(usage.time), usage.model
            cells[place] = cells.get(place, 0) + usage.tokens * SCALE
        return found

    def _numbers(self, random: Random) -> Iterator[int]:
        numbers = self._distributed(random)
        if self.hot:
            chance = Random(self.seed + 1)  # of its own, so that the others' sequence stays what it is without it
            while True:
                yield 0 if chance.random() < self.hot else next(numbers)
        yield from numbers

    def _distributed(self, random: Random) -> Iterator[int]:
        if self.each_once:
            yield from range(self.events)
            return
        if not self.zipf:
            while True:
                yield int(random.random() * self.keys)
        weights = list(accumulate(1 / rank**self.zipf for rank in range(1, self.keys + 1)))
        while True:
            yield from random.choices(range(self.keys), cum_weights=weights, k=10_000)

    def _value(self, random: Random, number: int) -> bytes:
        drawn = random.getrandbits(64)
        second = drawn % (HOUR_S * self.hours)
        text = _time_text(self.start_s // HOUR_S * HOUR_S + second)
        return (
            b'{"specversion":"1.0","id":"%016x-%d-%d","source":"gateway/eu-1","type":"llm.tokens","time":"%s",'
            b'"tokens":%d,"model":"m%d","region":"eu","request":"%016x","status":"ok"}'
            % (drawn, self.seed, number, text, drawn % 4_999 + 1, drawn >> 62, drawn ^ 0x5DEECE66D)
        )


class Usage(msgspec.Struct, gc=False):
    """What the processor reads of an event. The time stays text: its first 13 characters name the hour."""

    id: str
    source: str
    time: str
    tokens: int
    model: str


_days: dict[int, str] = {}


def _time_text(second: int) -> bytes:
    day, rest = divmod(second, 86_400)
    if day not in _days:
        from datetime import UTC, datetime

        _days[day] = datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")
    return b"%sT%02d:%02d:%02dZ" % (_days[day].encode(), rest // 3_600, rest // 60 % 60, rest % 60)


_hours: dict[str, int] = {}


def hour_of(time: str) -> int:
    """Start of the hour in seconds since 1970 of an ISO time in UTC."""
    text = time[:13]
    if text not in _hours:
        from datetime import datetime

        _hours[text] = int(datetime.fromisoformat(f"{text}:00:00+00:00").timestamp())
    return _hours[text]


class TokenUsage:
    """Tokens by hour and model, and a watched total of the month: the processor of all scenarios with aggregates."""

    def __init__(self, log: UsageLog) -> None:
        self._decode = msgspec.json.Decoder(Usage).decode
        self._cells: dict[tuple[str, str], Cell] = {}
        hour_s = log.start_s // HOUR_S * HOUR_S
        self.period = Period.of(hour_s, hour_s + MONTH_S, keep=True, watched=True)

    def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
        decode, cells, period = self._decode, self._cells, self.period
        answers = []
        for event in events:
            usage = decode(event.value or b"")
            cell = cells.get((usage.time[:13], usage.model)) or self._cell(usage)
            identity = identity_of(b"default", key, usage.source.encode(), usage.id.encode())
            answers.append(Counts(identity, ((cell, usage.tokens * SCALE),), period))
        return answers

    def react(self, totals: Totals) -> list[Effect]:
        spent = sum(reading.number for reading in totals.values.values())
        return [Effect(b"limit")] if spent > WATCHED_AT else []

    def _cell(self, usage: Usage) -> Cell:
        cell = Cell.of(Aggregate.SUM, hour_of(usage.time), usage.model.encode())
        self._cells[usage.time[:13], usage.model] = cell
        return cell
