"""`billing worker`: the engine with the billing handler, from Kafka to Redis; here its parts are put together."""

import asyncio
from collections.abc import Callable, Iterator

import anyio

from billing.admin.app import serve_view
from billing.admin.view import WorkerView
from billing.catalog import Catalog, load_catalog
from billing.config import BillingConfig
from billing.connections import (
    make_reader,
    make_sender,
    make_state,
    process_name,
    reach_kafka,
    reach_redis,
    waiting_for,
    warning_of_other_catalog,
)  # fmt: skip
from billing.facts import Facts, register_first
from billing.handler import BillingHandler
from billing.http_server import address_of, listen
from billing.reload import Reload
from billing.security import kafka_security
from billing.service import Signals, quieten_collector, say
from billing.telemetry import CATALOG_DIFFERS, CATALOG_VERSION
from engine import Engine, Observation, Sender
from engine.adapters.clock import SystemClock
from engine.adapters.json_log import tell
from engine.adapters.kafka import KafkaLog, Topic
from engine.adapters.otel import OpenTelemetry


class Worker:
    """Everything of a worker, made before anything is reached."""

    def __init__(self, config: BillingConfig, name: str) -> None:
        self.config = config
        self.name = name
        self.clock = SystemClock()
        self.catalog: Catalog | None = load_catalog(config.catalog) if config.catalog is not None else None
        self.state = make_state(config, writers=config.engine.calls_in_flight_max)
        self.facts = Facts(make_reader(config, config.facts_topic, say), self.clock)
        self.telemetry = OpenTelemetry("billing-worker", name)
        self.telemetry.observe((CATALOG_VERSION, CATALOG_DIFFERS), self._observe)
        self.view = WorkerView(
            name=name, exposition=self.telemetry.exposition, catalog_version=lambda: self.facts.version
        )

    def catalog_differs(self) -> bool:
        """Whether the configured file says something else than what is registered."""
        return self.catalog is not None and self.facts.version > 0 and self.catalog != self.facts.catalog

    def make_engine(self, sender: Sender, topic: Topic) -> Engine:
        """The engine, not running yet."""
        config = self.config
        if not topic.bounds_arrivals:
            say(f"topic {topic.name} does not bound its timestamps: identities are remembered for ever")
        log = KafkaLog(
            config.kafka,
            topic=config.topic,
            group=config.group,
            session_s=config.engine.session_s,
            rebalance_s=config.engine.rebalance_s,
            instance_id=config.engine.instance_id,
            client_id=self.name,
            security=kafka_security(config),
            waiting=waiting_for("Kafka", say),
        )
        handler = BillingHandler(
            self.facts, horizon_d=config.horizon_d, alerts_topic=config.alerts_topic, clock=self.clock
        )
        return Engine(
            config.engine,
            log=log,
            sender=sender,
            clock=self.clock,
            processor=handler,
            state=self.state,
            name=self.name,
            deletes_identities=topic.bounds_arrivals,
            telemetry=self.telemetry,
            tell=tell,
        )

    def _observe(self) -> Iterator[Observation]:
        yield Observation(CATALOG_VERSION, self.facts.version)
        yield Observation(CATALOG_DIFFERS, int(self.catalog_differs()))


async def run_worker(
    config: BillingConfig, *, signals: Signals, load: Callable[[], BillingConfig], name: str | None = None
) -> int:
    """Counts until it is told to stop, then drains, commits and returns 0. `load` reads the settings again.

    Never ends because a server is unreachable.

    Raises:
        ConfigError: a topic or the servers' settings do not fit, or the port is taken.
        InvalidCatalog: the first catalog is none.
    """
    worker = Worker(config, name or process_name())
    listener = None
    if config.worker_port is not None:
        listener = listen(config.worker_host, config.worker_port, "BILLING_WORKER_PORT")
        say(f"worker {worker.name} listens on {address_of(listener)} (open to whoever reaches it)")
    async with anyio.create_task_group() as tasks:
        starting = anyio.CancelScope()
        tasks.start_soon(_cancel_at, signals.stop, tasks.cancel_scope, starting)
        tasks.start_soon(Reload(config, load, tell, lambda: worker.view.engine).run, signals.hangup)
        if listener is not None:
            tasks.start_soon(serve_view, worker.view, listener)
        try:
            await _reach_and_count(worker, signals.stop, starting)
        finally:
            with anyio.CancelScope(shield=True):
                await worker.state.close()
                worker.telemetry.close()
        tasks.cancel_scope.cancel()
    return 0


async def _reach_and_count(worker: Worker, stop: asyncio.Event, starting: anyio.CancelScope) -> None:
    config, view = worker.config, worker.view
    view.waits_for = "kafka: was not reached yet"
    capabilities, topics = await reach_kafka(config, say)
    sender = make_sender(config, capabilities, say)
    await sender.start()
    try:
        view.waits_for = "redis: was not reached yet"
        await reach_redis(worker.state, config, say)
        async with anyio.create_task_group() as following:
            following.start_soon(worker.facts.run)
            await _wait_for_catalog(worker, sender)
            engine = worker.make_engine(sender, topics[config.topic])
            starting.cancel()  # from here on a stop drains
            view.engine = engine
            await _run_engine(engine, stop)
            following.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await sender.stop()


async def _wait_for_catalog(worker: Worker, sender: Sender) -> None:
    facts, config, view = worker.facts, worker.config, worker.view
    view.waits_for = "facts: they are still being read"
    await facts.reach_end()
    if worker.catalog is not None:
        await register_first(facts, sender, config.facts_topic, worker.catalog)
    if not facts.version:
        view.waits_for = "catalog: none is registered"
        say("waiting for a catalog: set BILLING_CATALOG or run: billing catalog apply CATALOG")
    await facts.wait_for_catalog()
    if worker.catalog_differs():
        say(f"warning: {warning_of_other_catalog(config)}")


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
