"""`billing api`: the HTTP server and everything behind it. The place where its parts are put together.

It listens at once; what is not there yet (Kafka, Redis, a catalog) is named by `/readyz` and answered with 503.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import anyio
import uvicorn

from billing.api.alert_feed import AlertFeed
from billing.api.app import create_app
from billing.api.hub import Hub
from billing.api.ingest import Door, Limits
from billing.api.letters import TAIL_MAX, LetterBox
from billing.api.page import Page
from billing.api.recent import RecentEvents
from billing.api.services import Services, Waiting
from billing.api.stream import Publisher
from billing.catalog import Catalog, load_catalog
from billing.config import BillingConfig
from billing.connections import (
    LateSender,
    Say,
    make_reader,
    make_sender,
    make_state,
    process_name,
    reach_kafka,
    reach_redis,
    warning_of_other_catalog,
)  # fmt: skip
from billing.dashboard.assets import load_assets
from billing.domain.usage import UsageEvent
from billing.facts import Facts, register_first
from billing.following import Follower
from billing.http_server import address_of, listen, new_server
from billing.last_audit import read_audit
from billing.reload import Reload
from billing.service import Signals, quieten_collector, say
from billing.standings import Standings
from billing.status import PipelineStatus
from billing.store import Store
from billing.telemetry import ACCEPTED, CATALOG_DIFFERS, CATALOG_VERSION, METRICS, REFUSED, STATUS
from engine import Event, Observation, StateReader, board_of
from engine.adapters.clock import SystemClock
from engine.adapters.json_log import tell
from engine.adapters.kafka import LogReader
from engine.adapters.otel import OpenTelemetry
from engine.adapters.redis import RedisServer

DOOR_LOOKS_AHEAD_MS = 5_000
AUDIT_EVERY_S = 5.0
"""What is accepted arrives in the log a little later, perhaps under newer meters: it must fit those too."""


class LogSources:
    """Where the pipeline's status comes from: log, records and board."""

    def __init__(self, log: LogReader, reader: StateReader, state: RedisServer, board: str) -> None:
        self._board = board
        self._log = log
        self._reader = reader
        self._state = state

    async def ends(self) -> Mapping[int, int]:
        await self._log.follow_growth()
        partitions = self._log.partitions
        ends = await asyncio.gather(*(self._log.end(partition) for partition in partitions))
        return dict(zip(partitions, ends, strict=True))

    async def arrival_ms(self, partition: int, offset: int) -> int | None:
        first = max(offset, await self._log.beginning(partition))
        end = await self._log.end(partition)
        if first >= end:
            return None
        async for batch in self._log.read(partition, first, end, events_max=1):
            return batch[0].timestamp
        return None

    async def progress(self, partitions: int) -> Sequence[Any]:
        return await self._reader.progress(partitions)

    async def notices(self) -> Mapping[str, bytes]:
        return await self._state.posted(self._board)


class Parts:
    """Everything of a process, made before anything is reached."""

    def __init__(self, config: BillingConfig, say: Say, configured: Catalog | None) -> None:
        self.config = config
        self.say = say
        self.clock = SystemClock()
        self.sender = LateSender()
        self.state = make_state(config)
        self.reader = StateReader(self.state, group=config.group, buckets=config.engine.buckets)
        self.facts = Facts(make_reader(config, config.facts_topic, say), self.clock)
        self.tail = make_reader(config, config.topic, say)
        self.log = make_reader(config, config.topic, say)
        self.waiting = Waiting()
        self.telemetry = OpenTelemetry("billing-api", process_name())
        sources = LogSources(self.log, self.reader, self.state, board_of(config.group))
        status = PipelineStatus(sources, topic=config.topic, clock=self.clock)
        store = Store(self.reader, self.facts)
        buckets = config.engine.buckets
        self.services = Services(
            config=config,
            clock=self.clock,
            facts=self.facts,
            store=store,
            standings=Standings(store, self.reader, self.facts, buckets=buckets, clock=self.clock),
            status=status,
            feed=AlertFeed(kept_max=config.alerts_kept_max),
            letters=LetterBox(),
            recent=RecentEvents(self.tail, self.facts, horizon_d=config.horizon_d),
            hub=Hub(viewers_max=config.viewers_max),
            waiting=self.waiting,
            exposition=self.telemetry.exposition,
            configured=configured,
        )
        self.publisher = Publisher(self.services)
        limits = Limits(
            events_max=config.request_events_max, requests_max=config.requests_max, horizon_d=config.horizon_d
        )
        self.door = Door(
            self.sender, config.topic, limits, self.clock, check_meters=self.check_meters, waits_for=self.door_waits_for
        )
        self.telemetry.observe(METRICS, self._observe)

    def check_meters(self, event: UsageEvent, arrival_ms: int) -> None:
        """Raises InvalidEvent where a meter that holds now, or in a moment, cannot read the event."""
        meters = self.facts.history.meters_at(arrival_ms)
        meters.measure(event, arrival_ms * 1_000)
        if meters.until_ms <= arrival_ms + DOOR_LOOKS_AHEAD_MS:
            self.facts.history.meters_at(arrival_ms + DOOR_LOOKS_AHEAD_MS).measure(event, arrival_ms * 1_000)

    def door_waits_for(self) -> str | None:
        """Taking events needs Kafka and the facts, never Redis."""
        if not self.facts.read:
            return "Kafka: the facts are still being read"
        if not self.facts.version:
            return "a catalog: none is registered"
        return None if self.facts.is_current(self.clock.now_ms()) else "Kafka: the facts cannot be read"

    def _observe(self) -> Iterator[Observation]:
        yield Observation(ACCEPTED, self.door.accepted)
        for status, count in self.door.refused.items():
            yield Observation(REFUSED, count, {STATUS: str(status)})
        yield Observation(CATALOG_VERSION, self.facts.version)
        yield Observation(CATALOG_DIFFERS, int(self.services.catalog_differs()))


