"""The handler that is measured where no state is kept: it decodes an event, waits as for a call elsewhere, counts.

A handler that is measured for a while, and not to the end of its log, is told to hurry when the figures are taken: it
waits no more, so what was begun is finished soon, and can be checked.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

import msgspec

from engine import Event
from perf.harness.checks import CheckFailed, Handled
from perf.harness.usage import Usage


class Call(NamedTuple):
    """What the handler waits for: `latency_s`, and for the events of `slow_keys` instead `slow_s`."""

    latency_s: float
    slow_s: float = 0.0
    slow_keys: Collection[bytes] = frozenset()


class PlainHandler:
    """`handle` is the handler. Counts of events that have ended, and those of them that belong to slow keys."""

    def __init__(self, call: Call) -> None:
        self._latency_s, self._slow_s, self._slow_keys = call
        self._decode = msgspec.json.Decoder(Usage).decode
        self._handled = Handled()
        self._waits = self._waited_s = 0.0
        self._offsets: Counter[int] = Counter()
        self.done = 0
        self.done_slow = 0

    @property
    def done_fast(self) -> int:
        return self.done - self.done_slow

    @property
    def handler_ms(self) -> float:
        """How long the handler waited in the mean, for keys that are not slow. A timer of uvloop counts whole
        milliseconds, so on a busy loop it may end up to one early."""
        return self._waited_s / self._waits * 1000 if self._waits else 0.0

    async def handle(self, event: Event) -> None:
        self._handled.begin(event)
        self._decode(event.value or b"")
        slow = event.key in self._slow_keys
        if slow:
            if self._slow_s:
                await asyncio.sleep(self._slow_s)
            self.done_slow += 1
        elif self._latency_s:
            began_s = time.perf_counter()
            await asyncio.sleep(self._latency_s)
            self._waited_s += time.perf_counter() - began_s
            self._waits += 1
        self._offsets[event.partition] += event.offset
        self.done += 1

    def hurry(self) -> None:
        """From now on it waits for nothing."""
        self._latency_s = self._slow_s = 0.0

    def account(self) -> "Handling":
        """What was handled, for `check_handled`. Raises CheckFailed: something came twice or out of order, or began
        and did not end."""
        if self._handled.wrong:
            self._handled.check(self._handled.events)
        if self.done != self._handled.events:
            raise CheckFailed(f"{self._handled.events} events began, and {self.done} ended")
        return Handling(self.done, dict(self._offsets))


class Handling(NamedTuple):
    """How many events a process handled, each key's in order and none twice, and the sums of their offsets."""

    events: int
    offsets: Mapping[int, int]
    """By partition."""


def check_handled(handlings: Collection[Handling], committed: Mapping[int, int]) -> None:
    """The processes handled together everything that is committed, and nothing else. For logs without gaps.

    The offsets from 0 on have one sum, which an event lost, doubled or handled and not committed would change.

    Raises:
        CheckFailed: they did not.
    """
    events = sum(each.events for each in handlings)
    if events != sum(committed.values()):
        raise CheckFailed(f"{events} events were handled, but {sum(committed.values())} are committed")
    for partition, offset in committed.items():
        found = sum(each.offsets.get(partition, 0) for each in handlings)
        expected = offset * (offset - 1) // 2
        if found != expected:
            raise CheckFailed(f"partition {partition}: the offsets handled sum up to {found}, not to {expected}")
