"""A trace that comes with an event goes on in its handler and in what the handler sends."""

from collections.abc import Sequence
from random import Random

import anyio
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from engine import Counts, Engine, EngineConfig, Event, Message, Producer
from engine.adapters.otel import OpenTelemetry
from engine.event import trace_headers
from engine.runtime.dead_letters import dead_letter
from engine.sim.broker import SimulatedBroker, SimulatedEvent, SimulatedLog, SimulatedSender
from engine.sim.loop import SimulatedClock, run
from engine.telemetry import PROCESS_SPAN, Silence

TOPIC = "events"
TRACE = 0x4BF92F3577B34DA6A3CE929D0E0E4736
PARENT = 0x00F067AA0BA902B7


def named(number: int = 0, *, sampled: bool = True) -> tuple[tuple[str, bytes], ...]:
    """The headers of an event of one trace, sent by its own span."""
    text = f"00-{TRACE:032x}-{PARENT + number:016x}-{int(sampled):02x}"
    return (("other", b"x"), ("traceparent", text.encode()), ("tracestate", b"vendor=1"))


def append(broker: SimulatedBroker, key: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> None:
    """The simulated producer sends no headers."""
    broker.append(TOPIC, 0, key, b"v")
    log = broker.logs[TOPIC, 0]
    log[-1] = log[-1]._replace(headers=headers)


class KeptSender:
    def __init__(self) -> None:
        self.sent: list[Message] = []

    async def send(self, messages: Sequence[Message]) -> None:
        self.sent += messages


async def handled(
    broker: SimulatedBroker, telemetry: OpenTelemetry | Silence, sender: SimulatedSender | KeptSender, **user: object
) -> None:
    engine = Engine(
        EngineConfig(topic=TOPIC, group="g"), log=SimulatedLog(broker), sender=sender, clock=SimulatedClock(),
        random=broker.random, telemetry=telemetry, **user,  # type: ignore[arg-type]
    )  # fmt: skip
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(engine.run)
        await anyio.sleep(5)
        engine.stop()


def test_a_handler_and_what_it_sends_go_on_in_the_trace_of_the_event() -> None:
    exporter, sender = InMemorySpanExporter(), KeptSender()
    telemetry = OpenTelemetry("t", "w", spans=exporter)
    producer = Producer(sender, telemetry)
    seen: dict[bytes, int] = {}

    async def handle(event: Event) -> None:
        seen[event.key or b""] = trace.get_current_span().get_span_context().trace_id
        await anyio.sleep(0.1)
        await producer.produce("next", event.key, event.value, [("mine", b"1")])

    async def scenario() -> None:
        broker = SimulatedBroker(Random(1), TOPIC, 1)
        append(broker, b"traced", named())
        append(broker, b"plain", (("other", b"x"),))
        await handled(broker, telemetry, sender, handler=handle)

    run(scenario)
    telemetry.close()
    (span,) = (each for each in exporter.get_finished_spans() if each.name == PROCESS_SPAN.name)
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, span.parent.span_id, span.kind) == (TRACE, PARENT, trace.SpanKind.CONSUMER)
    assert seen == {b"traced": TRACE, b"plain": 0}
    headers = {message.key: dict(message.headers) for message in sender.sent}
    assert headers[b"plain"] == {"mine": b"1"}
    assert headers[b"traced"] == {
        "mine": b"1",
        "traceparent": f"00-{TRACE:032x}-{span.context.span_id:016x}-01".encode(),
        "tracestate": b"vendor=1",
    }


def test_without_an_exporter_the_trace_goes_through_unchanged() -> None:
    sender = KeptSender()
    telemetry = OpenTelemetry("t", "w")
    producer = Producer(sender, telemetry)

    async def handle(events: Sequence[Event]) -> None:
        await producer.produce("next", events[0].key, None)

    async def scenario() -> None:
        broker = SimulatedBroker(Random(1), TOPIC, 1)
        append(broker, b"k", named(7))
        await handled(broker, telemetry, sender, batch_handler=handle)

    run(scenario)
    telemetry.close()
    assert dict(sender.sent[0].headers) == dict(named(7)[1:])


def test_a_batch_is_part_of_the_first_trace_and_links_to_the_others() -> None:
    exporter = InMemorySpanExporter()
    telemetry = OpenTelemetry("t", "w", spans=exporter)
    with telemetry.continued(PROCESS_SPAN, [named(0), named(1), named(2)]):
        pass
    telemetry.close()
    (span,) = exporter.get_finished_spans()
    assert span.parent is not None
    assert span.parent.span_id == PARENT
    assert [link.context.span_id for link in span.links] == [PARENT + 1, PARENT + 2]


def test_a_trace_that_is_not_sampled_makes_no_span_and_goes_on() -> None:
    exporter = InMemorySpanExporter()
    telemetry = OpenTelemetry("t", "w", spans=exporter)
    with telemetry.continued(PROCESS_SPAN, [named(sampled=False)]):
        carried = dict(telemetry.carried())
    telemetry.close()
    assert exporter.get_finished_spans() == ()
    assert carried["traceparent"].startswith(b"00-%032x-" % TRACE)
    assert carried["traceparent"].endswith(b"-00")


def test_what_names_no_trace_changes_nothing() -> None:
    telemetry = OpenTelemetry("t", "w")
    for value in (b"", b"\xff" * 60, b"00-zz-zz-01", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"):
        with telemetry.continued(PROCESS_SPAN, [(("traceparent", value),)]):
            assert telemetry.carried() == ()
    telemetry.close()


def test_an_async_prepare_runs_in_the_trace_and_an_inline_one_does_not() -> None:
    telemetry = OpenTelemetry("t", "w")
    seen: list[int] = []

    class Waiting:
        async def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
            seen.append(trace.get_current_span().get_span_context().trace_id)
            raise RuntimeError("enough")

    class Inline:
        def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
            inline.append(trace.get_current_span().get_span_context().trace_id)
            return [Counts(b"%016d" % event.offset) for event in events]

    inline: list[int] = []

    async def scenario(processor: object) -> None:
        from engine.sim.server import SimulatedServer

        broker = SimulatedBroker(Random(1), TOPIC, 1)
        append(broker, b"k", named())
        server = SimulatedServer(broker.random)
        await handled(broker, telemetry, KeptSender(), processor=processor, state=server)

    run(lambda: scenario(Waiting()))
    run(lambda: scenario(Inline()))
    telemetry.close()
    assert set(seen) == {TRACE}
    assert inline == [0]


def test_a_dead_letter_carries_the_trace_of_its_event() -> None:
    event = SimulatedEvent(TOPIC, 0, 7, 0, b"k", b"v", named())
    assert dict(dead_letter(event, "no", 1).headers).items() >= dict(named()[1:]).items()
    assert trace_headers(()) == ()


def test_a_message_that_names_a_trace_keeps_it() -> None:
    sender, telemetry = KeptSender(), OpenTelemetry("t", "w")
    own = named(5)

    async def scenario() -> None:
        with telemetry.continued(PROCESS_SPAN, [named()]):
            await Producer(sender, telemetry).send([Message("next", None, b"v", own)])

    run(scenario)
    telemetry.close()
    assert sender.sent[0].headers == own
