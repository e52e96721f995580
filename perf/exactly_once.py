"""Exactly-once aggregation on one partition: many events a call beside one event a call, in the same run.

The work: decode a JSON event, drop exact duplicates (1 % of the events, from anywhere in the log), sum by hour and
model, keep a watched monthly total a customer. Checked at the end: every cell equals a dictionary computed beside it,
or no figure is printed.
"""

import asyncio
import gc
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec
import orjson
import uvloop

from engine import Aggregate, Cell, Counts, Effect, Engine, EngineConfig, Event, Message, Period, Totals, identity_of
from engine.adapters.kafka import KafkaLog, KafkaSender
from engine.adapters.kafka_topics import TopicSpec, ensure_topics
from engine.adapters.redis import RedisServer
from engine.embedded.apache import ApacheKafka
from engine.embedded.broker import EmbeddedBroker
from engine.embedded.redis import EmbeddedRedis
from engine.state.reader import StateReader

KEYS = 1_000
MODELS = 4
DUPLICATES = 0.01
HOUR_S = 3_600
SCALE = 10**12


class Usage(msgspec.Struct, gc=False):
    id: str
    source: str
    tokens: int
    model: str


class Model:
    """The plain dictionary: what the state must hold in the end."""

    def __init__(self) -> None:
        self.cells: dict[tuple[bytes, str], int] = defaultdict(int)


class TokenUsage:
    """The processor under test."""

    def __init__(self, start_s: int) -> None:
        self._decode = msgspec.json.Decoder(Usage).decode
        hour_s = start_s // HOUR_S * HOUR_S
        self.cells = {f"m{number}": Cell.of(Aggregate.SUM, hour_s, b"m%d" % number) for number in range(MODELS)}
        self.period = Period.of(hour_s, hour_s + 31 * 86_400, keep=True, watched=True)

    def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
        answers = []
        for event in events:
            usage = self._decode(event.value or b"")
            identity = identity_of(b"default", key, usage.source.encode(), usage.id.encode())
            answers.append(Counts(identity, ((self.cells[usage.model], usage.tokens * SCALE),), self.period))
        return answers

    def react(self, totals: Totals) -> list[Effect]:
        spent = sum(reading.number for reading in totals.values.values())
        return [Effect(b"limit")] if spent > 10**9 * SCALE else []


class WallClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Figures(NamedTuple):
    events_per_s: float
    worker_us: float
    redis_us: float
    events_per_call: float


def measure(*, quick: bool, kafka: str) -> dict[str, object]:
    """Both settings on the same servers. Raises AssertionError if a cell is not what the log says."""
    events, single = (120_000, 4_000) if quick else (500_000, 20_000)
    with ExitStack() as servers:
        broker: ApacheKafka | EmbeddedBroker = ApacheKafka() if kafka == "apache" else EmbeddedBroker()
        servers.enter_context(broker)
        redis = servers.enter_context(EmbeddedRedis())
        many = uvloop.run(_run("many", events, broker.bootstrap, redis))
        one = uvloop.run(_run("one", single, broker.bootstrap, redis, call_events_max=1, calls_in_flight_max=1))
    return {
        "scenario": "exactly-once",
        "kafka": kafka,
        "events": events,
        "many_events_a_call": many._asdict(),
        "one_event_a_call": one._asdict(),
        "ratio": many.events_per_s / one.events_per_s,
        "processors": os.cpu_count(),
    }


def describe(result: dict[str, object]) -> str:
    lines = [f"exactly-once on one partition, {result['kafka']} broker, {result['events']:,} events, {KEYS:,} keys"]
    for name in ("many_events_a_call", "one_event_a_call"):
        figures = Figures(**result[name])  # type: ignore[arg-type]
        lines.append(
            f"  {name.replace('_', ' '):20} {figures.events_per_s:>10,.0f} events/s  worker {figures.worker_us:6.1f} µs"
            f"   redis {figures.redis_us:6.1f} µs   {figures.events_per_call:8,.1f} events a call"
        )
    return "\n".join([*lines, f"  ratio {result['ratio']:.1f}; every cell equals the log"])


