"""A running worker is looked at and changed: over its HTTP port, and by a file that it reads again at SIGHUP."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from engine.adapters.kafka import LogReader
from engine.embedded.process import free_port
from engine.embedded.redis import EmbeddedRedis
from tests.acceptance.harness import BATCH, System

CATALOG = {
    "version": 1,
    "meters": [{"name": "calls", "event_type": "t", "aggregation": "count"}],
    "customers": [],
}
WITHIN_S = 30.0

SETTINGS = "[engine]\nconcurrency = 50\n"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]


class Worker:
    """One worker with a port and a settings file, and a client for the port."""

    def __init__(self, system: System, client: httpx.AsyncClient, file: Path) -> None:
        self.system = system
        self.client = client
        self.file = file
        self.sent = 0

    async def count(self, events: list[dict[str, Any]]) -> None:
        """Returns when these are counted, and all before."""
        await self.system.post(events)
        self.sent += len(events)
        await self.system.until_counted(self.sent)

    async def settings(self) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.client.get("/v1/settings")).json()
        return answer

    async def statistics(self) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.client.get("/v1/statistics")).json()
        return answer

    async def post(self, path: str, content: object) -> httpx.Response:
        return await self.client.post(path, json=content)

    def notices(self, name: str) -> list[dict[str, Any]]:
        log = self.system.read_log("worker-1").splitlines()
        return [line for line in map(json.loads, log) if line["name"] == name]

    async def hang_up(self, text: str, answer: str) -> dict[str, Any]:
        """Writes the file, sends SIGHUP, and returns the new notice of this name."""
        before = len(self.notices(answer))
        self.file.write_text(text)
        os.kill(self.system.pids["worker-1"], signal.SIGHUP)
        await until(lambda: len(self.notices(answer)) > before)
        return self.notices(answer)[-1]


async def until(enough: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not enough():  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    kafka_embedded: str, redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Worker]:
    """Starting takes long, so that all tests share one worker."""
    port, file = free_port(), tmp_path_factory.mktemp("told") / "worker.toml"
    file.write_text(SETTINGS)
    settings: Mapping[str, object] = {"BILLING_WORKER_PORT": port, "BILLING_LOG_FORMAT": "json"}
    async with (
        System(
            kafka=kafka_embedded, redis=redis_server.url, name=f"told-{os.getpid()}", catalog=CATALOG, **settings
        ) as system,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
    ):
        system.start("api", "api")
        system.start("worker-1", "worker", "--name", "worker-1", "--config", str(file))
        await system.until_ready()
        yield Worker(system, client, file)
        assert await system.kill("worker-1", signal.SIGTERM) == 0


@pytest_asyncio.fixture(loop_scope="module")
async def worker(shared: Worker) -> AsyncIterator[Worker]:
    """With the settings of its start, whatever a test before has changed."""
    await shared.hang_up(SETTINGS, "settings.read")
    yield shared


def events(customer: str, count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"specversion": "1.0", "id": f"{customer}-{number}", "source": "s", "type": "t", "subject": customer}
        for number in range(first, first + count)
    ]


async def test_how_it_is(worker: Worker) -> None:
    assert (await worker.client.get("/healthz")).json() == {"status": "alive"}
    ready = (await worker.client.get("/readyz")).json()
    assert (ready["ready"], ready["worker"], ready["catalog_version"]) == (True, "worker-1", 1)
    await worker.count(events("quite-new", 20))
    metrics = (await worker.client.get("/metrics")).text
    assert 'engine_outcome="counted"' in metrics
    assert "billing_catalog_version 1.0" in metrics
    statistics = await worker.statistics()
    assert statistics["counters"]["counted"] == worker.sent
    assert len(statistics["partitions"]) == 4
    began = worker.notices("epoch.began")
    assert sorted(line["fields"]["partition"] for line in began) == [0, 1, 2, 3]
    assert {line["level"] for line in began} == {"info"}


async def test_a_trace_goes_from_the_request_into_the_log(worker: Worker) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    answer = await worker.system.client.post(
        "/v1/events", json=events("traced", 2), headers=BATCH | {"traceparent": trace, "tracestate": "v=1"}
    )
    assert answer.status_code == 202
    worker.sent += 2
    reader = LogReader(worker.system.config.kafka, topic=worker.system.config.topic)
    await reader.start()
    found = [
        dict(event.headers)
        for partition in reader.partitions
        async for batch in reader.read(partition, 0, await reader.end(partition))
        for event in batch
        if event.key == b"traced"
    ]
    await reader.stop()
    assert found == [{"traceparent": trace.encode(), "tracestate": b"v=1"}] * 2


async def test_hangup_takes_over_what_may_change_and_says_the_rest(worker: Worker) -> None:
    assert (await worker.settings())["ENGINE_CONCURRENCY"] == 50
    text = '[engine]\nconcurrency = 7\nbuckets = 32\n[billing]\nlog_level = "debug"\n'
    read = await worker.hang_up(text, "settings.read")
    assert read["fields"] == {"changed": "ENGINE_CONCURRENCY, BILLING_LOG_LEVEL"}
    assert worker.notices("settings.restart_needed")[-1]["fields"] == {"names": "ENGINE_BUCKETS"}
    assert (await worker.settings())["ENGINE_CONCURRENCY"] == 7
    assert (await worker.statistics())["lanes"]["limit"] == 7

    for broken in ("concurrency = ", "[engine]\nconcurrency = 0\nretry_max = 1\n", "[engine]\nno_such = 1\n"):
        refused = await worker.hang_up(broken, "settings.refused")
        assert refused["level"] == "error"
    settings = await worker.settings()
    assert (settings["ENGINE_CONCURRENCY"], settings["ENGINE_RETRY_MAX"]) == (7, 5), "nothing was changed"

    await worker.hang_up('[engine]\nbuckets = 32\n[billing]\nlog_level = "warning"\n', "settings.restart_needed")
    said = len(worker.notices("paused"))
    assert (await worker.post("/v1/pause", {"key": "nobody"})).status_code == 204
    await worker.hang_up("", "settings.read")
    assert len(worker.notices("paused")) == said, "only warnings were wanted then"
    assert (await worker.post("/v1/resume", {"key": "nobody"})).status_code == 204
    assert (await worker.settings())["ENGINE_CONCURRENCY"] == 1_000, "the default, where the file says nothing"
    await worker.count(events("still-there", 5))


async def test_the_api_reads_its_settings_again_too(worker: Worker) -> None:
    os.kill(worker.system.pids["api"], signal.SIGHUP)
    await until(lambda: '"settings.read"' in worker.system.read_log("api"))
    worker.system.check()


async def test_commands_change_settings_or_refuse_them_whole(worker: Worker) -> None:
    answer = await worker.post("/v1/settings", {"ENGINE_RETRY_MAX": 9, "ENGINE_ON_FAILURE": "park"})
    assert (answer.status_code, answer.json()["ENGINE_RETRY_MAX"]) == (200, 9)
    assert answer.json()["ENGINE_ON_FAILURE"] == "park"

    wrong = {"ENGINE_RETRY_MAX": 3, "ENGINE_BUCKETS": 9, "ENGINE_NONE": 1, "ENGINE_BATCH_MAX": "many"}
    refused = await worker.post("/v1/settings", wrong)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert [each["field"] for each in refused.json()["errors"]] == ["ENGINE_BUCKETS", "ENGINE_NONE", "ENGINE_BATCH_MAX"]
    unusable: tuple[Any, ...] = ({"ENGINE_RETRY_MAX": -1}, {"ENGINE_BATCH_MAX": 0}, [], {"ENGINE_RETRY_MAX": None})
    for content in unusable:
        assert (await worker.post("/v1/settings", content)).status_code == 422
    assert (await worker.settings())["ENGINE_RETRY_MAX"] == 9, "nothing was changed"

    text = await worker.client.post("/v1/settings", content=b"{}", headers={"content-type": "text/plain"})
    assert text.status_code == 415
    assert (await worker.post("/v1/release", {"key": "acme", "action": "retry"})).status_code == 404
    assert (await worker.post("/v1/release", {"key": "acme", "action": "drop"})).status_code == 422
    assert (await worker.post("/v1/pause", {"partitions": 1})).status_code == 422
    assert (await worker.post("/v1/pause", {"partition": -1})).status_code == 422
    assert (await worker.client.get("/v1/nothing")).status_code == 404


async def test_a_partition_is_paused_and_resumed(worker: Worker) -> None:
    before = {each["partition"]: each["watermark"] for each in (await worker.statistics())["partitions"]}
    await worker.count(events("acme", 5))
    after = {each["partition"]: each["watermark"] for each in (await worker.statistics())["partitions"]}
    (own,) = (number for number in after if after[number] > before[number])
    assert (await worker.post("/v1/pause", {"partition": own})).status_code == 204
    customers = [f"customer-{number}" for number in range(20)]
    await worker.system.post([*events("acme", 5, first=5), *(event for name in customers for event in events(name, 1))])
    worker.sent += 25
    lags: dict[int, int] = {}
    shown: dict[str, Any] = {}

    async def others_are_done() -> bool:
        pipeline = await worker.system.pipeline()
        assert pipeline is not None
        lags.update((each["partition"], each["lag"]) for each in pipeline["partitions"])
        shown.update(next(each for each in pipeline["partitions"] if each["partition"] == own))
        return sum(lags.values()) == lags[own] and pipeline["counters"]["counted"] + lags[own] == worker.sent

    for _ in range(300):
        if await others_are_done():
            break
        await asyncio.sleep(0.1)
    assert lags[own] >= 5, (lags, shown)
    assert (shown["state"], shown["paused"]) == ("paused", True)
    assert (await worker.post("/v1/resume", {"partition": own})).status_code == 204
    await worker.system.until_counted(worker.sent)
    assert worker.notices("paused")[-1]["fields"] == {"partition": own}
    assert worker.notices("resumed")[-1]["fields"] == {"partition": own}
