"""The pieces of the demo that need no servers: its catalog, its words, its screen, its ports."""

import asyncio
import io
import socket
from datetime import UTC, datetime

import httpx
import pytest

from billing.catalog import read_catalog
from billing.demo import run_demo
from billing.demo.catalog import CUSTOMERS, LIMITED, demo_catalog
from billing.demo.parts import next_free_port
from billing.demo.run import ApiClient, wait_until_counted
from billing.demo.screen import Screen, StepFailed
from billing.demo.show import alert_line, status_lines
from engine import ConfigError

LOCAL = datetime(2026, 11, 24, 19, 2, 14, tzinfo=UTC)
ALERT = {
    "customer": "acme",
    "rule": "80%",
    "threshold": "400.00",
    "spend": "400.12",
    "limit": "500.00",
    "currency": "USD",
    "latency_s": 0.0612,
}


@pytest.mark.parametrize("rate", [1.0, 500.0, 50_000.0])
def test_the_catalog_is_valid_at_every_rate(rate: float) -> None:
    catalog = read_catalog(demo_catalog(rate))
    assert len(catalog.customers) == CUSTOMERS
    assert sum(customer.limit is not None for customer in catalog.customers.values()) == LIMITED
    assert {customer.currency for customer in catalog.customers.values()} == {"USD", "EUR"}


def test_alerts_in_words() -> None:
    assert alert_line(ALERT, LOCAL) == "  19:02:14  alert   acme at 80 % of $500.00, 61 ms after the event"
    closed = ALERT | {"rule": "100%", "threshold": "500.00", "spend": "1500.10", "latency_s": None}
    assert alert_line(closed, LOCAL) == "  19:02:14  closed  acme at $1,500.10 of $500.00"
    without = ALERT | {"rule": "1250.00", "threshold": "1250.00", "limit": None, "currency": "JPY", "latency_s": None}
    assert alert_line(without, LOCAL) == "  19:02:14  alert   acme at JPY 1,250.00"


def test_status_adds_up() -> None:
    counters = {"counted": 5_937, "unmetered": 0, "duplicates_dropped": 60, "dead_lettered": 6}
    pipeline = {"counters": counters, "events_per_s": 500.4, "latency_s": {"p50": 0.0212, "p99": None}}
    overview = {"currencies": [{"currency": "USD", "spend": "1204.18", "at_limit": 3}]}
    assert status_lines(12.7, 6_004, pipeline, overview) == (
        "  00:12  500/s  sent 6,004 = counted 5,937 + duplicates 60 + rejected 6 + in flight 1",
        "         event to total p50 21 ms · USD 1,204.18 · 3 at limit",
    )
    assert "unmetered 7" in status_lines(1, 9, {"counters": counters | {"unmetered": 7}}, None)[0]


class Watched:
    """A screen and what stands on it."""

    def __init__(self, *, lively: bool) -> None:
        self.stream = io.StringIO()
        self.now_s = 0.0
        self.screen = Screen(self.stream, lively=lively, now_s=lambda: self.now_s)


def test_plain_output_has_no_control_characters_and_few_lines() -> None:
    watched = Watched(lively=False)
    for _ in range(100):
        watched.screen.status("one", "two")
        watched.now_s += 0.5
    watched.screen.line("alert")
    assert watched.stream.getvalue() == "one\ntwo\n" * 10 + "alert\n"


def test_a_terminal_is_written_over() -> None:
    watched = Watched(lively=True)
    watched.screen.status("one", "two")
    watched.screen.line("alert")
    assert watched.stream.getvalue() == "one\ntwo\n" + "\r" + "\x1b[A\x1b[2K" * 2 + "alert\none\ntwo\n"


async def test_a_step_shows_what_became_of_it() -> None:
    watched = Watched(lively=False)

    async def work() -> str:
        watched.now_s += 0.6
        return "127.0.0.1:1"

    assert await watched.screen.step("broker", work(), lambda at: at) == "127.0.0.1:1"
    assert watched.stream.getvalue().split() == ["✓", "broker", "127.0.0.1:1", "0.6", "s"]


async def test_a_step_that_fails_says_so() -> None:
    watched = Watched(lively=False)

    async def work() -> str:
        raise StepFailed("install it")

    with pytest.raises(StepFailed):
        await watched.screen.step("redis", work(), str)
    assert "✗ redis    install it" in watched.stream.getvalue()


async def test_a_slow_step_shows_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.demo.screen.LIVELY_INTERVAL_S", 0.01)
    watched = Watched(lively=True)

    async def work() -> str:
        watched.now_s = 7
        await asyncio.sleep(0.1)
        return ""

    async with asyncio.TaskGroup() as tasks:
        ticking = tasks.create_task(watched.screen.tick())
        await watched.screen.step("broker", work(), str)
        ticking.cancel()
    assert "  … broker 7 s\n" in watched.stream.getvalue()


def test_a_busy_port_is_named_and_the_next_one_taken() -> None:
    said: list[str] = []
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        found = next_free_port(port, "127.0.0.1", said.append)
    assert found > port
    assert str(port) in said[0]
    assert next_free_port(0, "127.0.0.1", said.append) > 0
    assert len(said) == 1


@pytest.mark.parametrize("rate", ["0", "-1", "fast", "nan", "inf"])
def test_a_rate_that_cannot_be_is_refused(rate: str) -> None:
    with pytest.raises(ConfigError, match="--rate"):
        run_demo(rate=rate)


def pipeline_of(lag: int | None, counted: int, **members: object) -> dict[str, object]:
    return {"lag": lag, "counters": {"counted": counted, "dead_lettered": 0}, "partitions": []} | members


def api_that_answers(*answers: dict[str, object] | None) -> ApiClient:
    """The answers of `/v1/pipeline`, one after the other; the last one again and again."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        found = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(503) if found is None else httpx.Response(200, json=found)

    return ApiClient(httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://demo"))


async def test_a_lag_from_before_the_last_event_ends_no_wait() -> None:
    """Guards the second look in `wait_until_counted`: with the lag alone the audit would run before the last event."""
    api = api_that_answers(pipeline_of(0, 90), None, pipeline_of(None, 95), pipeline_of(3, 97), pipeline_of(0, 100))
    missing = await wait_until_counted(api, lambda: None, sent=60, before={"counted": 40})
    assert missing == 10
    assert await api.get("/v1/pipeline") == pipeline_of(0, 100)


async def test_a_repeated_request_is_waited_for_too() -> None:
    api = api_that_answers(pipeline_of(5, 100), pipeline_of(0, 105))
    assert await wait_until_counted(api, lambda: None, sent=100, before={}) == 5


async def test_a_wait_that_gets_nowhere_says_what_holds_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.demo.run.PATIENCE_S", 0.2)
    held = [{"held_back_by": {"reason": "Redis is away"}}]
    api = api_that_answers(pipeline_of(3, 97, partitions=held))
    with pytest.raises(StepFailed, match=r"3 events .*Redis is away"):
        await wait_until_counted(api, lambda: None, sent=100, before={})
