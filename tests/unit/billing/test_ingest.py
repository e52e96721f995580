from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from billing.api.ingest import Door, Limits, split_events, trace_of
from billing.api.problems import Problem
from billing.domain.usage import UsageEvent
from engine import Message, Unanswered
from tests.unit.billing.fakes import NOON, FakeClock, FakeFacts, usage_event


class FakeSender:
    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.away = False

    async def send(self, messages: Sequence[Message]) -> None:
        if self.away:
            raise Unanswered("away")
        self.sent += messages


@pytest.fixture
def sender() -> FakeSender:
    return FakeSender()


def door(sender: FakeSender, *, waits: str | None = None, requests_max: int = 2, events_max: int = 1_000) -> Door:
    facts, clock = FakeFacts(), FakeClock()

    def check(event: UsageEvent, arrival_ms: int) -> None:
        facts.history.meters_at(arrival_ms).measure(event, arrival_ms * 1_000)

    limits = Limits(events_max=events_max, requests_max=requests_max, horizon_d=34)
    return Door(sender, "usage-events", limits, clock, check_meters=check, waits_for=lambda: waits)


async def refusal(found: Door, body: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        await found.take(body)
    return caught.value


def errors(problem: Problem) -> list[tuple[Any, Any]]:
    return [(error["index"], error["field"]) for error in problem.errors]


async def test_an_event_goes_into_the_log_as_it_came(sender: FakeSender) -> None:
    body = b'  {"specversion":"1.0", "id":"1","source":"s","type":"other","subject":"k\xc3\xa4",'
    body += b'"time":"2026-11-01T12:00:00Z"} '
    assert await door(sender).take(body) == 1
    assert sender.sent == [Message("usage-events", "kä".encode(), body.strip())]


async def test_what_is_turned_away_is_counted_by_status(sender: FakeSender) -> None:
    found = door(sender)
    for body in (b"no JSON", b"[{}]"):
        await refusal(found, body)
    assert await found.take(orjson.dumps(usage_event("c1", id="1"))) == 1
    assert found.refused == {422: 2}


async def test_a_trace_goes_into_the_log_with_its_events(sender: FakeSender) -> None:
    trace = (("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"),)
    assert await door(sender).take(orjson.dumps([usage_event("c1", id="1"), usage_event("c2", id="2")]), trace) == 2
    assert [message.headers for message in sender.sent] == [trace, trace]


def test_what_names_no_trace_is_left_out() -> None:
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    assert trace_of({"traceparent": parent, "tracestate": "v=1"}) == (
        ("traceparent", parent.encode()),
        ("tracestate", b"v=1"),
    )
    assert trace_of({"traceparent": parent, "tracestate": "x" * 513}) == (("traceparent", parent.encode()),)
    for other in ({}, {"tracestate": "v=1"}, {"traceparent": parent + "0"}, {"traceparent": parent.upper()}):
        assert trace_of(other) == ()


async def test_many_events(sender: FakeSender) -> None:
    events = [usage_event(f"c{number}", id=str(number)) for number in range(1_000)]
    assert await door(sender).take(orjson.dumps(events)) == 1_000
    assert [message.key for message in sender.sent] == [f"c{number}".encode() for number in range(1_000)]
    assert [orjson.loads(message.value or b"") for message in sender.sent] == events


async def test_the_arrival_is_stamped_where_no_time_is_told(sender: FakeSender) -> None:
    await door(sender).take(orjson.dumps(usage_event(time=None)))
    assert orjson.loads(sender.sent[0].value or b"")["time"] == "2026-11-01T12:00:00Z"


async def test_all_or_nothing_with_every_problem(sender: FakeSender) -> None:
    events = [
        usage_event(),
        usage_event(id="", source=None),
        usage_event(time="2027-01-01T00:00:00Z", data={"model": "m"}),
        7,
    ]
    problem = await refusal(door(sender), orjson.dumps(events))
    assert problem.status_code == 422
    assert errors(problem) == [(1, "id"), (1, "source"), (2, "time"), (2, "data.tokens"), (3, "")]
    assert sender.sent == []


async def test_every_problem_of_one_event(sender: FakeSender) -> None:
    """Also those of its time and for its meters, where other members are wrong already."""
    event = usage_event("", id=7, time="noon", data={"tokens": "x"})
    assert errors(await refusal(door(sender), orjson.dumps(event))) == [
        (0, "id"), (0, "subject"), (0, "time"), (0, "data.tokens"),
    ]  # fmt: skip
    untyped = usage_event(type=7, time=8, data={"tokens": "x"})
    assert errors(await refusal(door(sender), orjson.dumps(untyped))) == [(0, "type"), (0, "time")]


async def test_the_window_of_the_door(sender: FakeSender) -> None:
    await door(sender).take(orjson.dumps(usage_event(time="2026-11-02T12:00:00Z")))
    assert errors(await refusal(door(sender), orjson.dumps(usage_event(time="2026-11-02T12:00:01Z")))) == [(0, "time")]


@pytest.mark.parametrize("body", [b"", b"{", b"[{}", b"nonsense", b"\xff", b"[" * 100_000, b'[{"a":1},]'])
async def test_a_body_that_is_no_json(sender: FakeSender, body: bytes) -> None:
    assert (await refusal(door(sender), body)).status_code == 422
    assert sender.sent == []


async def test_too_many_events(sender: FakeSender) -> None:
    problem = await refusal(door(sender, events_max=2), orjson.dumps([usage_event()] * 3))
    assert problem.status_code == 413


@pytest.mark.parametrize(("requests_max", "waits", "status"), [(0, None, 429), (1, "a catalog", 503)])
async def test_come_again(sender: FakeSender, requests_max: int, waits: str | None, status: int) -> None:
    found = door(sender, requests_max=requests_max, waits=waits)
    problem = await refusal(found, orjson.dumps(usage_event()))
    assert (problem.status_code, problem.kind.retry_after_s) == (status, 1)


async def test_a_broker_that_is_away(sender: FakeSender) -> None:
    sender.away = True
    found = door(sender)
    problem = await refusal(found, orjson.dumps(usage_event()))
    assert (problem.status_code, problem.kind.retry_after_s) == (503, 1)
    sender.away = False
    assert await found.take(orjson.dumps(usage_event())) == 1, "the place is free again"


def test_events_are_cut_out_as_they_are() -> None:
    assert split_events(b' [ {"a": 1.0} ,{"b":"]"}] ') == [b'{"a": 1.0}', b'{"b":"]"}']
    assert split_events(b"[]") == []


def test_now_is_noon() -> None:
    assert NOON % 86_400 == 43_200
