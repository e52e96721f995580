"""The port `Sender` on aiokafka: acknowledged by all in-sync replicas, in batches, partitioned as Java does.

Where the broker knows idempotent producers, aiokafka repeats a batch for ever and the broker drops the copies. A send
that is not answered in time is given up all the same: some of it may stand, or may still come to stand.
"""

import asyncio
import functools
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnsupportedForMessageFormatError,
)
from aiokafka.partitioner import DefaultPartitioner, murmur2

from engine.adapters.kafka_client import REQUEST_TIMEOUT_MS, Waiting, connecting, describe, patiently, say_waiting
from engine.adapters.kafka_inside import sends_no_more, stop_producer
from engine.adapters.kafka_security import KafkaSecurity, Servers
from engine.errors import Unanswered, Unsendable
from engine.event import Message

MESSAGE_BYTES_MAX = 1024 * 1024
"""Key, value and headers of one message together, a little less; also what brokers take unless told otherwise."""
BATCH_BYTES_MAX = 512 * 1024
LINGER_MS = 1
"""How long a message waits for others to share its batch: those that come meanwhile share the next one."""
LINGER_EMBEDDED_MS = 20
"""The same where the broker knows no idempotence, as the embedded one: each of its fetches scans all batches."""
SEND_S = 30.0
STOP_S = 10.0
NEVER = (
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnsupportedForMessageFormatError,
)


class KafkaSender:
    """Produces to any topic. May be used by many tasks at once."""

    def __init__(
        self,
        bootstrap: str,
        *,
        idempotent: bool = True,
        linger_ms: int | None = None,
        send_s: float = SEND_S,
        client_id: str = "keylane",
        security: KafkaSecurity | None = None,
        waiting: Waiting = say_waiting,
    ) -> None:
        """`idempotent`: where the broker knows it (see `probe`). `send_s`: after this a send is unanswered.

        `linger_ms`: how long a message waits for others; None: as suits the broker.
        """
        default_ms = LINGER_MS if idempotent else LINGER_EMBEDDED_MS
        self._servers = Servers(bootstrap, security)
        self._idempotent = idempotent
        self._linger_ms = default_ms if linger_ms is None else linger_ms
        self._send_s = send_s
        self._client_id = client_id
        self._waiting = waiting
        self._producer: AIOKafkaProducer | None = None
        self._reviving = asyncio.Lock()

    async def start(self) -> None:
        """Waits for the servers as long as it takes. May be cancelled."""
        self._producer = await patiently(self._connect, self._waiting, self._servers)

    async def stop(self) -> None:
        """Sends what is still waiting, for at most STOP_S, and closes."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_producer(producer, STOP_S)

    async def send(self, messages: Sequence[Message]) -> None:
        """See the port.

        Raises:
            Unsendable: one of the messages can never be sent; any of the others may or may not stand.
            Unanswered: some may stand, send all again.
        """
        producer = await self._alive()
        sent: list[asyncio.Future[object]] = []
        try:
            async with asyncio.timeout(self._send_s):
                for message in messages:
                    sent.append(await _enqueue(producer, message))  # noqa: PERF401  what went before an error counts
                if sent:
                    await asyncio.wait(sent)
        except TimeoutError as error:
            raise Unanswered(f"{len(messages)} messages were not acknowledged within {self._send_s:g} s") from error
        except KafkaError as error:
            raise _translated(error) from error
        finally:
            failures = [_outcome(future) for future in sent]
        for failure in failures:
            if failure is not None:
                raise _translated(failure) from failure

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **connecting(self._servers),
            client_id=self._client_id,
            acks="all",
            enable_idempotence=self._idempotent,
            linger_ms=self._linger_ms,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=MESSAGE_BYTES_MAX,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            partitioner=_Partitioner(),
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def _alive(self) -> AIOKafkaProducer:
        """The producer; a new one where its sending task has ended, as it does when its sequence is refused."""
        async with self._reviving:
            if self._producer is None:
                raise Unanswered("the sender is not started")
            if sends_no_more(self._producer):
                dead, self._producer = self._producer, await patiently(self._connect, self._waiting, self._servers)
                await stop_producer(dead, STOP_S)
            return self._producer


class _Partitioner(DefaultPartitioner):  # type: ignore[misc]
    """The default one, which remembers the hashes of keys: they are made in Python, and keys come again."""

    def __call__(self, key: bytes | None, all_partitions: list[int], available: list[int]) -> int:
        if key is None:
            partition: int = super().__call__(key, all_partitions, available)
            return partition
        return all_partitions[_hash(key) % len(all_partitions)]


@functools.lru_cache(maxsize=65_536)
def _hash(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF


async def _enqueue(producer: AIOKafkaProducer, message: Message) -> asyncio.Future[object]:
    """What will be done when the message is acknowledged. A message of nothing at all gets an empty value."""
    topic, key, value, headers = message
    if key is None and value is None:
        value = b""  # aiokafka takes no such message
    future: asyncio.Future[object] = await producer.send(topic, value, key, headers=list(headers))
    return future


def _outcome(future: asyncio.Future[object]) -> BaseException | None:
    """What went wrong, as far as it is known. Who is not done yet is left alone: that stops no sending."""
    if future.done() and not future.cancelled():
        return future.exception()
    future.cancel()
    return None


def _translated(error: BaseException) -> BaseException:
    if isinstance(error, NEVER):
        return Unsendable(describe(error))
    if isinstance(error, KafkaError):
        return Unanswered(f"send: {describe(error)}")
    return error
