"""`perf read` with two hours instead of a month: figures of the whole service come out, and none of damaged state."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from perf.harness import reading
from perf.harness.audited import check_audit
from perf.harness.checks import CheckFailed
from perf.harness.month_reads import KINDS
from perf.harness.reading import BUCKETS
from perf.scenarios import read
from tests.integration.small_stage import in_process, lose_a_cell, small_stage

SECONDS, LOAD_PER_S = 0.5, 100


async def on_this_loop(function: Callable[..., Awaitable[Any]], **arguments: object) -> Any:
    return await function(**arguments)


@pytest.fixture
def state(kafka_embedded: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[read.Reading]:
    monkeypatch.setattr("perf.harness.produce.isolated", in_process)
    monkeypatch.setattr(read, "isolated", in_process)
    monkeypatch.setattr(reading, "beside", on_this_loop)
    monkeypatch.setattr(read, "CUSTOMERS", 3)
    monkeypatch.setattr(read, "LEAD_S", 0.3)
    monkeypatch.setattr(read, "WARM_S", 0.1)
    with read.reading(small_stage(kafka_embedded, redis_url, "read"), hours=2) as found:
        yield found


def test_reads_have_latencies_and_damaged_state_has_none(state: read.Reading) -> None:
    for kind in KINDS:
        figures = read.sample(state, kind, SECONDS, load_per_s=LOAD_PER_S)
        assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["max_ms"]
    state.portal.call(check_audit, state.running.settings_path, state.sent)

    lose_a_cell(state.place.servers.redis_url, state.place.group, b"customer-0", BUCKETS)

    with pytest.raises(CheckFailed, match="in 19 rows; 20 rows"):
        read.sample(state, "account", SECONDS, load_per_s=0)
    with pytest.raises(CheckFailed, match="different"):
        state.portal.call(check_audit, state.running.settings_path, state.sent)
