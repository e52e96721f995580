"""pyrallel-consumer, its asyncio engine. Runs in an environment of its own: see `environment.py`."""

import asyncio
import sys
import time
from typing import Any

import uvloop
from confluent_kafka import Consumer, TopicPartition
from pyrallel_consumer import KafkaConfig, OrderingMode, PyrallelConsumer, WorkItem

from perf.peers.lifting import Lift
from perf.peers.program import Work, say, told

FEW = 100
"""Up to so much concurrency larger batches serve it better, beyond it worse; both as it was found by trying."""
BATCH = 5_000
QUEUE = 20_000
COMMITTED_S = 15.0


async def run(work: Work) -> Lift:
    lift = Lift(work)

    async def handle(item: WorkItem) -> None:
        await lift.handle(item.key, item.offset, item.payload)

    consumer = PyrallelConsumer(_configured(work), handle, work.topic)
    await consumer.start()
    try:
        await lift.watch()
        await asyncio.to_thread(_await_commit, work)
    finally:
        await consumer.stop()
    return lift


def _configured(work: Work) -> KafkaConfig:
    config = KafkaConfig(BOOTSTRAP_SERVERS=work.bootstrap, CONSUMER_GROUP=work.group, dlq_enabled=False)
    parallel = config.parallel_consumer
    parallel.ordering_mode = OrderingMode.KEY_HASH
    parallel.execution.max_in_flight = work.concurrency
    if work.concurrency <= FEW:
        parallel.poll_batch_size, parallel.queue_max_messages = BATCH, QUEUE
    return config


def _await_commit(work: Work) -> None:
    """It commits by itself; stopping earlier would leave the end uncommitted."""
    asking: Any = Consumer({"bootstrap.servers": work.bootstrap, "group.id": work.group})
    end_s = time.monotonic() + COMMITTED_S
    while time.monotonic() < end_s:
        (found,) = asking.committed([TopicPartition(work.topic, 0)], timeout=5)
        if found.offset >= work.events:
            break
        time.sleep(0.1)
    asking.close()


if __name__ == "__main__":
    say(uvloop.run(run(told())).tally.line())
    sys.exit()
