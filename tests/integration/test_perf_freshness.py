"""The freshness scenario at a tiny size: figures come out of a whole system, and none of one that loses an event."""

from collections.abc import Callable

import pytest

from perf.harness import fresh
from perf.harness.checks import CheckFailed
from perf.harness.servers import Servers
from tests.integration import losing_load

EVENTS_PER_S = 200
SECONDS = 1.0
LATENCIES = ("p50_ms", "p99_ms", "p999_ms", "max_ms")


@pytest.fixture
def servers(kafka_embedded: str, redis_url: str) -> Servers:
    return Servers("embedded", kafka_embedded, redis_url, None, None)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "WARM_S", 1.0)
    monkeypatch.setattr(fresh, "KEYS", 50)


@pytest.fixture
def loses_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "drive", losing_load.drive)
    monkeypatch.setattr(fresh, "WATCHED_KEYS", 1)
    monkeypatch.setattr("perf.harness.service.COUNTED_S", 2.0)


@pytest.mark.usefixtures("short")
async def test_totals_have_latencies_inside_and_outside(servers: Servers, new_name: Callable[[str], str]) -> None:
    figures = await fresh.total(servers=servers, name=new_name("total"), events_per_s=EVENTS_PER_S, seconds=SECONDS)

    assert {f"{prefix}_{name}" for prefix in ("total", "seen") for name in LATENCIES} <= figures.keys()
    assert 0 < figures["total_p50_ms"] <= figures["total_max_ms"]
    assert figures["sent"] == 2 * EVENTS_PER_S
    assert figures["worker_us"] > 0


@pytest.mark.usefixtures("short")
async def test_decisions_and_alerts_have_latencies(servers: Servers, new_name: Callable[[str], str]) -> None:
    figures = await fresh.decisions(
        servers=servers, name=new_name("service"), events_per_s=EVENTS_PER_S, seconds=SECONDS
    )

    assert {f"{prefix}_{name}" for prefix in ("access", "alert") for name in LATENCIES} <= figures.keys()
    assert 0 < figures["reached"] <= SECONDS * fresh.REACHING_PER_S
    assert figures["api_us"] > 0


@pytest.mark.usefixtures("short", "loses_the_last")
async def test_a_lost_event_has_no_figure(servers: Servers, new_name: Callable[[str], str]) -> None:
    with pytest.raises(CheckFailed, match="400 were in the log"):
        await fresh.total(servers=servers, name=new_name("total"), events_per_s=EVENTS_PER_S, seconds=SECONDS)


@pytest.mark.usefixtures("short", "loses_the_last")
async def test_an_event_that_the_service_loses_has_no_figure(servers: Servers, new_name: Callable[[str], str]) -> None:
    with pytest.raises(CheckFailed, match="400 events were sent"):
        await fresh.decisions(servers=servers, name=new_name("service"), events_per_s=EVENTS_PER_S, seconds=SECONDS)
