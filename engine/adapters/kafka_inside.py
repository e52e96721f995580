"""Everything that the adapter reads of aiokafka's inside: what has no public name, and why it is needed.

Only how records are decoded is elsewhere, in `kafka_records.py`.

Written against aiokafka 0.14, which is pinned; `tests/integration/test_kafka_adapter.py` runs through all of it.
"""

# ruff: noqa: SLF001

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, OffsetAndMetadata, TopicPartition
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import KafkaError

from engine.adapters.kafka_records import FetchedRecords, Record
from engine.event import memory_bytes_of


def partition_state(consumer: AIOKafkaConsumer, partition: TopicPartition) -> Any:
    """Position and high watermark of an assigned partition without awaiting anything; None if it is not assigned."""
    subscription = consumer._subscription.subscription
    if subscription is None or subscription.assignment is None:
        return None
    return subscription.assignment.state_value(partition)


def reassigning(consumer: AIOKafkaConsumer) -> bool:
    """Whether `getmany` would wait for an assignment, for as long as the group takes."""
    return bool(consumer._subscription.reassignment_in_progress)


def has_records(consumer: AIOKafkaConsumer, partition: TopicPartition) -> bool:
    """Whether records of the partition (or an error) have been fetched and not been taken."""
    return partition in consumer._fetcher._records


def take(
    consumer: AIOKafkaConsumer, partition: TopicPartition, records_max: int, bytes_max: int
) -> tuple[list[Record], int]:
    """As `getmany` of one partition that has records, but it ends also with the record that reaches `bytes_max`.

    Returns the records, and what is left of `bytes_max`.

    Records are decoded one by one: what a well compressed chunk holds may be hundreds of times its own size. What
    cannot be decoded raises KafkaError once everything before it is taken.
    """
    fetcher = consumer._fetcher
    fetched = fetcher._records[partition]
    taken: list[Record] = []
    error: KafkaError | None = None
    with consumer._subscription.fetch_context():
        if isinstance(fetched, FetchResult):
            error, bytes_max = _decode(fetched, partition, taken, records_max, bytes_max)
            if fetched.has_more():
                return taken, bytes_max
        del fetcher._records[partition]
        fetcher._notify(fetcher._wait_consume_future)
    if not isinstance(fetched, FetchResult):
        fetched.check_raise()
    if error is not None:
        if not taken:
            raise error
        fetcher._set_error(partition, error)  # for the next call
    return taken, bytes_max


def _decode(
    fetched: Any, partition: TopicPartition, taken: list[Record], records_max: int, bytes_max: int
) -> tuple[KafkaError | None, int]:
    """Appends to `taken`, and moves the position past it. Returns what kept it from going on, and the bytes left."""
    if not fetched.check_assignment(partition) or not fetched.has_more():
        return None, bytes_max
    if not isinstance(fetched._partition_records, FetchedRecords):
        fetched._partition_records = FetchedRecords(partition, fetched._partition_records)
    error: KafkaError | None = None
    more = False
    try:
        more, bytes_max = fetched._partition_records.take(taken, records_max, bytes_max)
    except KafkaError as caught:
        error, bytes_max = caught, bytes_max - memory_bytes_of(taken)
    fetched._update_position()
    if not more:
        fetched._partition_records = None
    return error, bytes_max


def next_records(consumer: AIOKafkaConsumer) -> "asyncio.Future[None]":
    """Done when something was fetched, when the consumer closes, or with what went wrong in the group."""
    waiter: asyncio.Future[None] = consumer._fetcher._create_fetch_waiter()
    return waiter


def check_group(consumer: AIOKafkaConsumer) -> None:
    """Raises what went wrong in the consumer's own tasks: the group's waits until somebody has picked that up."""
    consumer._coordinator.check_errors()


def is_broken(consumer: AIOKafkaConsumer) -> bool:
    """Whether a task inside the consumer has ended that should not have: it will never deliver again."""
    coordination = getattr(consumer._coordinator, "_coordination_task", None)
    return consumer._fetcher.error_future.done() or (coordination is not None and coordination.done())


