"""`POST /v1/events`: the door. All or nothing, and 202 only when the broker has acknowledged all of it.

A request is cut into the raw bytes of its events; each is decoded and checked once, and goes into the log as it came
(with the arrival as its `time` where it has none).
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, Response, post

from billing.api.described import described
from billing.api.problem_types import (
    INVALID_BODY,
    INVALID_EVENTS,
    KAFKA_AWAY,
    NOT_READY,
    REQUEST_TOO_LARGE,
    TOO_MANY_EVENTS,
    TOO_MANY_REQUESTS,
    UNSUPPORTED_MEDIA_TYPE,
)  # fmt: skip
from billing.api.problems import Problem
from billing.api.shapes import Accepted
from billing.domain.json_text import JsonProblem, check_depth
from billing.domain.problems import InvalidEvent
from billing.domain.problems import Problem as FieldProblem
from billing.domain.timestamps import time_text
from billing.domain.usage import DOOR_GRACE_S, EVENT_BYTES_MAX, UsageEvent, decode, decode_what_fits, moment_us
from engine import Clock, Headers, Message, Sender, Unanswered

CONTENT_TYPES = frozenset({"application/json", "application/cloudevents+json", "application/cloudevents-batch+json"})
TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
TRACE_STATE_MAX = 512
PROBLEMS_MAX = 10_000
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may hold, how many may be under way, and how long one waits for the broker."""

    events_max: int
    requests_max: int
    horizon_d: int
    timeout_s: float = 10.0


class Door:
    """Checks events and sends them. `check_meters` raises InvalidEvent where a meter cannot read an event."""

    def __init__(
        self,
        sender: Sender,
        topic: str,
        limits: Limits,
        clock: Clock,
        *,
        check_meters: Callable[[UsageEvent, int], None],
        waits_for: Callable[[], str | None],
    ) -> None:
        self._sender = sender
        self._topic = topic
        self._limits = limits
        self._clock = clock
        self._check_meters = check_meters
        self._waits_for = waits_for
        self._under_way = 0
        self.accepted = 0
        self.refused: Counter[int] = Counter()
        """Requests that were turned away here, by status: how many events they held is not always known."""

    async def take(self, body: bytes, headers: Headers = ()) -> int:
        """The number of events that are in the log now, each with these headers.

        Raises:
            Problem: 413, 422, 429 or 503; then nothing may be taken for granted but that sending again is safe.
        """
        try:
            return await self._take(body, headers)
        except Problem as problem:
            self.refused[problem.status_code] += 1
            raise

    async def _take(self, body: bytes, headers: Headers) -> int:
        if self._under_way >= self._limits.requests_max:
            text = f"{self._under_way} requests are under way, BILLING_REQUESTS_MAX allows no more"
            raise Problem(TOO_MANY_REQUESTS, text)
        if reason := self._waits_for():
            raise Problem(NOT_READY, f"not ready: waiting for {reason}")
        self._under_way += 1
        try:
            messages = self._check(split_events(body), tuple(headers))
            async with asyncio.timeout(self._limits.timeout_s):
                await self._sender.send(messages)
        except (Unanswered, TimeoutError) as error:
            raise Problem(KAFKA_AWAY, KAFKA_AWAY.example) from error
        finally:
            self._under_way -= 1
        self.accepted += len(messages)
        return len(messages)

    def _check(self, events: Sequence[bytes], headers: Headers) -> list[Message]:
        if len(events) > self._limits.events_max:
            text = f"{len(events)} events in one request; at most {self._limits.events_max} are taken"
            raise Problem(TOO_MANY_EVENTS, text)
        arrival_ms = self._clock.now_ms()
        messages = []
        errors: list[dict[str, Any]] = []
        for index, raw in enumerate(events):
            try:
                messages.append(self._admit(raw, arrival_ms, headers))
            except InvalidEvent as error:
                errors += [
                    {"index": index, "field": problem.field, "problem": problem.message} for problem in error.problems
                ]
        if errors:
            count = len({error["index"] for error in errors})
            text = f"{count} of {len(events)} events cannot be counted; nothing was written"
            raise Problem(INVALID_EVENTS, text, errors=errors[:PROBLEMS_MAX])
        return messages

    def _admit(self, raw: bytes, arrival_ms: int, headers: Headers) -> Message:
        try:
            event = decode(raw)
        except InvalidEvent as error:
            fits = decode_what_fits(raw)
            raise InvalidEvent((*error.problems, *(self._problems(fits, arrival_ms) if fits else ()))) from None
        if problems := self._problems(event, arrival_ms):
            raise InvalidEvent(problems)
        return Message(self._topic, event.subject.encode(), _stamp(raw, event, arrival_ms), tuple(headers))

    def _problems(self, event: UsageEvent, arrival_ms: int) -> list[FieldProblem]:
        """Of its time, and of what meters want to read."""
        problems: list[FieldProblem] = []
        for check in (
            lambda: moment_us(event, arrival_ms, horizon_d=self._limits.horizon_d, grace_s=DOOR_GRACE_S),
            lambda: self._check_meters(event, arrival_ms),
        ):
            try:
                check()
            except InvalidEvent as error:
                problems += error.problems
        return problems


