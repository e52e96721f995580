"""`perf viewers` with few customers and no browser: figures of a whole system, and none of a stream that tells lies."""

from collections.abc import Iterator

import pytest

from perf.harness import viewing, watching
from perf.harness.audited import check_audit
from perf.harness.checks import CheckFailed
from perf.harness.open_loop import now_us
from perf.harness.streams import Look
from tests.integration.small_stage import small_stage

CUSTOMERS, VIEWERS = 40, 10
EVENTS_PER_S, SECONDS = 100, 1.0


@pytest.fixture
def state(kafka_embedded: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[viewing.Viewing]:
    monkeypatch.setattr(viewing, "LEAD_S", 1.0)
    monkeypatch.setattr(viewing, "WARM_S", 1.0)
    stage = small_stage(kafka_embedded, redis_url, "viewers")
    with viewing.viewing(stage, customers=CUSTOMERS, events_planned=600) as found:
        yield found


def test_viewers_have_figures_and_lies_have_none(state: viewing.Viewing) -> None:
    alone = viewing.sample(state, 0, events_per_s=EVENTS_PER_S, seconds=SECONDS)
    assert alone["sent"] == 2 * EVENTS_PER_S
    assert "frames_per_s" not in alone

    figures = viewing.sample(state, VIEWERS, events_per_s=EVENTS_PER_S, seconds=SECONDS)
    assert 0 < figures["totals_frames_per_s"] <= figures["frames_per_s"]
    assert 0 < figures["delay_p50_ms"] <= figures["delay_p99_ms"]
    assert figures["largest_totals_gzip_bytes"] < figures["largest_totals_bytes"]
    state.portal.call(check_audit, state.running.settings_path, state.sent)

    state.cents["c0"] += 1
    with pytest.raises(CheckFailed, match="was told"):
        state.portal.call(watch_now, state)


async def watch_now(state: viewing.Viewing) -> None:
    """Looks at the busiest customer, of whom a cent more is believed to be true, and gives up at once."""
    looks, at_us = [Look(customer="c0")], now_us()
    patience_us = round(watching.SHOWN_WITHIN_S * 1e6) - 500_000
    span = watching.Span(at_us, at_us, at_us - patience_us)
    await watching.watch_streams(url=state.running.url, looks=looks, span=span, truth=state.truth(looks))