async def _run(name: str, count: int, bootstrap: str, redis: EmbeddedRedis, **changes: object) -> Figures:
    topic = f"perf-{name}"
    await ensure_topics(bootstrap, [TopicSpec(topic, 1, 1, {})])
    model = await _produce(bootstrap, topic, count)
    config = EngineConfig.from_settings({}, topic=topic, group=topic, in_flight_max=20_000, **changes)
    server = RedisServer(redis.url, writers=config.calls_in_flight_max)
    sender = KafkaSender(bootstrap)
    await sender.start()
    processor = TokenUsage(int(time.time()))
    engine = Engine(
        config, log=KafkaLog(bootstrap, topic=topic, group=topic), sender=sender, clock=WallClock(),
        processor=processor, state=server, deletes_identities=True,
    )  # fmt: skip
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(engine.run())
        figures = await _timed(engine, count, redis.pid)
        engine.stop()
    await _check(StateReader(server, group=topic, buckets=config.buckets), processor, model)
    await sender.stop()
    await server.close()
    return figures


async def _timed(engine: Engine, count: int, redis_pid: int) -> Figures:
    """From the first counted event to the last, group join left out."""
    while not (first := _done(engine)):  # noqa: ASYNC110 - seen from outside, as an operator would
        await asyncio.sleep(0.05)
    start_s, worker_s, redis_s = time.perf_counter(), time.process_time(), _cpu_s(redis_pid)
    calls = engine.statistics().counters.calls
    while (done := _done(engine)) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    measured = done - first
    elapsed_s = time.perf_counter() - start_s
    return Figures(
        measured / elapsed_s,
        (time.process_time() - worker_s) / measured * 1e6,
        (_cpu_s(redis_pid) - redis_s) / measured * 1e6,
        measured / max(1, engine.statistics().counters.calls - calls),
    )


def _done(engine: Engine) -> int:
    counters = engine.statistics().counters
    return counters.counted + counters.duplicates_dropped


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _produce(bootstrap: str, topic: str, count: int) -> Model:
    random, model, sender = Random(1), Model(), KafkaSender(bootstrap, linger_ms=5)
    await sender.start()
    sent: list[tuple[bytes, bytes]] = []
    batch: list[Message] = []
    for number in range(count):
        if sent and random.random() < DUPLICATES:
            key, value = random.choice(sent)
        else:
            key, usage = b"customer-%d" % random.randrange(KEYS), _usage(random, number)
            value = orjson.dumps(usage)
            sent.append((key, value))
            model.cells[key, str(usage["model"])] += int(str(usage["tokens"])) * SCALE
        batch.append(Message(topic, key, value))
        if len(batch) == 2_000:
            await sender.send(batch)
            batch = []
    if batch:
        await sender.send(batch)
    await sender.stop()
    return model


def _usage(random: Random, number: int) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": f"{random.getrandbits(96):024x}-{number}",
        "source": "gateway/eu-1",
        "type": "llm.tokens",
        "tokens": random.randrange(1, 5_000),
        "model": f"m{random.randrange(MODELS)}",
        "region": "eu",
        "request": f"{random.getrandbits(64):016x}",
    }


async def _check(reader: StateReader, processor: TokenUsage, model: Model) -> None:
    compared = 0
    start_s, end_s = processor.period.start_s, processor.period.end_s
    for key in {key for key, _ in model.cells}:
        cells = await reader.cells(key, start_s, end_s)
        total = await reader.total(key, start_s, end_s)
        assert total is not None
        for model_name, cell in processor.cells.items():
            expected = model.cells.get((key, model_name), 0)
            assert (cells[cell].number if cell in cells else 0) == expected, f"{key!r} {model_name}"
            in_total = total.values.get(cell.series)
            assert (in_total.number if in_total else 0) == expected, f"total of {key!r} {model_name}"
            compared += 1
    assert compared > 0
