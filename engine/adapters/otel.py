"""Telemetry by OpenTelemetry's SDK: metrics as Prometheus text, spans to an exporter if one is given.

What is recorded often, the values of histograms, is counted beside the SDK (`otel_histograms.py`).

Each instance has a registry of its own. Metrics are pulled: `exposition()` reads them in the caller's thread, so it
belongs on the event loop's.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry import context, trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Counter
from opentelemetry.metrics import Observation as Observed
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from engine.adapters.otel_histograms import Histograms
from engine.event import Headers, trace_headers
from engine.telemetry import NONE, Attributes, Metric, Observation, Span

CONTENT_TYPE = CONTENT_TYPE_LATEST
SCOPE = "keylane"
LINKS_MAX = 128
_W3C = TraceContextTextMapPropagator()


class OpenTelemetry:
    """A `Telemetry`. `service` and `instance` name the process; without `spans` nothing is traced, at no cost."""

    def __init__(self, service: str, instance: str, *, spans: SpanExporter | None = None) -> None:
        resource = Resource.create({"service.name": service, "service.instance.id": instance})
        self._registry = CollectorRegistry()
        reader = PrometheusMetricReader(scope_info_enabled=False, registry=self._registry)
        self._metrics = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self._meter = self._metrics.get_meter(SCOPE)
        self._counters: dict[str, Counter] = {}
        self._histograms = Histograms(_check)
        self._registry.register(self._histograms)
        self._spans: TracerProvider | None = None
        self._allowance = _Allowance()
        if spans is not None:
            self._spans = TracerProvider(resource=resource, shutdown_on_exit=False)
            self._spans.add_span_processor(BatchSpanProcessor(spans))

    def add(self, metric: Metric, amount: int = 1, attributes: Attributes = NONE) -> None:
        _check(metric, "counter", attributes)
        counter = self._counters.get(metric.name)
        if counter is None:
            counter = self._meter.create_counter(metric.name, metric.unit, metric.about)
            self._counters[metric.name] = counter
        counter.add(amount, attributes)

    def record(self, metric: Metric, value: float, attributes: Attributes = NONE) -> None:
        self._histograms.recorder(metric, attributes)(value)

    def recorder(self, metric: Metric, attributes: Attributes = NONE) -> Callable[[float], None]:
        return self._histograms.recorder(metric, attributes)

    def observe(self, metrics: Iterable[Metric], read: Callable[[], Iterable[Observation]]) -> None:
        source = _Source(read)
        for metric in metrics:
            create = (
                self._meter.create_observable_counter
                if metric.kind == "counter"
                else self._meter.create_observable_gauge
            )
            create(metric.name, [source.of(metric)], metric.unit, metric.about)

    def span(self, span: Span, attributes: Attributes = NONE) -> AbstractContextManager[None]:
        if self._spans is None or not self._allowance.takes(span):
            return nullcontext()
        return self._traced(self._spans, span, attributes)

    @contextmanager
    def _traced(self, spans: TracerProvider, span: Span, attributes: Attributes) -> Iterator[None]:
        with spans.get_tracer(SCOPE).start_as_current_span(span.name, attributes=dict(attributes)):
            yield

    def continued(
        self, span: Span, headers: Sequence[Headers], attributes: Attributes = NONE
    ) -> AbstractContextManager[None]:
        contexts = [_context_of(each) for each in headers[: LINKS_MAX + 1]]
        return self._continued(span, contexts, attributes) if contexts else nullcontext()

    @contextmanager
    def _continued(self, span: Span, contexts: Sequence[context.Context], attributes: Attributes) -> Iterator[None]:
        first, others = contexts[0], contexts[1:]
        if self._spans is None or not self._allowance.takes(span):
            token = context.attach(first)
            try:
                yield
            finally:
                context.detach(token)
            return
        links = [Link(trace.get_current_span(each).get_span_context()) for each in others]
        with self._spans.get_tracer(SCOPE).start_as_current_span(
            span.name, first, SpanKind.CONSUMER, dict(attributes), links
        ):
            yield

    def carried(self) -> tuple[tuple[str, bytes], ...]:
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return tuple((name, value.encode()) for name, value in carrier.items())

    def exposition(self) -> bytes:
        """All metrics as Prometheus text, of type CONTENT_TYPE."""
        return generate_latest(self._registry)

    def close(self) -> None:
        """Hand over what was traced, and let go."""
        self._metrics.shutdown()
        if self._spans is not None:
            self._spans.shutdown()


def _context_of(headers: Headers) -> context.Context:
    """A header that is none of the standard's names no trace: the context is then an empty one."""
    carrier = {name: value.decode("ascii", "replace") for name, value in trace_headers(headers)}
    return _W3C.extract(carrier, context.Context())


class _Source:
    """One reading for all metrics of a source: a metric that asks for the second time begins another."""

    def __init__(self, read: Callable[[], Iterable[Observation]]) -> None:
        self._read = read
        self._reading: dict[str, list[Observed]] = {}
        self._asked: set[str] | None = None

    def of(self, metric: Metric) -> Callable[[CallbackOptions], Sequence[Observed]]:
        return lambda _: self._ask(metric.name)

    def _ask(self, name: str) -> Sequence[Observed]:
        if self._asked is None or name in self._asked:
            self._asked = set()
            self._reading = {}
            for metric, value, attributes in self._read():
                _check(metric, metric.kind, attributes)
                self._reading.setdefault(metric.name, []).append(Observed(value, attributes))
        self._asked.add(name)
        return self._reading.get(name, ())


class _Allowance:
    """How many spans of a name may begin within one second."""

    def __init__(self) -> None:
        self._second = 0
        self._begun: dict[str, int] = {}

    def takes(self, span: Span) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._begun.clear()
        begun = self._begun.get(span.name, 0)
        self._begun[span.name] = begun + 1
        return begun < span.per_s_max


def _check(metric: Metric, kind: str, attributes: Attributes) -> None:
    assert metric.kind == kind, f"{metric.name} is a {metric.kind}"
    assert attributes.keys() <= metric.attributes, f"{metric.name} has no {attributes.keys() - metric.attributes}"
