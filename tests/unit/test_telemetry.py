"""The catalogue keeps its own rules, and OpenTelemetry shows what the engine says."""

import re
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from billing.telemetry import ACCEPTED, REFUSED, STATUS
from billing.telemetry import METRICS as BILLING_METRICS
from engine import telemetry as catalogue
from engine.adapters.otel import OpenTelemetry
from engine.runtime.observed import OBSERVED, observations
from engine.runtime.statistics import Counters, Lanes, Parked, PartitionStatistics, Statistics
from engine.telemetry import METRICS, SPANS, Metric, Observation, Silence

EVERY = (*METRICS, *BILLING_METRICS)
KNOWN_UNITS = re.compile(r"1|s|By|\{[a-z]+\}")
PARKED = Parked(offset=41, key_hash="ab", events=2, reason="parked after 6 attempts")
STATISTICS = Statistics(
    worker="w1",
    time_ms=10_000,
    durability="memory",
    counters=Counters(
        consumed=100,
        counted=80,
        unmetered=10,
        duplicates_dropped=6,
        dead_lettered=4,
        calls=7,
        unanswered=2,
        rejected=1,
        refused={"rollback": 1, "other owner": 2, "fork": 0},
        effects=3,
        retries=5,
        rebalances=1,
    ),
    latency_ms=None,
    lanes=Lanes(running=2, ready=3, limit=1_000, deferred=4, breaker_open=True),
    partitions=[
        PartitionStatistics("usage", 0, "running", 50, 40, 60, 10, 2_000, 7_500, None, 1, 13, False, [PARKED, PARKED]),
        PartitionStatistics("usage", 1, "recovering", None, None, None, 0, 0, None, None, 0, None, False, ()),
    ],
)


@pytest.fixture
def telemetry() -> Iterator[OpenTelemetry]:
    telemetry = OpenTelemetry("billing", "w1")
    yield telemetry
    telemetry.close()


def lines(telemetry: OpenTelemetry) -> set[str]:
    """The samples of the exposition, each with its labels in order of name."""
    samples = set()
    for line in telemetry.exposition().decode().splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r"([^{ ]+)(?:\{(.*)\})? (\S+)", line).groups()  # type: ignore[union-attr]
            samples.add(f"{name}{{{','.join(sorted((labels or '').split(',')))}}} {value}")
    return samples


def test_the_catalogue_lists_every_metric_once() -> None:
    written = [value for value in vars(catalogue).values() if isinstance(value, Metric)]
    assert sorted(metric.name for metric in METRICS) == sorted(metric.name for metric in written)
    assert len({metric.name for metric in EVERY}) == len(EVERY)
    assert {span.name for span in SPANS} == {v.name for v in vars(catalogue).values() if isinstance(v, catalogue.Span)}


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_names_units_and_meaning(metric: Metric) -> None:
    assert re.fullmatch(r"(messaging|engine|billing)(\.[a-z_]+)+", metric.name)
    assert KNOWN_UNITS.fullmatch(metric.unit)
    assert metric.about.endswith(".")
    assert list(metric.bounds) == sorted(set(metric.bounds))
    assert bool(metric.bounds) == (metric.kind == "histogram")


def test_the_names_of_the_messaging_conventions_are_theirs() -> None:
    from opentelemetry.semconv._incubating.attributes import messaging_attributes
    from opentelemetry.semconv._incubating.metrics import messaging_metrics

    theirs = {value for name, value in vars(messaging_metrics).items() if name.isupper()}
    assert {metric.name for metric in METRICS if metric.name.startswith("messaging.")} <= theirs
    attributes = {name for metric in METRICS for name in metric.attributes if name.startswith("messaging.")}
    assert attributes <= {value for name, value in vars(messaging_attributes).items() if name.isupper()}


def test_statistics_become_observations() -> None:
    seen = {
        (observation.metric.name, frozenset(observation.attributes.values()) - {"g", "usage"}): observation.value
        for observation in observations("usage", "g", STATISTICS)
    }

    def value(name: str, *attributes: str) -> float | None:
        return seen.get((name, frozenset(attributes)))

    assert value("messaging.client.consumed.messages", "poll", "kafka") == 100
    assert [value("engine.events", each) for each in ("counted", "unmetered", "duplicate", "dead")] == [80, 10, 6, 4]
    assert [value("engine.refusals", each) for each in ("rollback", "other_owner", "fork")] == [1, 2, 0]
    assert [value("engine.lanes", each) for each in ("running", "ready", "deferred")] == [2, 3, 4]
    assert value("engine.breaker.open") == 1
    assert [value("engine.unstarted", each) for each in ("0", "1")] == [13, None]
    assert [value("engine.parked", each) for each in ("0", "1")] == [2, 0]
    assert value("engine.lag", "0") == 20
    assert value("engine.lag", "1") is None, "unknown is absent, not zero"
    assert value("engine.in_flight", "0") == 10
    assert value("engine.in_flight.size", "0") == 2_000
    assert value("engine.in_flight.oldest.age", "0") == 2.5
    assert {observation.metric for observation in observations("usage", "g", STATISTICS)} == set(OBSERVED)


