"""A topic that is read from its start and followed for ever, and how recently its end was seen."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import anyio

from engine import Clock, Event, OffsetOutOfRange, Unanswered

AGAIN_S = 0.5
WAIT_S = 1.0

logger = logging.getLogger("billing.following")


class TopicReader(Protocol):
    """What is needed of a reader without a group; `engine.adapters.kafka.LogReader` is one."""

    partitions: tuple[int, ...]

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def fetch(
        self, partitions: Sequence[int] | None = None, *, events_max: int = 10_000, wait_s: float = 1.0
    ) -> Mapping[int, Sequence[Event]]: ...
    def seek(self, partition: int, offset: int) -> None: ...
    async def beginning(self, partition: int) -> int: ...
    async def end(self, partition: int) -> int: ...
    async def at_end(self, partition: int) -> bool: ...


class Follower:
    """Hands every record of a topic to `take`, in the order of its partition.

    `tail_max`: begin so many offsets before the end of each partition; None for its beginning.
    """

    def __init__(
        self,
        reader: TopicReader,
        take: Callable[[Event], None],
        clock: Clock,
        *,
        wait_s: float = WAIT_S,
        tail_max: int | None = None,
    ) -> None:
        self._reader = reader
        self._take = take
        self._clock = clock
        self._wait_s = wait_s
        self._tail_max = tail_max
        self._at_end = asyncio.Event()
        self.known_until_ms = 0
        """Everything that was in the topic at this moment has been taken; 0 before the end was seen at all."""

    async def run(self) -> None:
        """Follows for ever; waits for servers that are away."""
        await self._reader.start()
        try:
            await self._patiently(self._seek_beginnings)
            while True:
                await self._patiently(self._step)
        finally:
            with anyio.CancelScope(shield=True):
                await self._reader.stop()

    async def reach_end(self) -> None:
        """Returns when the end was seen once."""
        await self._at_end.wait()

    async def _patiently(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
                return
            except Unanswered as error:
                logger.debug("the topic cannot be read at the moment: %s", error)
                await asyncio.sleep(AGAIN_S)
            except OffsetOutOfRange as error:
                logger.warning("partition %s was cut at its beginning: going on from there", error.partition)
                await self._patiently(partial(self._seek_beginning, error.partition))

    async def _seek_beginnings(self) -> None:
        for partition in self._reader.partitions:
            await self._seek_beginning(partition)

    async def _seek_beginning(self, partition: int) -> None:
        first = await self._reader.beginning(partition)
        if self._tail_max is not None:
            first = max(first, await self._reader.end(partition) - self._tail_max)
        self._reader.seek(partition, first)

    async def _step(self) -> None:
        fetched = await self._reader.fetch(wait_s=self._wait_s)
        for events in fetched.values():
            for event in events:
                self._take(event)
        before_ms = self._clock.now_ms()
        for partition in self._reader.partitions:
            if not await self._reader.at_end(partition):
                return
        self.known_until_ms = before_ms
        self._at_end.set()
