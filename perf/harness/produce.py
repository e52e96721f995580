"""Writes records to topics as fast as it goes, in a process of its own."""

from collections.abc import Iterable

from engine import Message
from engine.adapters.kafka import KafkaSender, knows_idempotence
from engine.adapters.kafka_topics import TopicSpec, ensure_topics
from perf.harness.isolated import isolated
from perf.harness.open_loop import Records

TOGETHER = 2_000
LINGER_MS = 5


def produce(bootstrap: str, topic: str, log: Records, *, partitions: int = 1) -> None:
    """Makes the topic where it is missing, and returns when the last record is acknowledged."""
    isolated(_produce, bootstrap=bootstrap, topic=topic, log=log, partitions=partitions)


async def _produce(bootstrap: str, topic: str, log: Records, partitions: int) -> None:
    await ensure_topics(bootstrap, [TopicSpec(topic, partitions, 1, {})])
    await send_all(bootstrap, topic, log.records())


async def send_all(bootstrap: str, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
    """In their order."""
    sender = KafkaSender(bootstrap, linger_ms=LINGER_MS, idempotent=await knows_idempotence(bootstrap))
    await sender.start()
    try:
        batch: list[Message] = []
        for key, value in records:
            batch.append(Message(topic, key, value))
            if len(batch) == TOGETHER:
                await sender.send(batch)
                batch = []
        if batch:
            await sender.send(batch)
    finally:
        await sender.stop()
