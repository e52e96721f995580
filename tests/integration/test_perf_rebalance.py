"""The rebalance scenario at a tiny size: figures come out of a whole system, and none of one that loses an event."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import pytest

from perf.harness import regroup, visible
from perf.harness.checks import CheckFailed
from perf.harness.open_loop import send_at_rate
from perf.harness.servers import Servers

EVENTS_PER_S = 200
SESSION_S = 3.0


@pytest.fixture
def servers(kafka_embedded: str, redis_url: str) -> Servers:
    return Servers("embedded", kafka_embedded, redis_url, None, None)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WARM_S", "STEADY_S", "AFTER_S"):
        monkeypatch.setattr(regroup, name, 0.5)


@pytest.mark.usefixtures("short")
async def test_a_crash_has_figures(servers: Servers, new_name: Callable[[str], str]) -> None:
    figures = await regroup.regroup(
        servers=servers, name=new_name("log"), events_per_s=EVENTS_PER_S, turns=[regroup.CRASH], session_s=SESSION_S
    )

    assert 0 < figures["steady_p50_ms"] <= figures["steady_max_ms"]
    assert figures["crash_moved_gap_ms"] > 0
    assert figures["crash_moved_ms"] > 0
    assert figures["sent"] > EVENTS_PER_S


@pytest.mark.usefixtures("short")
async def test_a_lost_event_has_no_figure(
    servers: Servers, new_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose_one(bootstrap: str, topic: str, records: Iterable[tuple[bytes, bytes]], schedule: Any) -> Any:
        records = iter(records)
        next(islice(records, 10, None))
        return await send_at_rate(bootstrap, topic, records, schedule)

    monkeypatch.setattr(regroup, "send_at_rate", lose_one)
    monkeypatch.setattr(visible, "LATE_S", 1.0)

    with pytest.RaisesGroup(
        pytest.RaisesExc(CheckFailed, match="11 of .* events were never seen"), flatten_subgroups=True
    ):
        await regroup.regroup(
            servers=servers, name=new_name("log"), events_per_s=EVENTS_PER_S, turns=[], session_s=SESSION_S
        )
