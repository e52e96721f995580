"""What one writes by hand on aiokafka: a loop over batches, one event after another, or one key beside others.

Both commit where a batch has ended, about as often as the engine does.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from engine.adapters.kafka_log import FETCH_WAIT_MS, PARTITION_FETCH_BYTES
from engine.config import EngineConfig
from perf.harness.servers import Servers
from perf.harness.steady import NotSteady

Record: TypeAlias = ConsumerRecord[bytes, bytes]
Handle: TypeAlias = Callable[[Record], Awaitable[None]]
Batch: TypeAlias = Callable[[Handle, Sequence[Record]], Awaitable[None]]
WAIT_MS = 100
COMMIT_INTERVAL_S = EngineConfig().commit_interval_s


class Mark(NamedTuple):
    """How many events were done at a time, when no batch was under way."""

    at_s: float
    cpu_s: float
    events: int

    @classmethod
    def now(cls, events: int) -> "Mark":
        return cls(time.perf_counter(), time.process_time(), events)


async def one_by_one(handle: Handle, records: Sequence[Record]) -> None:
    """The shortest loop there is."""
    for record in records:
        await handle(record)


async def gathered(handle: Handle, records: Sequence[Record]) -> None:
    """All keys of a batch at once, the events of each in order."""
    by_key: dict[bytes | None, list[Record]] = defaultdict(list)
    for record in records:
        by_key[record.key].append(record)
    await asyncio.gather(*[one_by_one(handle, each) for each in by_key.values()])


class Loop:
    """`run` consumes a topic of one partition from its beginning until `stop`."""

    def __init__(self, batch: Batch, handle: Handle, *, records_max: int | None = None) -> None:
        """`records_max`: the most events of a batch; None for all that a fetch brought."""
        self._batch = batch
        self._handle = handle
        self._records_max = records_max
        self._stopped = False
        self.marks: list[Mark] = []
        """One before the first batch, and one behind each."""

    def stop(self) -> None:
        """After the batch that is under way."""
        self._stopped = True

    async def run(self, servers: Servers, topic: str, group: str) -> None:
        async with _consuming(servers, topic, group) as consumer:
            events, committed_s = 0, time.perf_counter()
            while not self._stopped:
                found = await consumer.getmany(timeout_ms=WAIT_MS, max_records=self._records_max)
                for records in found.values():
                    if not self.marks:
                        self.marks.append(Mark.now(0))
                    await self._batch(self._handle, records)
                    events += len(records)
                    self.marks.append(Mark.now(events))
                if time.perf_counter() - committed_s >= COMMIT_INTERVAL_S:
                    await consumer.commit()
                    committed_s = time.perf_counter()
            if events:
                await consumer.commit()


@asynccontextmanager
async def _consuming(servers: Servers, topic: str, group: str) -> AsyncIterator[AIOKafkaConsumer]:
    """With the engine's own options, as far as they have to do with speed."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=servers.bootstrap, group_id=group, session_timeout_ms=round(servers.session_s * 1000),
        heartbeat_interval_ms=round(servers.session_s * 100), max_poll_interval_ms=2**31 - 1, enable_auto_commit=False,
        auto_offset_reset="earliest", isolation_level="read_committed", fetch_max_wait_ms=FETCH_WAIT_MS,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
    )  # fmt: skip
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


def whole_batches(marks: Sequence[Mark], *, warm_events: int, least_s: float, least_events: int) -> dict[str, float]:
    """The rate over whole batches: what a batch has begun counts only with its end.

    Raises:
        NotSteady: what lies behind the warm-up is shorter than `least_s` and has fewer than `least_events`.
    """
    warm = [mark for mark in marks if mark.events >= warm_events]
    events = warm[-1].events - warm[0].events if warm else 0
    elapsed_s = warm[-1].at_s - warm[0].at_s if warm else 0.0
    if not events or (elapsed_s < least_s and events < least_events):
        raise NotSteady(
            f"whole batches of {events} events took {elapsed_s:.2f} s; {least_s:g} s or {least_events} events were "
            "expected, so no rate was taken"
        )
    return {
        "events": float(events),
        "seconds": elapsed_s,
        "events_per_s": events / elapsed_s,
        "worker_us": (warm[-1].cpu_s - warm[0].cpu_s) / events * 1e6,
    }