def test_observed_metrics_are_read_once_an_exposition(telemetry: OpenTelemetry) -> None:
    readings: list[int] = []

    def read() -> list[Observation]:
        readings.append(len(readings))
        return [
            Observation(catalogue.CALLS, 10 + len(readings), {catalogue.GROUP: "g"}),
            Observation(catalogue.LANES_LIMIT, 5, {catalogue.GROUP: "g"}),
        ]

    telemetry.observe([catalogue.CALLS, catalogue.LANES_LIMIT], read)
    first, second = lines(telemetry), lines(telemetry)
    assert 'engine_calls_total{messaging_consumer_group_name="g"} 11.0' in first
    assert 'engine_calls_total{messaging_consumer_group_name="g"} 12.0' in second
    assert 'engine_lanes_limit{messaging_consumer_group_name="g"} 5.0' in second
    assert len(readings) == 2


def test_counters_add_up_and_histograms_have_the_bounds_of_the_catalogue(telemetry: OpenTelemetry) -> None:
    telemetry.add(ACCEPTED, 3)
    telemetry.add(ACCEPTED)
    telemetry.add(REFUSED, 2, {STATUS: "422"})
    for value in (0.0004, 0.002, 9.0):
        telemetry.record(catalogue.CALL_DURATION, value, {catalogue.GROUP: "g", catalogue.FUNCTION: "apply"})
    shown = lines(telemetry)
    labels = 'engine_function="apply",%smessaging_consumer_group_name="g"'
    whole = labels % ""
    below = labels % 'le="0.0025",'
    assert "billing_http_events_accepted_total{} 4.0" in shown
    assert 'billing_http_requests_refused_total{http_response_status_code="422"} 2.0' in shown
    buckets = {line for line in shown if line.startswith("engine_call_duration_seconds_bucket")}
    assert len(buckets) == len(catalogue.CALL_SECONDS) + 1
    assert f"engine_call_duration_seconds_bucket{{{below}}} 2.0" in buckets
    assert f"engine_call_duration_seconds_count{{{whole}}} 3.0" in shown


def test_a_recorder_adds_to_what_is_recorded_and_each_series_is_shown_once(telemetry: OpenTelemetry) -> None:
    """An upper bound is part of its bucket; what differs in its attributes is apart, under one heading."""
    attributes = {catalogue.GROUP: "g", catalogue.SYSTEM: "kafka"}
    record = telemetry.recorder(catalogue.PROCESS_DURATION, attributes)
    assert not any(line.startswith("messaging_process") for line in lines(telemetry)), "nothing was recorded yet"
    for seconds in (0.005, 0.006, 60.0):
        record(seconds)
    telemetry.record(catalogue.PROCESS_DURATION, 0.25, dict(reversed(attributes.items())))
    telemetry.record(catalogue.PROCESS_DURATION, 0.5, attributes | {catalogue.ERROR: "ValueError"})
    shown = lines(telemetry)
    labels = 'messaging_consumer_group_name="g",messaging_system="kafka"'
    for bound, below in (("0.005", 1), ("0.01", 2), ("0.25", 3), ("10.0", 3), ("+Inf", 4)):
        assert f'messaging_process_duration_seconds_bucket{{le="{bound}",{labels}}} {below}.0' in shown
    assert f"messaging_process_duration_seconds_count{{{labels}}} 4.0" in shown
    assert f"messaging_process_duration_seconds_sum{{{labels}}} 60.261" in shown
    assert f'messaging_process_duration_seconds_count{{error_type="ValueError",{labels}}} 1.0' in shown
    assert telemetry.exposition().count(b"# TYPE messaging_process_duration_seconds histogram") == 1


def test_two_instances_do_not_meet(telemetry: OpenTelemetry) -> None:
    other = OpenTelemetry("billing", "w2")
    other.add(ACCEPTED, 7)
    assert "billing_http_events_accepted_total{} 7.0" in lines(other)
    assert not any(line.startswith("billing_http") for line in lines(telemetry))
    other.close()


def test_an_attribute_that_the_catalogue_does_not_name_is_refused(telemetry: OpenTelemetry) -> None:
    with pytest.raises(AssertionError, match="customer"):
        telemetry.add(ACCEPTED, 1, {"customer": "acme"})
    with pytest.raises(AssertionError, match="counter"):
        telemetry.record(ACCEPTED, 1.0)


def test_spans_are_bounded_and_note_what_went_wrong() -> None:
    exporter = InMemorySpanExporter()
    telemetry = OpenTelemetry("billing", "w1", spans=exporter)

    def fail() -> None:
        with telemetry.span(catalogue.EPOCH_SPAN, {catalogue.PARTITION: "0"}):
            raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        fail()
    for _ in range(10 * catalogue.CALL_SPAN.per_s_max):
        with telemetry.span(catalogue.CALL_SPAN, {catalogue.FUNCTION: "apply"}):
            pass
    telemetry.close()
    spans: tuple[ReadableSpan, ...] = exporter.get_finished_spans()
    failed = [span for span in spans if span.name == "engine.epoch"]
    assert [event.name for event in failed[0].events] == ["exception"]
    calls = [span for span in spans if span.name == "engine.call"]
    assert catalogue.CALL_SPAN.per_s_max <= len(calls) < 10 * catalogue.CALL_SPAN.per_s_max


def test_silence_says_nothing_and_lets_errors_through() -> None:
    silence = Silence()
    silence.add(ACCEPTED)
    silence.record(catalogue.CALL_EVENTS, 1.0)
    silence.observe([catalogue.LAG], lambda: pytest.fail("nobody asked"))
    with pytest.raises(ValueError, match="gone"), silence.span(catalogue.CALL_SPAN):
        raise ValueError("gone")