def leader(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """The node that leads the partition; None or negative where that is not known."""
    node: int | None = consumer._client.cluster.leader_for_partition(partition)
    return node


async def ask_leader(consumer: AIOKafkaConsumer, partition: TopicPartition, request: Any) -> Any:
    """The answer of the partition's leader. Raises KafkaError."""
    client = consumer._client
    return await client.send(client.cluster.leader_for_partition(partition), request)


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    """The topic's partitions, waiting for it to be known. Raises KafkaError where it is not in time."""
    partitions: set[int] = await consumer._client._wait_on_metadata(topic)
    return partitions


def partitions_known(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    """The topic's partitions by the newest metadata that there is; nobody is asked."""
    return set(consumer._client.cluster.partitions_for_topic(topic) or ())


async def partitions_asked_now(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    """The topic's partitions, by metadata that was asked for after this call began. Raises KafkaError."""
    client = consumer._client
    if not await client.force_metadata_update():
        raise KafkaError("no server answered with metadata")
    return set(client.cluster.partitions_for_topic(topic) or ())


def generation(consumer: AIOKafkaConsumer) -> int:
    """What the next commit or heartbeat would be stamped with; negative between generations."""
    number: int = consumer._coordinator.generation
    return number


def wants_rejoin(consumer: AIOKafkaConsumer) -> bool:
    return bool(consumer._coordinator.need_rejoin(consumer._subscription.subscription))


def start_heartbeats(consumer: AIOKafkaConsumer) -> None:
    """aiokafka starts them only once the listener has returned, which may be later than the session allows."""
    consumer._coordinator._start_heartbeat_task()


async def coordinator_known(consumer: AIOKafkaConsumer) -> None:
    await consumer._coordinator.ensure_coordinator_known()


async def heartbeat_once(consumer: AIOKafkaConsumer) -> bool:
    """Whether it was taken; also True for a member that shall join again, see `wants_rejoin`. Raises KafkaError."""
    return bool(await consumer._coordinator._do_heartbeat())


async def commit_once(consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
    """One commit, stamped with the generation at the moment of the call. Raises KafkaError."""
    await consumer._coordinator._do_commit_offsets(None, offsets)


async def committed_with_metadata(consumer: AIOKafkaConsumer, partition: TopicPartition) -> OffsetAndMetadata | None:
    """The public call leaves the metadata out. Repeats until answered. Raises KafkaError."""
    stored = await consumer._coordinator.fetch_committed_offsets([partition])
    return stored.get(partition)


FAREWELL_S = 2.0
"""How long the farewell of a consumer that hangs may take."""


async def stop_consumer(consumer: AIOKafkaConsumer, within_s: float) -> None:
    """Leaves the group and closes; where the servers do not answer in time, or it is broken inside, just closes."""
    await asyncio.sleep(0)  # a task of the consumer that was not begun yet would pass its cancellation on to us
    try:
        with _cancellations_of_ours():
            async with asyncio.timeout(within_s):
                await consumer.stop()
            return
    except (TimeoutError, KafkaError):
        pass  # it waits for an answer to its join, or one of its tasks has ended with that error: close part by part
    coordinator = consumer._coordinator
    if hasattr(coordinator, "_stop_heartbeat_task"):
        await coordinator._stop_heartbeat_task()
        await coordinator._stop_commit_offsets_refresh_task()
        with contextlib.suppress(TimeoutError):  # without a farewell the group notices when the session is over
            async with asyncio.timeout(FAREWELL_S):
                await coordinator._maybe_leave_group()
    if consumer._fetcher is not None:
        with contextlib.suppress(KafkaError), _cancellations_of_ours():  # what its task has ended with: that is why
            await consumer._fetcher.close()
        if under_way := set(consumer._fetcher._pending_tasks):
            for task in under_way:
                task.cancel()
            await asyncio.wait(under_way)
    await consumer._client.close()


@contextlib.contextmanager
def _cancellations_of_ours() -> Iterator[None]:
    """Lets through only who cancels us: a fetch that the consumer cancels at its end passes that on to its caller."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise


def sends_no_more(producer: AIOKafkaProducer) -> bool:
    """Whether the task that sends has ended, as it does when the broker refuses its sequence."""
    return bool(producer._sender.sender_task.done())


async def stop_producer(producer: AIOKafkaProducer, within_s: float) -> None:
    """Flushes and closes; gives up what the servers do not take in time."""
    try:
        async with asyncio.timeout(within_s):
            await producer.flush()
    except TimeoutError:
        producer._message_accumulator.fail_all(KafkaError("the sender was stopped"))
        await producer.client.close()
    await producer.stop()
