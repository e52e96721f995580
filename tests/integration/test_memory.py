"""A worker's memory stays bounded, whatever comes: real processes, and what the system says they had at most.

The claim: below three times the configured bytes of what is in flight, for each partition it owns, plus 150 MiB.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from engine.adapters.kafka_topics import TopicSpec, ensure_topics
from engine.embedded.redis import EmbeddedRedis
from tests.integration.memory_worker import Settings

pytestmark = pytest.mark.slow

MB = 1024 * 1024
OF_THE_PROCESS = 150 * MB
REPOSITORY = Path(__file__).parents[2]
FIRST = 100
AWAY_S = 2.0
"""Longer than a call to Redis may take."""
BOMB_BYTES = 200 * MB


class Worker:
    """A `memory_worker` process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid

    def until(self, word: str) -> None:
        """Returns when the worker says so."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == word:
                return
        pytest.fail(f"the worker ended before it was {word!r}, exit code {self._process.wait()}")

    def peak_bytes(self) -> int:
        """The most that was resident, so far."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        pytest.fail("the system does not say what is resident")


@contextmanager
def worker(settings: Settings) -> Iterator[Worker]:
    command = [sys.executable, "-m", "tests.integration.memory_worker", msgspec.json.encode(settings).decode()]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as process:  # fmt: skip
        try:
            yield Worker(process)
        finally:
            process.kill()


def bound(settings: Settings) -> int:
    return 3 * settings.bytes_max * settings.partitions + OF_THE_PROCESS


def assert_bounded(settings: Settings, running: Worker) -> None:
    peak = running.peak_bytes()
    print(f"{settings.input}: {peak / MB:.0f} MiB at most, {bound(settings) / MB:.0f} MiB are allowed")
    assert peak < bound(settings)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "settings",
    [
        Settings(input="keys", events=1_200_000, bytes_max=1 * MB, partitions=1),
        Settings(input="hot key", events=2_000_000, bytes_max=8 * MB, partitions=1),
        Settings(input="dead letters away", events=1_000_000, bytes_max=16 * MB, partitions=1),
    ],
    ids=lambda settings: settings.input.replace(" ", "-"),
)
def test_made_up_input(settings: Settings) -> None:
    """Guards the cut in `Slice.applied`, `Partition.wants_events`, and `PlainLedger.forget`, one a case."""
    with worker(settings) as running:
        running.until("done")
        assert_bounded(settings, running)


async def test_events_of_a_megabyte(kafka_embedded: str, new_name: Callable[[str], str]) -> None:
    """Some hundred of them fit into one answer of the broker. Guards `bytes_max` of `Log.fetch`."""
    settings = Settings(
        input="large", events=300, bytes_max=8 * MB, partitions=1, kafka=kafka_embedded, topic=new_name("large")
    )  # fmt: skip
    await produce(settings, [b"large" * (MB // 5)] * settings.events)
    with worker(settings) as running:
        running.until("done")
        assert_bounded(settings, running)


async def test_redis_is_away_while_the_log_is_full(kafka_embedded: str, new_name: Callable[[str], str]) -> None:
    """Guards `Partition.wants_events`: what is full is not fetched."""
    with EmbeddedRedis(append_only=False) as redis:
        settings = Settings(
            input="redis away", events=80_000, bytes_max=4 * MB, partitions=2, kafka=kafka_embedded,
            topic=new_name("away"), redis=redis.url,
        )  # fmt: skip
        await produce(settings, [b"first"] * FIRST)
        with worker(settings) as running:
            running.until("begun")
            os.kill(redis.pid, signal.SIGSTOP)
            await produce(settings, [bytes(2_000)] * (settings.events - FIRST))
            running.until("full")
            await asyncio.sleep(AWAY_S)
            os.kill(redis.pid, signal.SIGCONT)
            running.until("done")
            assert_bounded(settings, running)


async def test_a_batch_that_inflates_a_thousandfold(kafka_embedded: str, new_name: Callable[[str], str]) -> None:
    """It is not read, and its partition waits for a person; the others go on. Guards `kafka_inflate.install`."""
    settings = Settings(
        input="bomb", events=100, bytes_max=8 * MB, partitions=2, kafka=kafka_embedded, topic=new_name("bomb")
    )  # fmt: skip
    await produce(settings, [bytes(BOMB_BYTES)], partition=0)
    await produce(settings, [b"small"] * settings.events, partition=1)
    with worker(settings) as running:
        running.until("done")
        assert_bounded(settings, running)


async def produce(settings: Settings, values: Sequence[bytes], *, partition: int | None = None) -> None:
    """Appends to the topic, round robin unless a partition is named, compressed, each key once."""
    await ensure_topics(settings.kafka, [TopicSpec(settings.topic, settings.partitions)])
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka, compression_type="gzip", max_request_size=2 * BOMB_BYTES, linger_ms=5
    )  # fmt: skip
    async with producer:
        for number, value in enumerate(values):
            place = number % settings.partitions if partition is None else partition
            await producer.send(settings.topic, value, key=b"key-%d" % number, partition=place)
