"""An engine on real servers, as a program would put it together, for the time of a measurement."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from engine import BatchHandler, Engine, EngineConfig, Handler, Processor
from engine.adapters.kafka import KafkaLog, KafkaSender, knows_idempotence
from engine.adapters.redis import RedisServer
from engine.notice import Tell
from engine.ports import Log, StateServer

IN_FLIGHT_MAX = 20_000


class WallClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


@asynccontextmanager
async def worker(
    bootstrap: str,
    topic: str,
    group: str,
    *,
    redis_url: str | None = None,
    state: StateServer | None = None,
    processor: Processor | None = None,
    handler: Handler | None = None,
    batch_handler: BatchHandler | None = None,
    name: str = "worker",
    log: Log | None = None,
    tell: Tell | None = None,
    **settings: Any,
) -> AsyncIterator[Engine]:
    """It runs while the block does; at its end it drains, commits and leaves the group.

    A processor counts in `redis_url`, or in `state` where that is given. `log` is read instead of one on `bootstrap`;
    `tell` gets the engine's notices. `settings` are fields of `EngineConfig`.
    """
    config = EngineConfig.from_settings({}, topic=topic, group=group, **{"in_flight_max": IN_FLIGHT_MAX, **settings})
    async with AsyncExitStack() as ends:
        if processor is not None and state is None:
            assert redis_url is not None, "a processor needs a state server"
            state = RedisServer(redis_url, writers=config.calls_in_flight_max)
            ends.push_async_callback(state.close)
        sender = KafkaSender(bootstrap, idempotent=await knows_idempotence(bootstrap))
        await sender.start()
        ends.push_async_callback(sender.stop)
        log = log or KafkaLog(
            bootstrap, topic=topic, group=group, session_s=config.session_s, rebalance_s=config.rebalance_s,
            instance_id=config.instance_id, client_id=name,
        )  # fmt: skip
        engine = Engine(
            config, log=log, sender=sender, clock=WallClock(),
            processor=processor, handler=handler, batch_handler=batch_handler, state=state, name=name,
            deletes_identities=processor is not None, tell=tell,
        )  # fmt: skip
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(engine.run())
            try:
                yield engine
            finally:
                engine.stop()


def done_of(engine: Engine) -> int:
    """Events of aggregates that are done since the start."""
    counters = engine.counters()
    return counters.counted + counters.unmetered + counters.duplicates_dropped + counters.dead_lettered
