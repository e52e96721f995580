"""The engine by itself: a handler or a processor, put together with Kafka and Redis and run until SIGTERM.

A whole program::

    import asyncio

    from engine import Event
    from engine.run import run_handler


    async def handle(event: Event) -> None:
        print(event.key, event.value)


    asyncio.run(run_handler(handle, kafka="localhost:9092", topic="orders", group="mailer"))

Events of one key are handled one after the other, those of different keys at once. A handler that raises is called
again with back-off; at last its event goes to the topic `orders.dead`. An event is done when its handler has returned
and what it returned is sent. Settings are those of `EngineConfig`; variables of the environment (`ENGINE_CONCURRENCY`)
win over what stands in the program.
"""

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

import anyio

from engine.adapters.redis import RedisServer
from engine.config import PREFIX, EngineConfig
from engine.event import Event, Message
from engine.process import Assembly, Process
from engine.processor import Processor
from engine.runtime.producer import Producer

__all__ = ["Process", "run_batch_handler", "run_handler", "run_processor"]

Sends: TypeAlias = Iterable[Message] | None
"""What a handler returns: messages that are acknowledged before its event is done, or nothing."""
NO_SETTINGS: Final[Mapping[str, object]] = MappingProxyType({})


async def run_handler(
    handle: Callable[[Event], Awaitable[Sends]],
    *,
    kafka: str,
    topic: str,
    group: str,
    settings: Mapping[str, object] = NO_SETTINGS,
    process: Process | None = None,
) -> None:
    """Calls `handle` with every event, at least once, and sends the messages that it returns.

    `kafka`: host:port, separated by commas. `settings`: fields of `EngineConfig`, for example
    `{"concurrency": 200, "on_failure": "park"}`. Returns after SIGTERM or SIGINT, when what is open was finished within
    `drain_s` and committed. Waits for servers, and for a topic that does not exist yet, as long as it takes.

    Raises:
        ConfigError: a setting is not valid; all problems at once.
        HandlerFailed: a handler failed for the last time, and `on_failure` is `stop`.
    """

    def attach(assembly: Assembly, producer: Producer) -> None:
        async def handle_and_send(event: Event) -> None:
            await _send(producer, await handle(event))

        assembly.handler = handle_and_send

    await Assembly(_configured(topic, group, settings), kafka, process or Process()).run(attach)


async def run_batch_handler(
    handle: Callable[[Sequence[Event]], Awaitable[Sends]],
    *,
    kafka: str,
    topic: str,
    group: str,
    settings: Mapping[str, object] = NO_SETTINGS,
    process: Process | None = None,
) -> None:
    """As `run_handler`, with consecutive events of one key at a time, at most `batch_max`.

    If it raises, they are handed over again one by one.
    """

    def attach(assembly: Assembly, producer: Producer) -> None:
        async def handle_and_send(events: Sequence[Event]) -> None:
            await _send(producer, await handle(events))

        assembly.batch_handler = handle_and_send

    await Assembly(_configured(topic, group, settings), kafka, process or Process()).run(attach)


async def run_processor(
    processor: Processor,
    *,
    kafka: str,
    redis: str | RedisServer,
    topic: str,
    group: str,
    settings: Mapping[str, object] = NO_SETTINGS,
    process: Process | None = None,
) -> None:
    """Keeps the aggregates of `processor` in Redis, every event counted exactly once; see `run_handler`.

    `redis`: a URL (redis://, rediss://, redis+cluster://), or a server made elsewhere, which stays open. What stands
    there is read by `StateReader`.

    Raises:
        ConfigError: a setting is not valid, of the engine or of Redis.
    """
    config = _configured(topic, group, settings)
    given = isinstance(redis, RedisServer)
    state = redis if isinstance(redis, RedisServer) else RedisServer(redis, writers=config.calls_in_flight_max)

    def attach(assembly: Assembly, producer: Producer) -> None:
        assembly.processor = processor

    try:
        await Assembly(config, kafka, process or Process(), state).run(attach)
    finally:
        if not given:
            with anyio.CancelScope(shield=True):
                await state.close()


async def _send(producer: Producer, messages: Sends) -> None:
    if messages is not None and (found := list(messages)):
        await producer.send(found)


def _configured(topic: str, group: str, settings: Mapping[str, object]) -> EngineConfig:
    written = {"topic": topic, "group": group, **settings}
    named = {name if name.startswith(PREFIX) else PREFIX + name.upper(): value for name, value in written.items()}
    outside = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    return EngineConfig.from_settings(named | outside)
