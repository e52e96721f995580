"""aiokafka, one event after the other: what concurrency is measured against."""

import asyncio
import time

import uvloop
from aiokafka import AIOKafkaConsumer

from perf.peers.by_hand import COMMIT_S, POLL_MS, consuming
from perf.peers.lifting import Lift
from perf.peers.program import Work, say, told


async def run(work: Work) -> Lift:
    lift = Lift(work)
    async with consuming(work) as consumer, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(lift.watch())
        await _consume(consumer, lift)
        await watching
    return lift


async def _consume(consumer: AIOKafkaConsumer, lift: Lift) -> None:
    committed_s = time.monotonic()
    while not lift.finished.is_set():
        for records in (await consumer.getmany(timeout_ms=POLL_MS, max_records=50)).values():
            for record in records:
                await lift.handle(record.key, record.offset, record.value)
        if time.monotonic() - committed_s > COMMIT_S or lift.finished.is_set():
            await consumer.commit()
            committed_s = time.monotonic()


if __name__ == "__main__":
    say(uvloop.run(run(told())).tally.line())
