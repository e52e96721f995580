"""One run of the demo, from the first process to the audit."""

import asyncio
import os
import signal
import sys
import time
import webbrowser
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

import httpx
import orjson

from billing.audit.command import run_audit
from billing.audit.run import Report
from billing.config import BillingConfig, load_config
from billing.demo.catalog import CUSTOMERS, demo_catalog
from billing.demo.parts import APACHE, EMBEDDED, Processes, next_free_port, start_kafka, start_redis
from billing.demo.run import ApiClient, Watch, all_owned, counters_of, wait_until_counted
from billing.demo.screen import Screen, StepFailed
from billing.load import Drive, Load, Sendable, customer_names
from billing.security import kafka_security
from engine import ConfigError, Message, Sender
from engine.adapters.kafka import KafkaSender
from engine.adapters.redis import places_of

WORKERS = 2
MAX_RATE_ESTIMATE = 10_000.0
"""Events a second that the greatest rate is expected to come to: only the limits in the catalog depend on it."""
SESSION_S = 6.0
"""The embedded broker lets a member join after half the session."""
READY_S = 120.0
LOOK_S = 0.2
DRIVE_BATCH_MAX = 500

Answer: TypeAlias = dict[str, Any] | None
Ask: TypeAlias = Callable[[], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the command line says. `rate`: events a second, None: as many as are taken."""

    rate: float | None
    seconds: float | None
    port: int
    kafka: str | None
    redis: str | None
    browser: bool


@dataclass(slots=True)
class Demo:
    """One run. `seed`: another one for every run, or on servers that remember the last one all would be duplicates."""

    screen: Screen
    choices: Choices
    now: Callable[[], datetime]
    seed: int
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    sending: bool = False

    async def run(self) -> int:
        self._heed_signals()
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            ticking = tasks.create_task(self.screen.tick())
            report = await self._run(stack)
            ticking.cancel()
        answer = report.as_json()
        names = ("events", "counted", "unmetered", "duplicates_dropped", "dead_lettered", "audit")
        sys.stdout.write(orjson.dumps({name: answer[name] for name in names}).decode() + "\n")
        sys.stdout.flush()
        return report.exit_code

    def _heed_signals(self) -> None:
        """The first Ctrl-C ends the load; before there is one, and after, it ends everything."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def interrupt() -> None:
            if not self.sending or self.stop.is_set():
                task.cancel()
            self.stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)

    async def _run(self, stack: AsyncExitStack) -> Report:
        began_s = time.monotonic()
        config, processes = await self._start(stack)
        client = httpx.AsyncClient(base_url=f"http://{config.api_host}:{config.api_port}", timeout=30.0)
        api = ApiClient(await stack.enter_async_context(client))
        await self.screen.step("api", self._wait_for_api(processes, api), lambda _: "open, no keys")
        shown = f"{WORKERS}, {config.partitions} partitions"
        await self.screen.step("workers", self._wait_for_workers(processes, api), lambda _: shown)
        sender = await self._make_sender(stack, config)
        self._welcome(config, time.monotonic() - began_s)
        before = counters_of(await api.get("/v1/pipeline"))
        sent = await self._drive(config, processes, api, sender, before)
        await self._wait_until_counted(processes, api, sent, before)
        report = await self._audit(config)
        await processes.stop()
        return report

    # ---------------------------------------------------------------- starting
    async def _start(self, stack: AsyncExitStack) -> tuple[BillingConfig, Processes]:
        """Servers, catalog, and our own processes, which are not ready yet. Raises StepFailed."""
        try:
            config = load_config(os.environ)
        except ConfigError as error:
            raise StepFailed("; ".join(error.problems)) from error
        kafka = self.choices.kafka or config.kafka or EMBEDDED
        redis = self.choices.redis or config.redis or EMBEDDED
        self.screen.line(f"keylane demo · {_lasting(kafka, redis)}")
        kafka_at, redis_at = await _both(
            self.screen.step("broker", start_kafka(stack, kafka), lambda at: f"{_kind(kafka)}  {at}"),
            self.screen.step("redis", start_redis(stack, redis), lambda at: f"{_kind(redis)}  {_address(at)}"),
        )
        port = next_free_port(self.choices.port, config.api_host, self.screen.line)
        config = replace(config, kafka=kafka_at, redis=redis_at, api_port=port)
        catalog = demo_catalog(self.choices.rate or MAX_RATE_ESTIMATE)
        shown = [f"{len(catalog[part])} {part}" for part in ("meters", "plans", "customers")]
        self.screen.line(f"  ✓ catalog  {', '.join(shown)}")
        own: dict[str, dict[str, object]] = {
            "billing": {"kafka": kafka_at, "redis": redis_at, "api_port": port},
            "engine": {} if "ENGINE_SESSION_S" in os.environ else {"session_s": SESSION_S},
        }
        processes = Processes(own, catalog)
        stack.callback(processes.close)
        processes.start("api", "api")
        for number in range(1, WORKERS + 1):
            processes.start(f"worker-{number}", "worker", "--name", f"worker-{number}")
        return config, processes

    async def _wait_for_api(self, processes: Processes, api: ApiClient) -> None:
        await self._until(processes, lambda: api.get("/readyz"), lambda ready: ready is not None)

    async def _wait_for_workers(self, processes: Processes, api: ApiClient) -> None:
        await self._until(processes, lambda: api.get("/v1/pipeline"), all_owned)

    async def _until(self, processes: Processes, ask: Ask, enough: Callable[[Answer], bool]) -> None:
        """Raises StepFailed: a process ended, or it takes too long."""
        deadline_s = time.monotonic() + READY_S
        while not enough(await ask()):
            processes.check()
            if time.monotonic() > deadline_s:
                raise StepFailed(f"not ready after {READY_S:.0f} s: {processes.last_words()}")
            await asyncio.sleep(LOOK_S)

    async def _make_sender(self, stack: AsyncExitStack, config: BillingConfig) -> KafkaSender:
        """What cannot pass the API's door is sent straight into the topic."""
        sender = KafkaSender(config.kafka, idempotent=False, security=kafka_security(config), waiting=self.screen.line)
        await sender.start()
        stack.push_async_callback(sender.stop)
        return sender

    def _welcome(self, config: BillingConfig, took_s: float) -> None:
        page = f"http://{config.api_host}:{config.api_port}"
        heaviest = customer_names(1)[0]
        self.screen.line(f"  Ready in {took_s:.1f} s")
        self.screen.line(f"  Page  {page}    API  {page}/docs    Stop  Ctrl-C (drains, then audits)")
        self.screen.line(f"  Try   curl -s {config.api_host}:{config.api_port}/v1/customers/{heaviest}/spend")
        if self.choices.browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(page)

    # ---------------------------------------------------------------- the load, and its end
    async def _drive(
        self,
        config: BillingConfig,
        processes: Processes,
        api: ApiClient,
        sender: Sender,
        before: Mapping[str, int],
    ) -> int:
        """Sends until it is to stop; how many events were sent."""

        async def publish(batch: Sequence[Sendable]) -> None:
            await sender.send([Message(config.topic, one.key, one.value) for one in batch])

        drive = Drive(
            load=Load(self.seed, customer_names(CUSTOMERS)),
            post=api.post,
            publish=publish,
            now=self.now,
            rate=self.choices.rate,
            batch_max=DRIVE_BATCH_MAX,
        )
        watch = Watch(
            api=api,
            screen=self.screen,
            sent=drive.sent,
            check=processes.check,
            now_s=time.monotonic,
            began_s=time.monotonic(),
            before=before,
        )
        self.sending = True
        if self.choices.seconds is not None:
            asyncio.get_running_loop().call_later(self.choices.seconds, self.stop.set)
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch.run())
            await drive.run(self.stop)
            watching.cancel()
        await watch.look()
        self.screen.end_status()
        return drive.sent.events

    async def _wait_until_counted(
        self, processes: Processes, api: ApiClient, sent: int, before: Mapping[str, int]
    ) -> None:
        began_s = time.monotonic()
        with self.screen.running("counting"):
            missing = await wait_until_counted(api, processes.check, sent=sent, before=before)
        self.screen.line(f"counted the last {missing:,} in {time.monotonic() - began_s:.1f} s")

    async def _audit(self, config: BillingConfig) -> Report:
        began_s = time.monotonic()
        with self.screen.running("audit"):
            report = await run_audit(config)
        answer = report.as_json()
        self.screen.line(
            f"audit: {answer['events']:,} events recounted, {answer['cells']:,} cells, "
            f"{report.comparison.different} differences, {time.monotonic() - began_s:.1f} s"
        )
        if report.audit != "equal":
            self.screen.line(
                f"audit: {report.audit}: {report.reason or ''} {orjson.dumps(answer['differences']).decode()}"
            )
        return report


async def _both(first: Awaitable[str], second: Awaitable[str]) -> tuple[str, str]:
    """Both at once; the first failure ends the other."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_await(work)) for work in (first, second)]
    return running[0].result(), running[1].result()


async def _await(work: Awaitable[str]) -> str:
    return await work


def _kind(chosen: str) -> str:
    return chosen if chosen in (EMBEDDED, APACHE) else "yours   "


def _address(url: str) -> str:
    """Hosts and ports, without a password."""
    return ", ".join(f"{host}:{port}" for host, port in places_of(url)) or "a socket"


def _lasting(kafka: str, redis: str) -> str:
    if kafka in (EMBEDDED, APACHE) and redis == EMBEDDED:
        return "everything in memory, gone when it ends"
    return "what is on your own servers stays there"
