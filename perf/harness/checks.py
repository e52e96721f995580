"""That nothing was lost, doubled or reordered: without that there is no figure."""

import asyncio
from collections.abc import Iterable, Mapping
from itertools import islice

from engine import Event
from engine.adapters.redis import RedisServer
from engine.state.reader import StateReader
from perf.harness.usage import MONTH_S, TokenUsage, UsageLog

KEYS_MAX = 2_000
"""So many keys are compared cell by cell; the counters of all slices are compared in any case."""


class CheckFailed(Exception):
    """The system under measurement did something wrong: what it took is of no interest."""


class Handled:
    """Told of every event that a handler begins: cheap enough to be measured along with it.

    Offsets of a key must rise, so an event that comes twice or too early shows at once; how many there were shows
    whether any is missing.
    """

    def __init__(self) -> None:
        self.events = 0
        self.wrong = 0
        self._newest: dict[bytes, int] = {}

    def begin(self, event: Event) -> None:
        key, offset = event.key or b"", event.offset
        if offset <= self._newest.get(key, -1):
            self.wrong += 1
        self._newest[key] = offset
        self.events += 1

    def check(self, committed: int, *, first: int = 0) -> None:
        """Everything in [first, committed) was handled once, in the order of its key. Raises CheckFailed."""
        if self.wrong:
            raise CheckFailed(f"{self.wrong} of {self.events} events came twice or out of the order of their key")
        if self.events != committed - first:
            raise CheckFailed(f"{self.events} events were handled, but {committed - first} are committed")


async def check_cells(
    redis_url: str, group: str, logs: Iterable[UsageLog], *, buckets: int, partitions: int = 1
) -> None:
    """The state of `group` is what the logs say, counted once. Raises CheckFailed."""
    expected: dict[bytes, dict[tuple[int, str], int]] = {}
    period = None
    events = 0
    for log in logs:
        period, events = TokenUsage(log).period, events + log.events
        for key, cells in log.cells().items():
            mine = expected.setdefault(key, {})
            for place, number in cells.items():
                mine[place] = mine.get(place, 0) + number
    assert period is not None
    server = RedisServer(redis_url, writers=1)
    reader = StateReader(server, group=group, buckets=buckets)
    try:
        await check_counters(reader, events, partitions)
        step = max(1, len(expected) // KEYS_MAX)
        for key in islice(expected, 0, None, step):
            await check_key(reader, key, expected[key], period.start_s)
            await asyncio.sleep(0)
    finally:
        await server.close()


async def check_counters(reader: StateReader, events: int, partitions: int = 1) -> None:
    """So many events have an outcome in the state, and none is open. Raises CheckFailed."""
    progress = await reader.progress(partitions)
    done = sum(sum(each.counters) for each in progress)
    if done != events or any(each.holes for each in progress):
        raise CheckFailed(f"{done} events are in the state, {events} were in the log")


async def check_key(reader: StateReader, key: bytes, expected: Mapping[tuple[int, str], int], start_s: int) -> None:
    """The cells (start of the hour, model) and the month's total of a key. Raises CheckFailed."""
    cells = await reader.cells(key, start_s, start_s + MONTH_S)
    found = {(cell.start_s, cell.series.name.decode()): reading.number for cell, reading in cells.items()}
    if found != expected:
        raise CheckFailed(f"{key!r}: cells are {found}, {expected} was expected")
    total = await reader.total(key, start_s, start_s + MONTH_S)
    raised = sum(reading.number for reading in total.values.values()) if total is not None else None
    if raised != sum(expected.values()):
        raise CheckFailed(f"{key!r}: its total is {raised}, {sum(expected.values())} was expected")
