"""Sends at a rate, whatever comes back. Each record carries when it was due, and latencies count from there.

A load that waits for the system under measurement leaves out what others would have waited meanwhile. So record
`number` is due at a time that is fixed beforehand; a load that falls behind catches up, and tells how late it was.
Source: "coordinated omission", Gil Tene, "How NOT to Measure Latency", 2013.
"""

import asyncio
import time
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple, Protocol

from engine import Event, Message
from engine.adapters.kafka import KafkaSender, knows_idempotence
from perf.harness.figures import percentile

INTENDED = "intended_us"
"""The header with the intended send time: microseconds since 1970 by this machine's clock, as 8 bytes, big-endian."""
TICK_S = 0.005
"""What is due meanwhile is handed over together: a Java producer lingers as long unless told otherwise (KIP-1030)."""
LINGER_MS = 1
UNANSWERED_MAX = 100_000
"""So many records may wait for the broker: a load that is further ahead of it measures nothing."""
LATE_MAX_MS = 10.0
"""A load that was later than this for one record in a hundred is named in the notes."""


class Records(Protocol):
    """A log as `UsageLog` is one; it is made where it is sent, so it must be small to pickle."""

    @property
    def events(self) -> int: ...
    def records(self) -> Iterator[tuple[bytes, bytes]]: ...


class Schedule(NamedTuple):
    """When each record is due: evenly, from `start_us` (µs since 1970) on. The first `warm_s` are not judged."""

    start_us: int
    events_per_s: float
    warm_s: float = 0.0

    @classmethod
    def soon(cls, events_per_s: float, *, lead_s: float, warm_s: float = 0.0) -> "Schedule":
        """One that begins `lead_s` from now, so that processes can start meanwhile."""
        return cls(now_us() + round(lead_s * 1e6), events_per_s, warm_s)

    def intended_us(self, number: int) -> int:
        return self.start_us + round(number * 1e6 / self.events_per_s)

    def due(self, at_us: int) -> int:
        """How many records are due by then."""
        return max(0, int((at_us - self.start_us) * self.events_per_s / 1e6) + 1) if at_us >= self.start_us else 0

    @property
    def judged_from_us(self) -> int:
        return self.start_us + round(self.warm_s * 1e6)


def now_us() -> int:
    return time.time_ns() // 1_000


async def sleep_until(at_us: int) -> None:
    await asyncio.sleep(max(0.0, (at_us - now_us()) / 1e6))


def intended_us_of(event: Event) -> int:
    """Raises LookupError: the event was not sent by an open loop."""
    for name, value in event.headers:
        if name == INTENDED:
            return int.from_bytes(value, "big")
    raise LookupError(f"offset {event.offset} has no header {INTENDED}")


async def drive(*, bootstrap: str, topic: str, log: Records, schedule: Schedule) -> dict[str, float]:
    """Sends the whole log; for `isolated` and `beside`. See `send_at_rate`."""
    return await send_at_rate(bootstrap, topic, log.records(), schedule)


async def send_at_rate(
    bootstrap: str, topic: str, records: Iterable[tuple[bytes, bytes]], schedule: Schedule
) -> dict[str, float]:
    """Returns when the last record is acknowledged: how many there were, how late they were handed to the client, how
    long after their intended time they were acknowledged, and what sending one took.

    Raises:
        Unanswered: the broker takes none for too long, so the load is broken.
    """
    load = _Load(topic, schedule)
    sender = KafkaSender(bootstrap, linger_ms=LINGER_MS, idempotent=await knows_idempotence(bootstrap))
    await sender.start()
    try:
        await sleep_until(schedule.start_us)
        began_s = time.process_time()
        async with asyncio.TaskGroup() as tasks:
            await load.run(iter(records), sender, tasks)
        cpu_s = time.process_time() - began_s
    finally:
        await sender.stop()
    return load.figures() | {"load_us": cpu_s / max(1, load.sent) * 1e6}


class LoadTooFast(Exception):
    """The broker is so far behind that no latency would mean anything."""


class _Load:
    def __init__(self, topic: str, schedule: Schedule) -> None:
        self._topic = topic
        self._schedule = schedule
        self._late_us = array("q")
        self._answered_us = array("q")
        self._unanswered = 0
        self.sent = 0

    async def run(self, records: Iterator[tuple[bytes, bytes]], sender: KafkaSender, tasks: asyncio.TaskGroup) -> None:
        """In the order of the records: each task hands its records to the client before the next one does."""
        while True:
            wanted = self._schedule.due(now_us()) - self.sent
            batch = [self._message(key, value) for key, value in islice(records, max(0, wanted))]
            if batch:
                tasks.create_task(self._send(sender, batch, self.sent - len(batch)))
            if len(batch) < wanted:
                return
            await asyncio.sleep(TICK_S)

    def _message(self, key: bytes, value: bytes) -> Message:
        intended_us = self._schedule.intended_us(self.sent)
        self.sent += 1
        if intended_us >= self._schedule.judged_from_us:
            self._late_us.append(now_us() - intended_us)
        return Message(self._topic, key, value, ((INTENDED, intended_us.to_bytes(8, "big")),))

    async def _send(self, sender: KafkaSender, batch: list[Message], first: int) -> None:
        self._unanswered += len(batch)
        if self._unanswered > UNANSWERED_MAX:
            raise LoadTooFast(f"{self._unanswered} records wait for the broker")
        await sender.send(batch)
        self._unanswered -= len(batch)
        intended_us = self._schedule.intended_us(first)
        if intended_us >= self._schedule.judged_from_us:
            self._answered_us.append(now_us() - intended_us)

    def figures(self) -> dict[str, float]:
        late, answered = sorted(self._late_us) or [0], sorted(self._answered_us) or [0]
        return {
            "sent": float(self.sent),
            "late_p99_ms": percentile(late, 0.99) / 1e3,
            "late_max_ms": late[-1] / 1e3,
            "acknowledged_p50_ms": percentile(answered, 0.5) / 1e3,
            "acknowledged_p99_ms": percentile(answered, 0.99) / 1e3,
        }


def lateness_note(late_p99_ms: float) -> str:
    """How far the load kept to its schedule, in words."""
    if late_p99_ms <= LATE_MAX_MS:
        return f"The load handed 99 % of its records over within {late_p99_ms:.1f} ms of their intended time."
    return (
        f"The load itself was late: {late_p99_ms:.1f} ms for one record in a hundred ({LATE_MAX_MS:g} ms may be). "
        "Its lateness is part of every latency here."
    )
