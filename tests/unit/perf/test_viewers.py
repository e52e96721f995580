"""The pieces of the viewers scenario: a load whose outcome is known, readers that notice faults, figures and bars."""

import asyncio
from typing import Any

import orjson
import pytest

from billing.catalog import parse_catalog
from perf.harness.checks import CheckFailed
from perf.harness.outcome import Sample
from perf.harness.paged import Due, Sight, event_to_pixel
from perf.harness.streams import Frame, Look, StreamViewer, ended_by
from perf.harness.viewers_log import Customers, ViewersLog, dollars
from perf.harness.viewing import looks_of
from perf.harness.watching import Span, Truth, figures_of
from perf.scenarios.viewers import MANY, NOBODY, ONE, SPEND, bars_of, plot_of

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
NOON = "2026-11-01T12:00:00Z"
NOON_US = 1_793_534_400_000_000
LOG = ViewersLog(events=400, size=30, events_planned=400, time_s=NOON_US // 1_000_000, seed=1)


# -------------------------------------------------------------------- the load
def test_a_log_says_what_its_records_say() -> None:
    spent: dict[str, int] = {}
    for key, value in LOG.records():
        event = orjson.loads(value)
        assert event["subject"] == key.decode()
        spent[event["subject"]] = spent.get(event["subject"], 0) + event["data"]["tokens"] // 10
    assert spent == LOG.cents()
    assert sum(spent.values()) > LOG.events


def test_its_customers_are_a_catalog_and_the_busiest_come_first() -> None:
    catalog = parse_catalog(orjson.dumps(LOG.customers.catalog()), json=True)
    assert len(catalog.customers) == LOG.size
    assert LOG.cents()["c0"] > LOG.cents()["c29"]


def test_standings_by_share_of_the_limit() -> None:
    customers = Customers(3, 100)
    customers.limits = [1_000, 2_000, 500]
    spent = {"c0": 800, "c1": 2_500}
    assert [each.customer for each in customers.standings(spent)] == ["c1", "c0", "c2"]
    assert [each.customer for each in customers.standings(spent, state="near")] == ["c1", "c0"]
    assert [each.customer for each in customers.standings(spent, state="at")] == ["c1"]
    assert [dollars(cents) for cents in (0, 5, 12_345)] == ["0.00", "0.05", "123.45"]


# -------------------------------------------------------------------- viewers
def frame(event: str, **content: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event.encode(), orjson.dumps(content))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def totals(spend: str, as_of: str = NOON) -> bytes:
    return frame("totals", as_of=as_of, rows=[{"customer": "c1", "spend": spend}])


async def test_frames_are_whole_however_they_are_cut() -> None:
    viewer = StreamViewer(Look())
    sent = (
        HEAD
        + chunk(frame("hello", as_of=NOON))
        + chunk(totals("1.00") + totals("2.00"))
        + chunk(frame("alert", id="a"))
    )
    for start in range(0, len(sent), 7):
        viewer.data_received(sent[start : start + 7])
    assert [each.event for each in viewer.frames] == ["hello", "totals", "totals", "alert"]
    assert viewer.rows["c1"]["spend"] == "2.00"
    assert viewer.greeted.is_set()
    assert not viewer.ended.done()


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "answered"),
        (HEAD + chunk(b"event: totals\ndata: {\n\n"), "cannot be read"),
        (HEAD + chunk(totals("2.00") + totals("1.00", "2026-11-01T11:59:59Z")), "after a newer one"),
        (HEAD + chunk(frame("reload", reason="slow")), "sent reload"),
        (HEAD + chunk(frame("alert", id="a") * 2), "came twice"),
        (HEAD + chunk(b"nothing\n\n"), "ValueError"),
    ],
)
async def test_a_fault_ends_the_stream(sent: bytes, fault: str) -> None:
    viewer = StreamViewer(Look())
    viewer.data_received(sent)
    with pytest.raises(CheckFailed, match=fault):
        await ended_by(asyncio.sleep(60), [viewer])


async def test_more_rows_than_were_asked_for_are_a_fault() -> None:
    viewer = StreamViewer(Look(top=0))
    viewer.data_received(HEAD + chunk(totals("1.00")))
    with pytest.raises(CheckFailed, match="0 were asked for"):
        await viewer.ended


