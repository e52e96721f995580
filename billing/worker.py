"""`billing worker`: the engine with the billing handler, from Kafka to Redis; here its parts are put together."""

import asyncio
from collections.abc import Callable

import anyio

from billing.catalog import load_catalog
from billing.clock import SystemClock
from billing.config import BillingConfig
from billing.connections import (
    make_reader,
    make_sender,
    process_name,
    reach_kafka,
    reach_redis,
    waiting_for,
    warning_of_other_catalog,
)  # fmt: skip
from billing.facts import Facts, register_first
from billing.handler import BillingHandler
from billing.service import quieten_collector
from billing.topics import deletes_identities
from engine import Clock, Engine, Sender
from engine.adapters.kafka import KafkaLog, Topic
from engine.adapters.redis import RedisServer

Say = Callable[[str], None]


async def run_worker(config: BillingConfig, *, stop: asyncio.Event, say: Say, name: str | None = None) -> int:
    """Counts until `stop`, then drains, commits and returns 0. Never ends because a server is unreachable.

    Raises:
        ConfigError: a topic or the servers' settings do not fit.
        InvalidCatalog: the first catalog is none.
    """
    catalog = load_catalog(config.catalog) if config.catalog is not None else None
    clock = SystemClock()
    async with anyio.create_task_group() as tasks:
        starting = anyio.CancelScope()
        tasks.start_soon(_cancel_at, stop, tasks.cancel_scope, starting)
        capabilities, topics = await reach_kafka(config, say)
        sender = make_sender(config, capabilities, say)
        state = RedisServer(config.redis, writers=config.engine.calls_in_flight_max)
        facts = Facts(make_reader(config, config.facts_topic, say), clock)
        await sender.start()
        try:
            await reach_redis(state, config, say)
            async with anyio.create_task_group() as following:
                following.start_soon(facts.run)
                await facts.reach_end()
                if catalog is not None:
                    await register_first(facts, sender, config.facts_topic, catalog)
                if not facts.version:
                    say("waiting for a catalog: set BILLING_CATALOG or run: billing catalog apply CATALOG")
                await facts.wait_for_catalog()
                if catalog is not None and catalog != facts.catalog:
                    say(f"warning: {warning_of_other_catalog(config)}")
                engine = _make_engine(config, facts, sender, state, clock, topics[config.topic], name, say)
                starting.cancel()  # from here on a stop drains
                await _run_engine(engine, stop)
                following.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await sender.stop()
                await state.close()
        tasks.cancel_scope.cancel()
    return 0


def _make_engine(
    config: BillingConfig,
    facts: Facts,
    sender: Sender,
    state: RedisServer,
    clock: Clock,
    topic: Topic,
    name: str | None,
    say: Say,
) -> Engine:
    if not deletes_identities(topic):
        say(f"topic {topic.name} does not bound its timestamps: identities are remembered for ever")
    log = KafkaLog(
        config.kafka,
        topic=config.topic,
        group=config.group,
        session_s=config.engine.session_s,
        rebalance_s=config.engine.rebalance_s,
        instance_id=config.engine.instance_id,
        client_id=name or process_name(),
        waiting=waiting_for("Kafka", say),
    )
    return Engine(
        config.engine,
        log=log,
        sender=sender,
        clock=clock,
        processor=BillingHandler(facts, horizon_d=config.horizon_d, alerts_topic=config.alerts_topic, clock=clock),
        state=state,
        name=name or process_name(),
        deletes_identities=deletes_identities(topic),
        warn=say,
    )


async def _run_engine(engine: Engine, stop: asyncio.Event) -> None:
    quieten_collector()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_at, stop, engine)
        await engine.run()
        tasks.cancel_scope.cancel()


async def _stop_at(stop: asyncio.Event, engine: Engine) -> None:
    await stop.wait()
    engine.stop()


async def _cancel_at(stop: asyncio.Event, scope: anyio.CancelScope, starting: anyio.CancelScope) -> None:
    """While the process starts there is nothing to drain: a stop ends the waiting."""
    with starting:
        await stop.wait()
        scope.cancel()
