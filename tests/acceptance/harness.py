"""The whole system for a test: our commands as processes, on servers that the test brings, under names of its own."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio.to_thread
import httpx

from billing.config import BillingConfig, load_config
from engine.embedded.process import Supervisor, free_port

ROOT = Path(__file__).parents[2]
READY_S = 60.0
CAUGHT_UP_S = 90.0


class System:
    """Workers and an API. `pids` by name; a process that ends unasked fails the test in `check`."""

    def __init__(self, *, kafka: str, redis: str, name: str, catalog: Mapping[str, Any], **settings: object) -> None:
        """`name`: of topic and group; `settings`: more of them, by their full names."""
        self._supervisor = Supervisor("system")
        path = self._supervisor.folder / "catalog.json"
        path.write_text(json.dumps(catalog))
        self.environment = {
            "BILLING_KAFKA": kafka,
            "BILLING_REDIS": redis,
            "BILLING_CATALOG": str(path),
            "BILLING_TOPIC": name,
            "BILLING_ALERTS_TOPIC": f"{name}-alerts",
            "BILLING_FACTS_TOPIC": f"{name}-facts",
            "BILLING_GROUP": name,
            "BILLING_PARTITIONS": "4",
            "BILLING_API_PORT": str(free_port()),
            "ENGINE_SESSION_S": "6",
        } | {setting: str(value) for setting, value in settings.items()}
        self.pids: dict[str, int] = {}
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self._client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.environment['BILLING_API_PORT']}", timeout=60
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()
        if error is not None:
            print(self.logs())
        await anyio.to_thread.run_sync(self._supervisor.close)

    @property
    def client(self) -> httpx.AsyncClient:
        assert self._client is not None
        return self._client

    @property
    def config(self) -> BillingConfig:
        return load_config(self.environment)

    # ---------------------------------------------------------------- processes
    def start(self, name: str, *arguments: str) -> None:
        """`start("w1", "worker")`: a process of ours under that name."""
        settings = [f"{setting}={value}" for setting, value in (self.environment | {"PYTHONPATH": str(ROOT)}).items()]
        command = ["env", *settings, sys.executable, "-m", "billing", *arguments]
        self.pids[name] = self._supervisor.start(command, self._supervisor.folder / f"{name}.log")

    async def start_all(self, workers: int = 2) -> None:
        self.start("api", "api")
        for number in range(1, workers + 1):
            self.start(f"worker-{number}", "worker", "--name", f"worker-{number}")
        await self.until_ready()

    async def kill(self, name: str, number: int = signal.SIGKILL) -> int | None:
        """Sends the signal and returns the exit code."""
        pid = self.pids.pop(name)
        os.kill(pid, number)
        while (code := self._supervisor.exit_code(pid)) is None:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.02)
        return code

    def check(self) -> None:
        ended = {name: code for name, pid in self.pids.items() if (code := self._supervisor.exit_code(pid)) is not None}
        assert not ended, f"{ended}\n{self.logs()}"

    def logs(self) -> str:
        paths = sorted(self._supervisor.folder.glob("*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-3_000:]}" for path in paths)

    def read_log(self, name: str) -> str:
        """Everything that a process has written so far."""
        return (self._supervisor.folder / f"{name}.log").read_text(errors="replace")

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        """Runs a command of ours to its end: exit code, stdout, stderr."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "billing", *arguments),
            env=os.environ | self.environment | {"PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def audit(self) -> tuple[int, dict[str, Any]]:
        """Exit code and answer of `billing audit`."""
        code, out, err = await self.command("audit")
        assert out, err
        return code, json.loads(out.splitlines()[-1])

    # ---------------------------------------------------------------- the API
    async def until_ready(self) -> None:
        deadline_s = time.monotonic() + READY_S
        while True:
            self.check()
            pipeline = await self.pipeline()
            ready = await self._answers("/readyz")
            if ready and pipeline and all(one["worker"] for one in pipeline["partitions"]):
                return
            assert time.monotonic() < deadline_s, f"not ready: {pipeline}\n{self.logs()}"
            await asyncio.sleep(0.1)

    async def _answers(self, path: str) -> bool:
        try:
            return (await self.client.get(path)).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    async def pipeline(self) -> dict[str, Any] | None:
        try:
            response = await self.client.get("/v1/pipeline")
        except httpx.TransportError:
            return None
        answer: dict[str, Any] = response.json()
        return answer if response.status_code == httpx.codes.OK else None

    async def lag(self) -> int | None:
        pipeline = await self.pipeline()
        return None if pipeline is None else pipeline["lag"]

    async def counted(self) -> int:
        """Events whose outcome stands in Redis."""
        pipeline = await self.pipeline()
        return sum(pipeline["counters"].values()) if pipeline else 0

    async def until_counted(self, events: int) -> None:
        """Returns when nothing lags and exactly `events` are accounted for."""
        deadline_s = time.monotonic() + CAUGHT_UP_S
        while True:
            self.check()
            pipeline = await self.pipeline()
            done = pipeline is not None and pipeline["lag"] == 0 and sum(pipeline["counters"].values()) == events
            if done:
                return
            assert time.monotonic() < deadline_s, f"{events} wanted, but {pipeline}\n{self.logs()}"
            await asyncio.sleep(0.1)

    async def post(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Sends until it is accepted."""
        while True:
            response = await self.client.post("/v1/events", content=json.dumps(events), headers=BATCH)
            if response.status_code == httpx.codes.ACCEPTED:
                return
            assert response.status_code in {429, 503}, response.text
            await asyncio.sleep(0.2)

    async def get(self, path: str, **parameters: str) -> dict[str, Any]:
        response = await self.client.get(path, params=parameters)
        assert response.status_code == httpx.codes.OK, response.text
        answer: dict[str, Any] = response.json()
        return answer


BATCH = {"content-type": "application/cloudevents-batch+json"}
