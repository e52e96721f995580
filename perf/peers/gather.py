"""aiokafka by hand: take what is there, run the keys of it at once, and when all are done take more.

What one writes without an engine. A batch waits for its slowest key, so there is no bound on what one slow key costs;
with waits that are all alike that does not show.
"""

import asyncio
import time
from collections import defaultdict

import uvloop
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from perf.peers.by_hand import COMMIT_S, POLL_MS, consuming
from perf.peers.lifting import Lift
from perf.peers.program import Work, say, told

KEYS = 1_000
"""Of the log. Where they are no more than may run at once, a batch may hold several events of each."""
EVENTS_PER_KEY = 10


async def run(work: Work) -> Lift:
    lift = Lift(work)
    together = work.concurrency if work.concurrency < KEYS else work.concurrency * EVENTS_PER_KEY
    async with consuming(work) as consumer, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(lift.watch())
        await _consume(consumer, lift, together)
        await watching
    return lift


async def _consume(consumer: AIOKafkaConsumer, lift: Lift, together: int) -> None:
    committed_s = time.monotonic()
    while not lift.finished.is_set():
        batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=together)
        by_key: dict[bytes, list[ConsumerRecord[bytes, bytes]]] = defaultdict(list)
        for records in batches.values():
            for record in records:
                by_key[record.key].append(record)
        await asyncio.gather(*[_one_by_one(lift, records) for records in by_key.values()])
        if time.monotonic() - committed_s > COMMIT_S or lift.finished.is_set():
            await consumer.commit()
            committed_s = time.monotonic()


async def _one_by_one(lift: Lift, records: list[ConsumerRecord[bytes, bytes]]) -> None:
    for record in records:
        await lift.handle(record.key, record.offset, record.value)


if __name__ == "__main__":
    say(uvloop.run(run(told())).tally.line())
