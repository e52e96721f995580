"""A worker of the memory tests: one process, one engine, under one kind of input. It says on its output how far it is.

Lines: `full` once its partitions take no more, `done` at the end. Then it waits until its input is closed, so that the
test can read from the system how much memory it had at most.
"""

import struct
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import anyio
import anyio.lowlevel
import msgspec

from engine import Aggregate, Cell, Counts, Engine, EngineConfig, Event, Message
from engine.adapters.kafka import KafkaLog
from engine.adapters.redis import RedisServer
from engine.errors import Unanswered
from engine.event import memory_bytes
from engine.ports import Answer, Call, Committed, RebalanceListener

TOPIC = "events"
HOUR_S = 1_800_000_000
SUM = Cell.of(Aggregate.SUM, HOUR_S, b"s")
LOOK_S = 0.1
BUCKETS = 8
EMPTY_SLICE = b"S" + bytes(4 + 2 + 4 + 4)
"""No record, no counters, nothing owed."""
APPLIED = b"A1" + bytes(4 + 4 + 4)
"""Nothing owed, nothing remembered."""
SLOW_S = 0.005
REBALANCES = 25

Input = Literal["keys", "hot key", "dead letters away", "large", "redis away", "bomb"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told, as JSON on its command line."""

    input: Input
    events: int
    """After so many the worker is done; they are in the log, or made up."""
    bytes_max: int
    partitions: int
    kafka: str = ""
    redis: str = ""
    topic: str = TOPIC


class MadeUpEvent(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class MadeUpLog:
    """A `Log` whose events are made when they are fetched: nothing of them is in memory before."""

    def __init__(self, settings: Settings, make: Callable[[int], tuple[bytes, bytes]]) -> None:
        self._end = settings.events // settings.partitions
        self._positions = dict.fromkeys(range(settings.partitions), 0)
        self._committed: dict[int, Committed] = {}
        self._make = make
        self._listener: RebalanceListener | None = None

    async def start(self, listener: RebalanceListener) -> None:
        self._listener = listener
        await listener.assigned(frozenset(self._positions))

    async def stop(self) -> None:
        self._listener = None

    async def rebalance(self) -> None:
        """Takes all partitions away and gives them back."""
        assert self._listener is not None
        await self._listener.revoked(frozenset(self._positions))
        await self._listener.assigned(frozenset(self._positions))

    async def fetch(
        self, partitions: Sequence[int], *, events_max: int, wait_s: float, bytes_max: int | None = None
    ) -> Mapping[int, Sequence[Event]]:
        fetched: dict[int, list[Event]] = {number: [] for number in partitions}
        shares = max(1, len(partitions))
        left, left_bytes = max(1, events_max // shares), (bytes_max or sys.maxsize) // shares
        for number, events in fetched.items():
            size = 0
            while len(events) < left and size < left_bytes and self._positions[number] < self._end:
                offset = self._positions[number]
                events.append(MadeUpEvent(TOPIC, number, offset, 0, *self._make(offset)))
                size += memory_bytes(events[-1])
                self._positions[number] += 1
        await anyio.sleep(0 if any(fetched.values()) else wait_s)
        return fetched

    def position(self, partition: int) -> int:
        return self._positions[partition]

    def high_watermark(self, partition: int) -> int | None:
        return self._end

    async def seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset

    async def beginning(self, partition: int) -> int:
        return 0

    async def end(self, partition: int) -> int:
        return self._end

    async def committed(self, partition: int) -> Committed | None:
        return self._committed.get(partition)

    async def commit(self, offsets: Mapping[int, Committed]) -> bool:
        self._committed.update(offsets)
        return True

    async def confirm_ownership(self, partition: int) -> bool:
        return True

    async def count_partitions(self) -> int:
        return len(self._positions)


class AwaySender:
    """The dead-letter topic is away."""

    async def send(self, messages: Sequence[Message]) -> None:
        raise Unanswered("the dead-letter topic is away")


class AnsweringState:
    """A state server that takes every write and holds nothing: the answers are those of an empty Redis."""

    clustered = False

    async def call(self, function: str, payload: bytes, *, key: bytes, writes: bool) -> list[bytes]:
        if function == "read":
            return [EMPTY_SLICE] * BUCKETS
        assert function == "apply", f"{function} is not answered here"
        (writes_in_call,) = struct.unpack_from(">H", payload, 3)
        return [APPLIED] * writes_in_call

    async def call_many(
        self, function: str, calls: Sequence[Call], *, writes: bool, answered: Callable[[int, Answer], None]
    ) -> None:
        await anyio.lowlevel.checkpoint()
        for place, call in enumerate(calls):
            answered(place, await self.call(function, call.payload, key=call.key, writes=writes))

    async def make_durable(self, level: str) -> None:
        """Nothing to do."""

    async def post(self, board: str, name: str, notice: bytes | None, *, lasts_s: int = 60) -> None:
        """Nobody reads it."""

    async def posted(self, board: str) -> Mapping[str, bytes]:
        return {}


class WallClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Sums:
    """Each event counts 1, under an identity of its own."""

    def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
        return [Counts(b"%08x%08x" % (each.partition, each.offset), ((SUM, 1),)) for each in events]


def config_of(settings: Settings, **more: object) -> EngineConfig:
    return EngineConfig(
        topic=settings.topic, group=settings.topic, buckets=BUCKETS, in_flight_bytes_max=settings.bytes_max,
        in_flight_max=1_000_000, call_timeout_s=1.0, drain_s=0.05, **more,  # type: ignore[arg-type]
    )  # fmt: skip


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await anyio.sleep(LOOK_S)


def full(engine: Engine) -> bool:
    """Every partition has as much as it may."""
    return all(each.state == "paused" for each in engine.statistics().partitions)


# ---------------------------------------------------------------- made up: keys, a hot key, dead letters away
async def keys(settings: Settings) -> None:
    """As many keys as events."""
    log = MadeUpLog(settings, lambda offset: (b"key-%d" % offset, b"small"))
    config = config_of(settings, idle_write_s=3_600.0)
    engine = Engine(
        config, log=log, sender=AwaySender(), clock=WallClock(), processor=Sums(), state=AnsweringState()
    )  # fmt: skip
    await running(engine, lambda: engine.statistics().counters.counted == settings.events)


async def hot_key(settings: Settings) -> None:
    """Nine of ten events are of one key, whose handler is slow."""
    handled = 0

    async def handle(event: Event) -> None:
        nonlocal handled
        handled += 1
        if event.key == b"hot":
            await anyio.sleep(SLOW_S)

    log = MadeUpLog(settings, lambda offset: (b"hot" if offset % 10 else b"key-%d" % offset, bytes(200)))
    engine = Engine(config_of(settings), log=log, sender=AwaySender(), clock=WallClock(), handler=handle)
    await running(engine, lambda: full(engine) and handled > settings.partitions * 200)


async def dead_letters_away(settings: Settings) -> None:
    """Every event fails, its letter cannot be sent, and the partitions come and go."""

    async def handle(event: Event) -> None:
        raise ValueError("poison")

    log = MadeUpLog(settings, lambda offset: (b"key-%d" % offset, bytes(40_000)))
    config = config_of(settings, retry_max=0, breaker_keys=0)
    engine = Engine(config, log=log, sender=AwaySender(), clock=WallClock(), handler=handle)

    async def come_and_go() -> None:
        for _ in range(REBALANCES):
            await until(lambda: bool(engine.statistics().partitions) and full(engine))
            await log.rebalance()

    await running(engine, come_and_go)


# ---------------------------------------------------------------- servers: large events, Redis away, a bomb
async def large(settings: Settings) -> None:
    """Events of a megabyte, a hundred to a megabyte of the log."""
    handled = 0

    async def handle(event: Event) -> None:
        nonlocal handled
        await anyio.sleep(SLOW_S)
        handled += 1

    await running(kafka_engine(settings, handle), lambda: handled == settings.events)


async def redis_away(settings: Settings) -> None:
    """The test takes Redis away before it starts this, and brings it back once `full` was said."""
    log = KafkaLog(settings.kafka, topic=settings.topic, group=settings.topic)
    state = RedisServer(settings.redis)
    engine = Engine(
        config_of(settings), log=log, sender=AwaySender(), clock=WallClock(), processor=Sums(), state=state
    )  # fmt: skip

    async def said_and_written() -> None:
        await until(lambda: bool(engine.statistics().partitions) and engine.statistics().counters.counted > 0)
        say("begun")
        await until(lambda: bool(engine.statistics().partitions) and full(engine))
        say("full")
        await until(lambda: engine.statistics().counters.counted == settings.events)

    await running(engine, said_and_written)
    await state.close()


async def bomb(settings: Settings) -> None:
    """One partition holds a batch that inflates a thousandfold; the events of the others are handled all the same."""
    handled = 0

    async def handle(event: Event) -> None:
        nonlocal handled
        handled += 1

    notices: list[str] = []
    engine = kafka_engine(settings, handle, notices.append)
    await running(engine, lambda: handled == settings.events and any("inflates" in each for each in notices))


def kafka_engine(
    settings: Settings, handle: Callable[[Event], Awaitable[None]], warn: Callable[[str], None] | None = None
) -> Engine:
    log = KafkaLog(settings.kafka, topic=settings.topic, group=settings.topic)
    config = config_of(settings)
    return Engine(config, log=log, sender=AwaySender(), clock=WallClock(), handler=handle, warn=warn)


async def running(engine: Engine, end: Callable[[], object]) -> None:
    """Runs the engine until `end` is true, or has returned."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(engine.run)
        if isinstance(waited := end(), bool):
            await until(end)  # type: ignore[arg-type]
        else:
            await waited  # type: ignore[misc]
        engine.stop()


def say(word: str) -> None:
    print(word, flush=True)


INPUTS: Mapping[Input, Callable[[Settings], object]] = {
    "keys": keys,
    "hot key": hot_key,
    "dead letters away": dead_letters_away,
    "large": large,
    "redis away": redis_away,
    "bomb": bomb,
}


def main() -> None:
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    anyio.run(INPUTS[settings.input], settings)  # type: ignore[arg-type]
    say("done")
    sys.stdin.read()


if __name__ == "__main__":
    main()
