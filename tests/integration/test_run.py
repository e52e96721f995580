"""The engine by itself, inside a program that has more to do: batches, settings, metrics, notices, and how it ends."""

import asyncio
from collections.abc import Callable, Sequence

import anyio
import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from engine import ConfigError, Event, Message, Notice
from engine.adapters.kafka import KafkaSender, LogReader, TopicSpec, ensure_topics, find_topic
from engine.adapters.metrics_http import serve_metrics
from engine.adapters.otel import OpenTelemetry
from engine.errors import HandlerFailed
from engine.run import Process, run_batch_handler, run_handler, run_processor

WITHIN_S = 40.0
QUICK: dict[str, object] = {"session_s": 6}
"""The embedded broker lets a first member wait for part of its session."""


async def produce(kafka: str, topic: str, count: int) -> None:
    await ensure_topics(kafka, [TopicSpec(topic, 2)])
    sender = KafkaSender(kafka, idempotent=False)
    await sender.start()
    await sender.send([Message(topic, b"k%d" % (number % 3), b"%d" % number) for number in range(count)])
    await sender.stop()


async def test_batches_with_metrics_and_notices(
    kafka_embedded: str, new_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, seen = new_name("batches"), dict[bytes, list[int]]()
    notices: list[Notice] = []
    process = Process(name="w1", metrics_port=0, tell=notices.append, stop=anyio.Event())
    monkeypatch.setenv("ENGINE_BATCH_MAX", "7")

    async def handle(events: Sequence[Event]) -> list[Message]:
        assert len(events) <= 7, "the environment wins"
        seen.setdefault(events[0].key or b"", []).extend(int(event.value or b"") for event in events)
        return [Message(f"{topic}-out", events[0].key, b"%d" % len(events))]

    await produce(kafka_embedded, topic, 90)
    await ensure_topics(kafka_embedded, [TopicSpec(f"{topic}-out", 1)])
    settings = {"batch_max": 50, "ENGINE_SESSION_S": 6}
    async with anyio.create_task_group() as tasks, httpx.AsyncClient() as client:
        tasks.start_soon(
            lambda: run_batch_handler(
                handle, kafka=kafka_embedded, topic=topic, group=topic, settings=settings, process=process
            )
        )
        with anyio.fail_after(WITHIN_S):
            while sum(map(len, seen.values())) < 90:  # noqa: ASYNC110
                await anyio.sleep(0.05)
        (served,) = [each for each in notices if each.name == "metrics.served"]
        url = served.text.removeprefix("metrics at ")
        shown = (await client.get(url)).text
        assert (await client.get(url.replace("/metrics", "/other"))).status_code == 404
        assert process.stop is not None
        process.stop.set()
    assert seen == {b"k%d" % key: list(range(key, 90, 3)) for key in range(3)}
    assert f'messaging_destination_name="{topic}"' in shown
    assert "engine_unstarted" in shown
    names = [each.name for each in notices]
    assert names[-1] == "engine.stopped"
    assert {"engine.started", "partition.assigned", "epoch.began", "partition.drained"} <= set(names)
    assert (await find_topic(kafka_embedded, f"{topic}.dead")).partitions == 2, "made like the topic itself"


async def test_a_trace_goes_through_a_handler_into_the_next_topic(
    kafka_embedded: str, new_name: Callable[[str], str]
) -> None:
    """From the headers of a record, over the handler's span, to the headers of what it sends; all of it real."""
    topic, trace, parent = new_name("traced"), "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    exporter = InMemorySpanExporter()
    telemetry = OpenTelemetry("enrichment", "w1", spans=exporter)
    process = Process(telemetry=telemetry, tell=lambda notice: None, stop=anyio.Event())

    async def handle(event: Event) -> list[Message]:
        with tracer.start_as_current_span("ours"):
            await anyio.sleep(0.01)
        assert process.stop is not None
        process.stop.set()
        return [Message(f"{topic}-out", event.key, event.value)]

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("user")
    await ensure_topics(kafka_embedded, [TopicSpec(topic, 1), TopicSpec(f"{topic}-out", 1)])
    sender = KafkaSender(kafka_embedded, idempotent=False)
    await sender.start()
    headers = (("traceparent", f"00-{trace}-{parent}-01".encode()), ("tracestate", b"vendor=1"))
    await sender.send([Message(topic, b"k", b"v", headers)])
    async with asyncio.timeout(WITHIN_S):
        await run_handler(handle, kafka=kafka_embedded, topic=topic, group=topic, settings=QUICK, process=process)
    await sender.stop()
    telemetry.close()

    reader = LogReader(kafka_embedded, topic=f"{topic}-out")
    await reader.start()
    (sent,) = [event async for batch in reader.read(0, 0, 1) for event in batch]
    await reader.stop()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    processing, ours = spans["engine.process"], spans["ours"]
    assert processing.context is not None
    assert ours.parent is not None
    assert processing.parent is not None
    assert f"{processing.context.trace_id:032x}" == trace
    assert f"{processing.parent.span_id:016x}" == parent
    assert ours.parent.span_id == processing.context.span_id, "what the user traces is a part of it"
    wanted = f"00-{trace}-{processing.context.span_id:016x}-01".encode()
    assert dict(sent.headers) == {"traceparent": wanted, "tracestate": b"vendor=1"}


async def test_a_handler_that_must_not_fail_ends_the_run_with_its_error(
    kafka_embedded: str, new_name: Callable[[str], str]
) -> None:
    topic = new_name("stops")

    async def handle(event: Event) -> None:
        raise RuntimeError("cannot")

    await produce(kafka_embedded, topic, 1)
    with pytest.raises(HandlerFailed, match="cannot"):
        async with asyncio.timeout(WITHIN_S):
            await run_handler(
                handle, kafka=kafka_embedded, topic=topic, group=topic, process=Process(tell=lambda notice: None),
                settings={"on_failure": "stop", "retry_max": 1, "retry_base_s": 0.01} | QUICK,
            )  # fmt: skip


async def test_what_cannot_work_is_said_before_anything_is_asked() -> None:
    async def handle(event: Event) -> None:
        """Never called."""

    with pytest.raises(ConfigError) as caught:
        await run_handler(handle, kafka="127.0.0.1:9", topic="t", group="g", settings={"retry": 1, "fetch_max": "x"})
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigError, match="must begin with redis://"):
        await run_processor(object(), kafka="127.0.0.1:9", redis="localhost", topic="t", group="g")  # type: ignore[arg-type]


async def test_a_port_that_is_taken_is_said() -> None:
    async def handle(event: Event) -> None:
        """Never called."""

    async with serve_metrics(lambda: b"", "text/plain", host="127.0.0.1", port=0) as port:
        process = Process(metrics_port=port, tell=lambda notice: None)
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} cannot be listened on"):
            await run_handler(handle, kafka="127.0.0.1:9", topic="t", group="g", process=process)
