"""A hundred viewers of ten thousand customers: what they cost the API and get, and what the page costs in a browser.

The service runs as its users run it; viewers are raw connections that read and check every frame. The page is measured
with a headless Chromium, in samples of its own, since it takes a processor for itself now and then.
"""

import argparse
from functools import partial

from perf.harness.audited import check_audit
from perf.harness.open_loop import lateness_note
from perf.harness.outcome import Bar, Figures, Findings, Line, Plot, Sample, median_of, values_of
from perf.harness.stage import Stage
from perf.harness.streams import Look
from perf.harness.viewing import PAGE_S, WARM_S, Viewing, page_sample, sample, viewing
from tests.browser.chromium import missing

TITLE = "A hundred viewers of ten thousand customers, and the page in a browser, while 1,000 events/s are counted"
CUSTOMERS = 10_000
EVENTS_PER_S = 1_000
VIEWERS = 100
SECONDS, SECONDS_QUICK = 20.0, 10.0
DRAWN_S = 15.0
"""So long amounts that are drawn are compared with the load."""
WARMING_S = 10.0
"""A sample before all others, of which no figure is kept: broker, worker and API have just started."""
NOBODY, ONE, MANY = "no viewer", "1 viewer", f"{VIEWERS} viewers"
SPEND, CUSTOMER, LONG = "page: spend", "page: customer", "page: spend, watched long"
SPEND_LOOK, CUSTOMER_LOOK = Look(), Look(customer="c40")
"""The customer has 2 or 3 events a second."""
EXACT_NOTE = (
    "Every frame of every viewer was parsed and came in order; in the end each viewer had been told what the load "
    "says, and `billing audit` found log and state equal."
)
API_NOTE = (
    "api_core_pct: processor time of the API in % of one core, under the load alone and with viewers. Most look at the "
    "50 nearest to their limit, one in five at one customer, one in ten at a state."
)
FRAME_NOTE = (
    "delay: from when a pipeline frame says it was made until it was read. totals_age: from the moment of which a "
    "frame of totals says it is. Sizes are of the largest frame of totals, all 50 rows."
)
PAGE_NOTE = (
    "The page: processor time of its main thread (Chromium's own counters, thread ticks), the long tasks of the time "
    "that was judged, nodes and heap after a garbage collection. script_ms_per_frame: all scripts over all frames, "
    "with timers and requests in it."
)
PIXEL_NOTE = (
    "pixel: from when an event was due until its amount was drawn (the frame was on its way to the screen), for "
    "customers whose row was shown. Each amount was looked up in the load."
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--watch-s", type=float, default=60.0, help="how long one page is watched in the end (60)")


def measure(stage: Stage) -> Findings:
    seconds, absent = SECONDS_QUICK if stage.quick else SECONDS, missing()
    watch_s = 0.0 if absent else float(stage.options.watch_s)
    with viewing(stage, customers=CUSTOMERS, events_planned=events_planned(stage.rounds, seconds, watch_s)) as state:
        sample(state, VIEWERS, events_per_s=EVENTS_PER_S, seconds=WARMING_S)
        samples = stage.interleaved(variants(state, seconds, with_page=absent is None))
        if watch_s:
            samples.append(Sample(LONG, 0, dict(_page(state, SPEND_LOOK, watch_s))))
        state.portal.call(check_audit, state.running.settings_path, state.sent)
    of_page = [f"No figure of the page: {absent}."] if absent else [PAGE_NOTE, PIXEL_NOTE]
    late_ms = max(each.figures["late_p99_ms"] for each in samples)
    return Findings(
        configuration={
            "customers": CUSTOMERS, "load": f"{EVENTS_PER_S:,} events/s, Zipf", "viewers": VIEWERS, "seconds": seconds,
            "watched": f"{watch_s:g} s", "partitions": 4, "Redis": "append-only file",
        },
        samples=samples,
        bars=bars_of(samples),
        plots=[plot_of(samples)],
        notes=[EXACT_NOTE, API_NOTE, FRAME_NOTE, *of_page, lateness_note(late_ms)],
    )  # fmt: skip


def variants(state: Viewing, seconds: float, *, with_page: bool) -> dict[str, partial[Figures]]:
    found = {
        name: partial(sample, state, viewers, events_per_s=EVENTS_PER_S, seconds=seconds)
        for name, viewers in ((NOBODY, 0), (ONE, 1), (MANY, VIEWERS))
    }
    if with_page:
        found |= {
            SPEND: partial(_page, state, SPEND_LOOK, seconds),
            CUSTOMER: partial(_page, state, CUSTOMER_LOOK, seconds),
        }
    return found


def events_planned(rounds: int, seconds: float, watch_s: float) -> int:
    """Of the whole run: limits are set by it."""
    page_s = WARM_S + PAGE_S + seconds + DRAWN_S
    whole_s = 2 * WARM_S + WARMING_S + rounds * (3 * (WARM_S + seconds) + 2 * page_s) + watch_s
    return round(EVENTS_PER_S * whole_s)


def bars_of(samples: list[Sample]) -> list[Bar]:
    """Only of what was measured."""
    many = partial(median_of, samples, MANY)
    cost_pct = many("api_core_pct") - median_of(samples, NOBODY, "api_core_pct")
    found = [
        Bar(f"{VIEWERS} viewers: of a core of the API", cost_pct, 5, better="lower", unit="%"),
        Bar("a viewer gets", many("viewer_bytes_per_s") / 1e3, 13, better="lower", unit="kB/s"),
        Bar("frame made to frame read, p99", many("delay_p99_ms"), 100, 20, better="lower", unit="ms"),
        Bar("age of totals, p99", many("totals_age_p99_ms"), 1_000, 300, better="lower", unit="ms"),
    ]
    for variant in (SPEND, CUSTOMER):
        if values_of(samples, variant, "nodes"):
            found += _bars_of_page(samples, variant)
    if values_of(samples, LONG, "nodes"):
        found.append(
            Bar(f"{LONG}: heap, times the beginning", median_of(samples, LONG, "heap_growth"), 1.5, 1.1, better="lower")
        )
    return found


def _bars_of_page(samples: list[Sample], variant: str) -> list[Bar]:
    of = partial(median_of, samples, variant)
    worst = partial(values_of, samples, variant)
    return [
        Bar(f"{variant}: scripts", of("script_ms_per_frame"), 4, better="lower", unit="ms a frame"),
        Bar(f"{variant}: tasks over 50 ms in a minute", of("long_tasks_per_min"), 0, better="lower", unit=""),
        Bar(f"{variant}: elements", max(worst("elements")), 1_500, better="lower", unit=""),
        Bar(f"{variant}: layout shift", max(worst("layout_shift")), 0.01, 0, better="lower", unit=""),
        Bar(f"{variant}: first amount", of("first_amount_ms"), 300, better="lower", unit="ms"),
        Bar(f"{variant}: event to pixel, p99", of("pixel_p99_ms"), 1_000, 400, better="lower", unit="ms"),
    ]


def plot_of(samples: list[Sample]) -> Plot:
    names = [NOBODY, ONE, MANY]
    rounds = [values_of(samples, name, "api_core_pct") for name in names]
    x, y = [0.0, 1.0, 2.0], [median_of(samples, name, "api_core_pct") for name in names]
    line = Line("API", x, y, list(map(min, rounds)), list(map(max, rounds)))
    return Plot("api", "Processor time of the API under 1,000 events/s", "", "% of a core", [line], categories=names)


def _page(state: Viewing, look: Look, seconds: float) -> Figures:
    return page_sample(state, look, events_per_s=EVENTS_PER_S, seconds=seconds, drawn_s=DRAWN_S)
