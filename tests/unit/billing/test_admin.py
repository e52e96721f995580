"""The worker's HTTP and its settings that are read again, over small stand-ins. The whole: tests/acceptance."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from billing.admin.app import create_app
from billing.admin.view import WorkerView
from billing.config import BillingConfig, load_config
from billing.reload import Reload
from engine import ConfigError, EngineConfig, Notice, Secret
from engine.adapters import json_log


class FakeEngine:
    """What the routes call of an engine, noted down."""

    def __init__(self, state: str = "running") -> None:
        self.config = EngineConfig()
        self.called: list[object] = []
        held = SimpleNamespace(reason="the log was truncated")
        self._partition = SimpleNamespace(partition=3, state=state, held_back_by=held)

    def change(self, changes: dict[str, object]) -> dict[str, tuple[object, object]]:
        before, self.config = self.config, self.config.changed(changes)
        names = [name.removeprefix("ENGINE_").lower() for name in changes]
        pairs = {name: (getattr(before, name), getattr(self.config, name)) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def pause(self, **place: object) -> None:
        self.called.append(("pause", place))

    def resume(self, **place: object) -> None:
        self.called.append(("resume", place))

    def release(self, key: bytes, *, bury: bool) -> None:
        self.called.append(("release", key, bury))

    def statistics(self) -> Any:
        return SimpleNamespace(partitions=[self._partition])


def new_view() -> WorkerView:
    return WorkerView(name="w1", exposition=lambda: b"metric 1\n", catalog_version=lambda: 4)


@pytest.fixture
async def view_and_client() -> AsyncIterator[tuple[WorkerView, httpx.AsyncClient]]:
    view = new_view()
    transport = httpx.ASGITransport(create_app(view))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
        yield view, client


Both = tuple[WorkerView, httpx.AsyncClient]


async def test_a_worker_that_starts_says_what_it_waits_for(view_and_client: Both) -> None:
    view, client = view_and_client
    view.waits_for = "kafka: was not reached yet"
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["waiting_for"]) == (503, ["kafka: was not reached yet"])
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/metrics")).text == "metric 1\n"
    for path in ("/v1/statistics", "/v1/settings"):
        assert (await client.get(path)).status_code == 503
    for path in ("/v1/settings", "/v1/pause", "/v1/resume", "/v1/release"):
        refused = await client.post(path, json={})
        assert refused.status_code == 503
        assert "was not reached yet" in refused.json()["detail"]
        assert refused.json()["type"] == "/problems#not-ready"
    assert 'id="not-ready"' in (await client.get("/problems")).text


async def test_commands_reach_the_engine(view_and_client: Both) -> None:
    view, client = view_and_client
    engine = view.engine = FakeEngine()  # type: ignore[assignment]
    assert (await client.post("/v1/pause", json={})).status_code == 204
    assert (await client.post("/v1/pause", json={"partition": 3})).status_code == 204
    assert (await client.post("/v1/pause", json={"key": "kä"})).status_code == 204
    assert (await client.post("/v1/pause", json={"partition": 3, "key": "kä"})).status_code == 422
    assert (await client.post("/v1/resume", json={"key": "kä"})).status_code == 204
    assert (await client.post("/v1/release", json={"key": "kä", "action": "retry"})).status_code == 204
    assert (await client.post("/v1/release", json={"key": "k", "action": "dead_letter"})).status_code == 204
    key = "kä".encode()
    assert engine.called == [
        ("pause", {"partition": None, "key": None}),
        ("pause", {"partition": 3, "key": None}),
        ("pause", {"partition": None, "key": key}),
        ("resume", {"partition": None, "key": key}),
        ("release", key, False),
        ("release", b"k", True),
    ]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"partition": "3"}', b'{"key": 1}', b'{"more": 1}', b"\xff"])
async def test_a_body_that_is_none_changes_nothing(view_and_client: Both, body: bytes) -> None:
    view, client = view_and_client
    engine = view.engine = FakeEngine()  # type: ignore[assignment]
    answer = await client.post("/v1/pause", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert engine.called == []


async def test_a_halted_partition_is_a_warning(view_and_client: Both) -> None:
    view, client = view_and_client
    view.engine = FakeEngine("halted")  # type: ignore[assignment]
    ready = (await client.get("/readyz")).json()
    assert ready["warnings"] == ["partition 3 is halted: the log was truncated"]


# ---------------------------------------------------------------- settings that are read again
class Bench:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, load: Callable[[], BillingConfig]) -> None:
        self.notices: list[Notice] = []
        self.engine: FakeEngine | None = FakeEngine()
        self.logs: list[tuple[str, str]] = []
        monkeypatch.setattr("billing.reload.set_up_logging", lambda *given: self.logs.append(given))
        self.reload = Reload(START, load, self.notices.append, lambda: self.engine)  # type: ignore[arg-type,return-value]

    def fields(self, name: str) -> list[dict[str, object]]:
        return [dict(notice.fields) for notice in self.notices if notice.name == name]


START = BillingConfig(kafka="localhost:9092", redis="redis://localhost")


def test_what_is_read_again_is_taken_over_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = replace(
        START, log_level="debug", partitions=3, kafka_password=Secret(""), redis="redis://:hunter2@localhost",
        engine=replace(START.engine, concurrency=9, buckets=32),
    )  # fmt: skip
    bench = Bench(monkeypatch, lambda: found)
    bench.reload.reload()
    assert bench.engine is not None
    assert bench.engine.config.concurrency == 9
    assert bench.logs == [("text", "debug")]
    assert bench.fields("settings.read") == [{"changed": "ENGINE_CONCURRENCY, BILLING_LOG_LEVEL"}]
    assert bench.fields("settings.restart_needed") == [{"names": "BILLING_REDIS, BILLING_PARTITIONS, ENGINE_BUCKETS"}]
    assert "hunter2" not in repr(bench.notices)
    bench.notices.clear()
    bench.reload.reload()
    assert bench.fields("settings.read") == [{"changed": ""}]
    assert bench.fields("settings.restart_needed") != [], "it still does"


def test_before_there_is_an_engine_nothing_of_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, lambda: replace(START, engine=replace(START.engine, concurrency=9)))
    bench.engine = None
    bench.reload.reload()
    assert bench.fields("settings.restart_needed") == [{"names": "ENGINE_CONCURRENCY"}]


def test_a_file_that_cannot_be_used_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> BillingConfig:
        raise ConfigError(["ENGINE_X is not a setting", "BILLING_Y is not a setting"])

    bench = Bench(monkeypatch, load)
    bench.reload.reload()
    (refused,) = bench.notices
    assert (refused.name, refused.level, refused.fields) == ("settings.refused", "error", {"problems": 2})
    assert "ENGINE_X" in refused.text
    assert bench.logs == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BILLING_LOG_LEVEL", "loud"),
        ("BILLING_LOG_FORMAT", "xml"),
        ("BILLING_WORKER_PORT", "70000"),
        ("BILLING_WORKER_PORT", "-1"),
        ("BILLING_WORKER_PORT", "x"),
    ],
)
def test_settings_of_logs_and_port_are_checked(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_config({name: value})


def test_settings_of_logs_and_port() -> None:
    config = load_config({"BILLING_LOG_LEVEL": "debug", "BILLING_LOG_FORMAT": "json", "BILLING_WORKER_PORT": "0"})
    assert (config.log_level, config.log_format, config.worker_port) == ("debug", "json", 0)
    assert load_config({}).worker_port is None
    assert config.log_level in json_log.OF_LEVEL