def split_events(body: bytes) -> Sequence[bytes]:
    """The raw bytes of each event of a request: one object, or an array of them.

    Raises:
        Problem: 422, the body is no JSON at all.
    """
    try:
        check_depth(body)
        return [bytes(raw) for raw in _split(body)] if body.lstrip()[:1] == b"[" else [body.strip()]
    except (JsonProblem, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = {"index": None, "field": "", "problem": str(error)}
        raise Problem(INVALID_BODY, f"the body is not JSON: {error}", errors=[problem]) from error


def _stamp(raw: bytes, event: UsageEvent, arrival_ms: int) -> bytes:
    """The event with its arrival as `time` where it has none; as it came where that would make it too long."""
    if event.time is not None:
        return raw
    stamped = b'%s,"time":"%s"}' % (raw.rstrip()[:-1].rstrip(), time_text(arrival_ms * 1000).encode())
    return stamped if len(stamped) <= EVENT_BYTES_MAX and b'"time"' not in raw else raw


def trace_of(headers: Mapping[str, str]) -> tuple[tuple[str, bytes], ...]:
    """The W3C trace context of a request, for its records; none where it is not one."""
    parent, state = headers.get("traceparent"), headers.get("tracestate")
    if parent is None or not TRACE_PARENT.fullmatch(parent):
        return ()
    named = (("traceparent", parent.encode()),)
    return (*named, ("tracestate", state.encode())) if state and len(state) <= TRACE_STATE_MAX else named


TAKING = described(
    Accepted,
    "accepted",
    *(INVALID_EVENTS, INVALID_BODY, REQUEST_TOO_LARGE, TOO_MANY_EVENTS, UNSUPPORTED_MEDIA_TYPE, TOO_MANY_REQUESTS),
    *(NOT_READY, KAFKA_AWAY),
    status=202,
    about="The broker has acknowledged all of them.",
    tagged=False,
    takes=tuple(sorted(CONTENT_TYPES)),
)


def ingest_route(door: Door, *, bytes_max: int) -> Any:
    """The route handler."""

    @post("/v1/events", status_code=202, request_max_body_size=bytes_max, media_type="application/json", opt=TAKING)
    async def take_events(request: Request[Any, Any, Any]) -> Response[dict[str, int]]:
        """Takes one CloudEvent or an array of them, all or nothing.

        202 once the broker has acknowledged all of them; 422 lists every problem by index and field and nothing was
        written. Sending the same events again is always safe: an event's identity is (source, id) of its subject.
        """
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in CONTENT_TYPES:
            text = f"content type {content_type or 'missing'}: send one of {', '.join(sorted(CONTENT_TYPES))}"
            raise Problem(UNSUPPORTED_MEDIA_TYPE, text)
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Problem(UNSUPPORTED_MEDIA_TYPE, "compressed requests are not taken")
        accepted = await door.take(await request.body(), trace_of(request.headers))
        return Response({"accepted": accepted}, status_code=202)

    return take_events