async def run_api(config: BillingConfig, *, signals: Signals, load: Callable[[], BillingConfig]) -> int:
    """Serves until it is told to stop, then returns 0. `load` reads the settings again.

    Raises:
        ConfigError: the address is taken, or servers are set in a way that cannot work.
        InvalidCatalog: the first catalog is none.
    """
    configured = load_catalog(config.catalog) if config.catalog is not None else None
    parts = Parts(config, say, configured)
    listener = listen(config.api_host, config.api_port, "BILLING_API_PORT")
    server = new_server(create_app(parts.services, parts.door, Page(load_assets())))
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_run_behind, parts)
            tasks.start_soon(_stop_at, signals.stop, server, parts.services.hub)
            tasks.start_soon(Reload(config, load, tell, lambda: None).run, signals.hangup)
            say(f"listening on {address_of(listener)} (no keys are configured: the API is open)")
            await server.serve(sockets=[listener])
            tasks.cancel_scope.cancel()
    finally:
        listener.close()
        with anyio.CancelScope(shield=True):
            await parts.state.close()
            parts.telemetry.close()
    return 0


async def _run_behind(parts: Parts) -> None:
    """Everything that goes on behind the routes, in the order in which it can be reached."""
    config, say = parts.config, parts.say
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_reach_state, parts)
        parts.waiting.say("kafka", "was not reached yet")
        capabilities, _ = await reach_kafka(config, _noting(parts, "kafka"))
        parts.services.broker = asdict(capabilities)
        sender = make_sender(config, capabilities, say)
        await sender.start()
        try:
            parts.sender.use(sender)
            parts.waiting.say("kafka", None)
            tasks.start_soon(parts.facts.run)
            tasks.start_soon(_follow_alerts, parts)
            tasks.start_soon(_follow_letters, parts)
            tasks.start_soon(_follow_status, parts)
            tasks.start_soon(parts.tail.start)
            tasks.start_soon(parts.publisher.run)
            if parts.services.configured is not None:
                await register_first(parts.facts, sender, config.facts_topic, parts.services.configured)
                if parts.services.catalog_differs():
                    say(f"warning: {warning_of_other_catalog(config)}")
            quieten_collector()
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await sender.stop()
                await parts.tail.stop()


def _noting(parts: Parts, part: str) -> Say:
    """What is waited for goes into the log, and is the reason at /readyz."""

    def say(text: str) -> None:
        parts.say(text)
        parts.waiting.say(part, text.partition(": ")[2] or text)

    return say


async def _reach_state(parts: Parts) -> None:
    parts.waiting.say("redis", "was not reached yet")
    await reach_redis(parts.state, parts.config, _noting(parts, "redis"))
    parts.waiting.say("redis", None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_follow_audit, parts)
        await parts.services.standings.run(parts.waiting.patience("redis"))


async def _follow_audit(parts: Parts) -> None:
    patiently = parts.waiting.patience("redis")

    async def read() -> None:
        parts.services.last_audit = await read_audit(parts.state, parts.config.group)

    while True:
        await patiently(read)
        await anyio.sleep(AUDIT_EVERY_S)


async def _follow_status(parts: Parts) -> None:
    await parts.log.start()
    try:
        await parts.services.status.run()
    finally:
        with anyio.CancelScope(shield=True):
            await parts.log.stop()


async def _follow_alerts(parts: Parts) -> None:
    feed = parts.services.feed

    def take(event: Event) -> None:
        alert = feed.add(event.partition, event.offset, event.timestamp, event.value)
        if alert is not None and feed.complete.is_set():
            parts.publisher.tell(alert)

    reader = make_reader(parts.config, parts.config.alerts_topic, parts.say)
    follower = Follower(reader, take, parts.clock, wait_s=0.5)
    parts.waiting.say("alerts", "those so far are still being read")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follower.run)
        await follower.reach_end()
        feed.complete.set()
        parts.waiting.say("alerts", None)


async def _follow_letters(parts: Parts) -> None:
    reader = make_reader(parts.config, parts.config.dead_topic, parts.say)
    await Follower(reader, parts.services.letters.add, parts.clock, tail_max=TAIL_MAX).run()


async def _stop_at(stop: asyncio.Event, server: uvicorn.Server, hub: Hub) -> None:
    await stop.wait()
    hub.close()
    server.should_exit = True
