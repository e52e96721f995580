"""An aiokafka consumer of the work's topic, for the peers that are written by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer

from perf.peers.program import Work

COMMIT_S = 0.5
POLL_MS = 100


@asynccontextmanager
async def consuming(work: Work) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        work.topic,
        bootstrap_servers=work.bootstrap,
        group_id=work.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