async def test_what_a_viewer_was_told_is_compared() -> None:
    viewer = StreamViewer(Look())
    viewer.data_received(HEAD + chunk(totals("1.00")))
    assert Truth({Look(): {"c1": "1.00"}}).untrue(viewer) == {}
    assert Truth({Look(): {"c1": "2.00", "c2": "0.10"}}).untrue(viewer) == {
        "c1": ("1.00", "2.00"), "c2": (None, "0.10"),
    }  # fmt: skip


async def test_figures_are_by_viewer_and_second_of_the_span() -> None:
    viewer = StreamViewer(Look())
    viewer.largest = totals("1.00")
    second_us = 1_000_000
    viewer.frames = [
        Frame("pipeline", 100, NOON_US + 20_000, NOON_US),
        Frame("totals", 100, NOON_US + second_us, NOON_US + second_us - 300_000),
        Frame("totals", 100, NOON_US + 2 * second_us, NOON_US),  # past the end
    ]
    figures = figures_of([viewer], Span(NOON_US, NOON_US + 2 * second_us, NOON_US), 8_000)
    assert (figures["frames_per_s"], figures["totals_frames_per_s"], figures["viewer_bytes_per_s"]) == (1.0, 0.5, 4_000)
    assert (figures["delay_p99_ms"], figures["totals_age_p99_ms"]) == (20.0, 300.0)


def test_looks_are_mixed() -> None:
    looks = looks_of(100, Customers(1_000, 100))
    assert looks.count(Look()) == 70
    assert len({look.customer for look in looks if look.customer}) == 20
    assert sum(look.state is not None for look in looks) == 10


# -------------------------------------------------------------------- the page
DUE = {"c1": Due([0, 150, 400], [0, NOON_US, NOON_US + 500_000])}


def test_events_are_drawn_when_an_amount_that_holds_them_is() -> None:
    noon_ms = NOON_US / 1_000
    sights = [Sight(noon_ms, "c1", "$0.00"), Sight(noon_ms + 700, "c1", "$4.00")]
    figures = event_to_pixel(sights, DUE)
    assert (figures["pixels"], round(figures["pixel_p50_ms"]), round(figures["pixel_max_ms"])) == (2, 200, 700)


def test_a_row_that_was_away_is_not_late() -> None:
    noon_ms = NOON_US / 1_000
    sights = [
        Sight(noon_ms + 10, "c1", "$1.50"), Sight(noon_ms + 20, "c1", None), Sight(noon_ms + 9_000, "c1", "$4.00"),
        Sight(noon_ms + 9_001, "c1", "$4.00"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no values"):
        event_to_pixel(sights, DUE)


def test_an_amount_that_was_never_true_is_a_fault() -> None:
    with pytest.raises(CheckFailed, match=r"\$1.51 for c1"):
        event_to_pixel([Sight(0, "c1", "$1.51")], DUE)


# -------------------------------------------------------------------- bars
def samples(*, with_page: bool) -> list[Sample]:
    seen = {"viewer_bytes_per_s": 9_000.0, "delay_p99_ms": 15.0, "totals_age_p99_ms": 2_000.0}
    page = {
        "script_ms_per_frame": 3.0, "long_tasks_per_min": 3.0, "nodes": 2_000.0, "elements": 1_100.0,
        "layout_shift": 0.0, "first_amount_ms": 200.0, "pixel_p99_ms": 600.0,
    }  # fmt: skip
    found = []
    for number in range(3):
        found.append(Sample(NOBODY, number, {"api_core_pct": 4.0 + number}))
        found.append(Sample(ONE, number, {"api_core_pct": 6.0}))
        found.append(Sample(MANY, number, {"api_core_pct": 9.0} | seen))
        if with_page:
            found.append(Sample(SPEND, number, page))
    return found


def test_bars_are_of_what_was_measured() -> None:
    bars = {bar.name: bar for bar in bars_of(samples(with_page=False))}
    assert [bar.value for bar in bars.values()] == [4.0, 9.0, 15.0, 2_000.0]
    assert [bar.reached for bar in bars.values()] == [True, True, True, False]
    of_page = bars_of(samples(with_page=True))[4:]
    assert [bar.reached for bar in of_page] == [True, False, True, True, True, True]


def test_the_plot_shows_the_api_by_viewers() -> None:
    plot = plot_of(samples(with_page=False))
    assert plot.categories == [NOBODY, ONE, MANY]
    assert plot.lines[0].y == [5.0, 6.0, 9.0]
    assert (plot.lines[0].low, plot.lines[0].high) == ([4.0, 6.0, 9.0], [6.0, 6.0, 9.0])
