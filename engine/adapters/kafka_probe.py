"""Finds out what a broker can do by trying it once, on a small topic of our own. Nobody asks for a broker's name."""

from collections.abc import Awaitable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, OffsetAndMetadata, TopicPartition
from aiokafka.admin import NewPartitions
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from engine.adapters.kafka_client import (
    ANSWER_S,
    REQUEST_TIMEOUT_MS,
    Waiting,
    answered,
    connecting,
    patiently,
    say_waiting,
)
from engine.adapters.kafka_fetch import RecordFetcher
from engine.adapters.kafka_inside import committed_with_metadata, stop_consumer
from engine.adapters.kafka_security import KafkaSecurity, Servers
from engine.adapters.kafka_topics import TopicSpec, admin, ensure_topics
from engine.errors import Unanswered

PROBE = "keylane-probe"
"""The name of the topic, the group and the transactional id that the trials use; the topic keeps nothing for long."""
_SPEC = TopicSpec(PROBE, 1, settings={"message.timestamp.type": "LogAppendTime", "retention.ms": "3600000"})
_PARTITION = TopicPartition(PROBE, 0)
LONG_AGO_MS = 1_000_000_000_000
BATCH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the broker was seen to do. False also where the trial was refused, for example by access rules."""

    idempotent_producer: bool
    transactions: bool
    add_partitions: bool
    commit_metadata: bool
    """Metadata of a commit comes back."""
    end_offsets_exact: bool
    """The question for the end offset is answered rightly (fetch responses are right in any case)."""
    log_append_time: bool
    """A topic can have the broker's clock in its timestamps."""
    out_of_range_said: bool
    """A fetch beyond the end is answered with an error, not with silence."""


async def probe(
    bootstrap: str, *, security: KafkaSecurity | None = None, waiting: Waiting = say_waiting
) -> Capabilities:
    """Tries everything once. Waits for unreachable servers as long as it takes. May be cancelled.

    Raises ConfigError where the topic for the trials is refused.
    """
    servers = Servers(bootstrap, security)
    await ensure_topics(bootstrap, [_SPEC], security=security, waiting=waiting)
    return await patiently(lambda: _probe(servers), waiting, servers)


async def knows_idempotence(bootstrap: str, *, security: KafkaSecurity | None = None) -> bool:
    """Whether a producer's repeated batch is dropped. False also where the servers do not say in time."""
    return await _produces(Servers(bootstrap, security), transactional=False)


async def _probe(servers: Servers) -> Capabilities:
    last = await _produce(servers)
    consumer = AIOKafkaConsumer(
        **connecting(servers),
        group_id=PROBE,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=50,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    try:
        await consumer.start()
        consumer.assign([_PARTITION])
        async with answered("capabilities", 3 * ANSWER_S):
            end = (await consumer.end_offsets([_PARTITION]))[_PARTITION]
            return Capabilities(
                idempotent_producer=await _produces(servers, transactional=False),
                transactions=await _produces(servers, transactional=True),
                add_partitions=await _adds_partitions(servers),
                commit_metadata=await _works(_keeps_metadata(consumer, last)),
                end_offsets_exact=end > last,
                log_append_time=await _appends_time(consumer, last),
                out_of_range_said=await _says_out_of_range(consumer, last),
            )
    finally:
        await stop_consumer(consumer, ANSWER_S)


async def _produce(servers: Servers) -> int:
    """The offset of the last record of a batch of several, stamped long ago."""
    producer = AIOKafkaProducer(**connecting(servers), acks="all", enable_idempotence=False)
    try:
        async with answered("producing to the probe topic", 3 * ANSWER_S):
            await producer.start()
            batch = producer.create_batch()
            for _ in range(BATCH):
                batch.append(key=None, value=PROBE.encode(), timestamp=LONG_AGO_MS)
            sent = await producer.send_batch(batch, PROBE, partition=0)
            return int((await sent).offset) + BATCH - 1
    finally:
        await producer.stop()


async def _produces(servers: Servers, *, transactional: bool) -> bool:
    producer = AIOKafkaProducer(
        **connecting(servers), enable_idempotence=True, transactional_id=PROBE if transactional else None
    )
    try:
        return await _works(_answers(producer.start()))
    finally:
        await producer.stop()


async def _adds_partitions(servers: Servers) -> bool:
    """Tried only as far as that it would be checked: one partition is what the topic has, so it is refused."""
    async with admin(*servers) as client:
        try:
            await client.create_partitions({PROBE: NewPartitions(1)}, validate_only=True)
        except IncompatibleBrokerVersion:
            return False
        except KafkaError as error:
            return getattr(error, "errno", None) == 37  # INVALID_PARTITIONS: it looked
    return True


async def _keeps_metadata(consumer: AIOKafkaConsumer, last: int) -> bool:
    await consumer.commit({_PARTITION: OffsetAndMetadata(last, PROBE)})
    stored = await committed_with_metadata(consumer, _PARTITION)
    return stored is not None and stored.metadata == PROBE


async def _appends_time(consumer: AIOKafkaConsumer, last: int) -> bool:
    records = RecordFetcher(consumer, PROBE)
    records.seek(0, last)
    found = (await records.fetch([0], events_max=1, wait_s=ANSWER_S)).get(0, ())
    return any(record.timestamp != LONG_AGO_MS for record in found)


async def _says_out_of_range(consumer: AIOKafkaConsumer, last: int) -> bool:
    consumer.seek(_PARTITION, last + 1_000_000)
    try:
        await consumer.getmany(_PARTITION, timeout_ms=500)
    except KafkaError:
        return True
    return False


async def _answers(attempt: Awaitable[None]) -> bool:
    await attempt
    return True


async def _works(attempt: Awaitable[bool]) -> bool:
    try:
        async with answered("a capability"):
            return await attempt
    except Unanswered:
        return False
