"""The billing service as its users run it, one worker and one API as processes, for the time of a measurement."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx

from billing.demo.parts import Processes
from engine.embedded.process import free_port
from perf.harness.checks import CheckFailed
from perf.harness.servers import Servers

READY_S = 60.0
COUNTED_S = 30.0
LOOK_S = 0.1
CUSTOMERS_CHECKED = 60
TOGETHER = 10


class Service:
    """`client` speaks to the API; topics and state carry `name`, so that nothing of another run is met."""

    def __init__(self, processes: Processes, client: httpx.AsyncClient, name: str) -> None:
        self._processes = processes
        self.client = client
        self.topic, self.alerts_topic = name, f"{name}-alerts"

    @property
    def pids(self) -> dict[str, int]:
        return {name: self._processes.pid(name) for name in ("worker", "api")}

    @property
    def url(self) -> str:
        return str(self.client.base_url)

    @property
    def settings_path(self) -> Path:
        """For further commands of the service."""
        return self._processes.settings_path

    async def until_ready(self) -> None:
        """Raises StepFailed: a process ended. Raises TimeoutError: they do not become ready."""
        async with asyncio.timeout(READY_S):
            while not await self._ready():
                self._processes.check()
                await asyncio.sleep(LOOK_S)

    async def check(self, tokens: Mapping[str, int], events: int, meter: str) -> None:
        """Everything was counted once, and some customers' usage is as `tokens` says. Raises CheckFailed."""
        await self.until_counted(events)
        wanted = list(tokens.items())
        some = wanted[:: max(1, len(wanted) // CUSTOMERS_CHECKED)]
        for start in range(0, len(some), TOGETHER):
            async with asyncio.TaskGroup() as tasks:
                for customer, number in some[start : start + TOGETHER]:
                    tasks.create_task(self._check_usage(customer, meter, number))

    async def _ready(self) -> bool:
        try:
            if (await self.client.get("/readyz")).status_code != httpx.codes.OK:
                return False
            partitions = (await self.client.get("/v1/pipeline")).json()["partitions"]
        except httpx.TransportError:
            return False
        return bool(partitions) and all(each["state"] == "running" for each in partitions)

    async def until_counted(self, events: int) -> None:
        """So many events were sent, and each is counted. Raises CheckFailed."""
        pipeline: dict[str, Any] = {}
        with anyio.move_on_after(COUNTED_S):
            while pipeline.get("lag") != 0 or sum(pipeline["counters"].values()) < events:
                await asyncio.sleep(LOOK_S)
                pipeline = (await self.client.get("/v1/pipeline")).json()
        counters = pipeline.get("counters", {})
        if counters.get("counted") != events or sum(counters.values()) != events:
            raise CheckFailed(f"{events} events were sent, the service says {counters}")

    async def _check_usage(self, customer: str, meter: str, expected: int) -> None:
        answer = (await self.client.get(f"/v1/customers/{customer}/usage", params={"meter": meter})).json()
        found = [row["value"] for row in answer["data"]]
        if found != [str(expected)]:
            raise CheckFailed(f"{customer} used {found}, {expected} was expected")


@asynccontextmanager
async def service(
    servers: Servers,
    name: str,
    catalog: Mapping[str, Any],
    *,
    partitions: int = 1,
    settings: Mapping[str, object] | None = None,
    **engine: object,
) -> AsyncIterator[Service]:
    """Ready when the block begins, ended when it ends. `settings`: more of the service's own, such as `horizon_d`;
    `engine`: those of the worker's engine, such as `buckets`.

    Raises:
        StepFailed: a process ended before it should.
        TimeoutError: they did not become ready.
    """
    port = free_port()
    billing = {
        "kafka": servers.bootstrap, "redis": servers.redis_url, "topic": name, "alerts_topic": f"{name}-alerts",
        "facts_topic": f"{name}-facts", "group": name, "partitions": partitions, "api_port": port,
        **(settings or {}),
    }  # fmt: skip
    processes = await anyio.to_thread.run_sync(Processes, {"billing": billing, "engine": engine}, catalog)
    try:
        processes.start("worker", "worker")
        processes.start("api", "api")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            running = Service(processes, client, name)
            await running.until_ready()
            yield running
        await processes.stop()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(processes.close)
