"""The plot of the rebalance scenario, and where a record of its load is counted."""

from collections import Counter

from perf.harness.open_loop import Schedule
from perf.harness.outcome import Sample
from perf.harness.regroup import BUCKETS, KEYS, PARTITIONS, StoppableLoad, slice_of
from perf.harness.usage import UsageLog
from perf.scenarios.rebalance import SHORT, STATIC, plot_of


def test_the_plot_leaves_out_what_no_sample_has() -> None:
    short = {f"{turn}_{kind}_ms": 100.0 for turn in ("leave", "join", "crash") for kind in ("stayed", "moved")}
    samples = [Sample(SHORT, number, short) for number in range(2)] + [Sample(STATIC, 0, {"restart_moved_ms": 7.0})]

    plot = plot_of(samples)

    assert plot.categories == [f"{turn}, {SHORT}" for turn in ("leave", "join", "crash")] + [f"restart, {STATIC}"]
    assert [(line.name, line.x) for line in plot.lines] == [("stayed", [0, 1, 2]), ("moved", [0, 1, 2, 3])]


def test_a_load_that_is_stopped_knows_what_it_sent() -> None:
    load = StoppableLoad(UsageLog(1_000, KEYS), Schedule(1_000_000, 100))

    sent = []
    for record in load.records():
        sent.append(record)
        if len(sent) == 300:
            load.stop()

    assert sent == list(load.log._replace(events=300).records())
    assert load.sightings.missing == 300


def test_keys_spread_over_all_slices() -> None:
    slices = Counter(slice_of(b"customer-%d" % number) for number in range(KEYS))

    assert len(slices) == BUCKETS * PARTITIONS
    assert slice_of(b"customer-0") == slice_of(b"customer-0")
