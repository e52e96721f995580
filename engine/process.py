"""What a process of the engine is made of: adapters, telemetry, logs, signals; see `engine.run` for whom it is."""

import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import anyio

from engine.adapters.clock import SystemClock
from engine.adapters.json_log import LogFormat, set_up_logging
from engine.adapters.json_log import tell as log_notice
from engine.adapters.kafka import (
    KafkaLog,
    KafkaSecurity,
    KafkaSender,
    Topic,
    TopicSpec,
    ensure_topics,
    find_topic,
    knows_idempotence,
)
from engine.adapters.metrics_http import serve_metrics
from engine.adapters.otel import CONTENT_TYPE, OpenTelemetry
from engine.adapters.redis import RedisServer
from engine.config import EngineConfig
from engine.errors import ConfigError, EngineError, Unanswered
from engine.notice import Level, Tell, notice
from engine.processor import BatchHandler, Handler, Processor
from engine.runtime.engine import Engine
from engine.runtime.producer import Producer

AGAIN_S = 0.5


def _process_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What surrounds the engine, where the defaults do not fit."""

    name: str = field(default_factory=_process_name)
    """Of this worker, for people."""
    security: KafkaSecurity | None = None
    """How to connect to Kafka; None: in plain text, as nobody."""
    telemetry: OpenTelemetry | None = None
    """None: one is made, whose metrics can be had by `metrics_port`."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """Where `GET /metrics` answers Prometheus; 0 takes a free port, None: nowhere."""
    tell: Tell | None = None
    """Gets the engine's notices. None: they are logged, by the logger `keylane`."""
    log_format: LogFormat = "text"
    """Of the lines on stderr, where the program has not set up logging itself."""
    log_level: Level = "info"
    stop: anyio.Event | None = None
    """Ends the run as SIGTERM does."""


@dataclass(slots=True)
class Assembly:
    """One engine and everything it needs, for the length of `run`. Exactly one kind of user code is attached."""

    config: EngineConfig
    kafka: str
    process: Process
    state: RedisServer | None = None
    processor: Processor | None = None
    handler: Handler | None = None
    batch_handler: BatchHandler | None = None

    async def run(self, attach: Callable[["Assembly", Producer], None]) -> None:
        """`attach` sets the user's code, which may send by the producer. Returns when the engine has stopped."""
        try:
            await self._run(attach)
        except BaseExceptionGroup as group:
            raise _only(group) from None

    async def _run(self, attach: Callable[["Assembly", Producer], None]) -> None:
        if self.process.tell is None and not logging.getLogger().handlers:
            set_up_logging(self.process.log_format, self.process.log_level)
        stop = self.process.stop or anyio.Event()
        starting = anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_stop_on_signals, stop)
            tasks.start_soon(_cancel_at, stop, tasks.cancel_scope, starting)
            async with AsyncExitStack() as stack:
                telemetry = await self._enter_telemetry(stack)
                topic = await self._reach_topics()
                sender = await stack.enter_async_context(self._sending())
                if self.state is not None:
                    await self._reach_state(self.state)
                attach(self, Producer(sender, telemetry))
                engine = self._engine(sender, telemetry, topic)
                starting.cancel()  # from here on a stop drains
                tasks.start_soon(_stop_at, stop, engine)
                await engine.run()
            tasks.cancel_scope.cancel()

    # ---------------------------------------------------------------- the parts
    async def _enter_telemetry(self, stack: AsyncExitStack) -> OpenTelemetry:
        process = self.process
        telemetry = process.telemetry
        if telemetry is None:
            telemetry = OpenTelemetry(self.config.group, process.name)
            stack.callback(telemetry.close)
        if process.metrics_port is not None:
            serving = serve_metrics(
                telemetry.exposition, CONTENT_TYPE, host=process.metrics_host, port=process.metrics_port
            )
            try:
                port = await stack.enter_async_context(serving)
            except OSError as error:
                address = f"{process.metrics_host}:{process.metrics_port}"
                raise ConfigError([f"{address} cannot be listened on ({error.strerror})"]) from error
            self._tell(notice("metrics.served", f"metrics at http://{process.metrics_host}:{port}/metrics"))
        return telemetry

    async def _reach_topics(self) -> Topic:
        """The topic, and a dead-letter topic of the same shape."""
        security, waiting = self.process.security, self._waiting("Kafka")
        topic = await find_topic(self.kafka, self.config.topic, security=security, waiting=waiting)
        if self.state is not None and topic.compacted:
            raise ConfigError([f"topic {topic.name} is compacted: events would vanish; set cleanup.policy=delete"])
        letters = TopicSpec(f"{topic.name}.dead", topic.partitions, topic.replication or 1)
        await ensure_topics(self.kafka, [letters], security=security, waiting=waiting)
        return topic

    @asynccontextmanager
    async def _sending(self) -> AsyncIterator[KafkaSender]:
        sender = KafkaSender(
            self.kafka,
            idempotent=await knows_idempotence(self.kafka, security=self.process.security),
            client_id=self.process.name,
            waiting=self._waiting("Kafka"),
            security=self.process.security,
        )
        await sender.start()
        try:
            yield sender
        finally:
            with anyio.CancelScope(shield=True):
                await sender.stop()

    async def _reach_state(self, state: RedisServer) -> None:
        waiting = self._waiting("Redis")
        while True:
            try:
                await state.check_server(self.config.durability)
                return
            except Unanswered as error:
                waiting(str(error))
                await anyio.sleep(AGAIN_S)

    def _engine(self, sender: KafkaSender, telemetry: OpenTelemetry, topic: Topic) -> Engine:
        config, process = self.config, self.process
        log = KafkaLog(
            self.kafka, topic=config.topic, group=config.group, session_s=config.session_s,
            rebalance_s=config.rebalance_s, instance_id=config.instance_id, client_id=process.name,
            waiting=self._waiting("Kafka"), security=process.security,
        )  # fmt: skip
        return Engine(
            config, log=log, sender=sender, clock=SystemClock(), processor=self.processor, handler=self.handler,
            batch_handler=self.batch_handler, state=self.state, name=process.name, telemetry=telemetry,
            deletes_identities=topic.bounds_arrivals, tell=self._tell,
        )  # fmt: skip

    # ---------------------------------------------------------------- what is said
    @property
    def _tell(self) -> Tell:
        return self.process.tell or log_notice

    def _waiting(self, server: str) -> Callable[[str], None]:
        """Says once what is waited for, and again only when the reason changes."""
        last = ""

        def told(reason: str) -> None:
            nonlocal last
            if last != reason:
                last = reason
                self._tell(notice("waiting", f"waiting for {server}: {reason}", server=server))

        return told


async def _stop_on_signals(stop: anyio.Event) -> None:
    """SIGTERM and SIGINT set `stop`; in a thread other than the main one signals are somebody else's."""
    if threading.current_thread() is not threading.main_thread():
        return
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            stop.set()


async def _stop_at(stop: anyio.Event, engine: Engine) -> None:
    await stop.wait()
    engine.stop()


async def _cancel_at(stop: anyio.Event, scope: anyio.CancelScope, starting: anyio.CancelScope) -> None:
    """While the process starts there is nothing to drain: a stop ends the waiting."""
    with starting:
        await stop.wait()
        scope.cancel()


def _only(error: BaseException) -> BaseException:
    """The one error of ours in groups of one, else the group as it is."""
    inner = error
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    return inner if isinstance(inner, EngineError) else error
