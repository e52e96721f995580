"""Viewers of `GET /v1/stream` without a page: raw connections that read every frame, and check what they read.

They fold frames as the page does: a row replaces what was known of its customer. A frame that is no whole JSON, or
whose time lies before that of the one before, is a fault.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode, urlsplit

import orjson

from billing.domain.timestamps import parse_time_us
from perf.harness.checks import CheckFailed

EVENTS = frozenset({"hello", "ping", "totals", "alert", "pipeline"})
"""`reload` is not among them: no viewer here is slow."""

GREETED_S = 30.0

Answer = TypeVar("Answer")


class Look(NamedTuple):
    """What a viewer asks for: 50 rows of everybody, of a state, or one customer."""

    customer: str | None = None
    state: str | None = None
    top: int = 50

    @property
    def path(self) -> str:
        query: dict[str, Any] = {"topics": "totals,alerts,pipeline", "top": self.top}
        for name in ("customer", "state"):
            if (value := getattr(self, name)) is not None:
                query[name] = value
        return f"/v1/stream?{urlencode(query)}"


class Frame(NamedTuple):
    """One frame of `length` bytes, read at `read_us`; `as_of_us` is what it says of itself."""

    event: str
    length: int
    read_us: int
    as_of_us: int | None


class StreamViewer(asyncio.Protocol):
    """One open stream."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.frames: list[Frame] = []
        self.rows: dict[str, dict[str, Any]] = {}
        self.largest: bytes = b""
        """The longest frame of totals."""
        self.received_bytes = 0
        self.greeted = asyncio.Event()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._raw = b""
        self._text = b""
        self._headed = False
        self._newest_us: Counter[str] = Counter()
        self._alerts: set[str] = set()

    def connection_made(self, transport: Any) -> None:
        host = "{}:{}".format(*transport.get_extra_info("peername"))
        transport.write(f"GET {self.look.path} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        read_us = time.time_ns() // 1_000
        self._raw += data
        try:
            if self._headed or self._take_head():
                self.received_bytes += len(data)
                self._take_chunks(read_us)
        except (CheckFailed, LookupError, ValueError) as error:
            self._end(error if isinstance(error, CheckFailed) else CheckFailed(f"{self.look.path}: {error!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(CheckFailed(f"the stream {self.look.path} ended: {exc}"))

    def _end(self, error: Exception) -> None:
        if not self.ended.done():
            self.ended.set_exception(error)

    def _take_head(self) -> bool:
        head, found, rest = self._raw.partition(b"\r\n\r\n")
        if found:
            if not head.startswith(b"HTTP/1.1 200 ") or b"chunked" not in head.lower():
                raise CheckFailed(f"the stream answered {head[:200]!r}")
            self._headed, self._raw = True, rest
        return bool(found)

    def _take_chunks(self, read_us: int) -> None:
        while True:
            size_text, found, rest = self._raw.partition(b"\r\n")
            if not found or len(rest) < (size := int(size_text, 16)) + 2:
                break
            self._text += rest[:size]
            self._raw = rest[size + 2 :]
        *frames, self._text = self._text.split(b"\n\n")
        for frame in frames:
            self._take_frame(frame + b"\n\n", read_us)

    def _take_frame(self, frame: bytes, read_us: int) -> None:
        fields = dict(line.split(b": ", 1) for line in frame.splitlines() if line)
        event = fields[b"event"].decode()
        try:
            content = orjson.loads(fields[b"data"])
        except orjson.JSONDecodeError as error:
            raise CheckFailed(f"a frame {event} cannot be read: {error}") from error
        if event not in EVENTS:
            raise CheckFailed(f"{self.look.path} sent {event}: {content}")
        as_of_us = parse_time_us(content["as_of"]) if "as_of" in content else None
        if as_of_us is not None:
            if as_of_us < self._newest_us[event]:
                raise CheckFailed(f"a frame {event} of {content['as_of']} came after a newer one")
            self._newest_us[event] = as_of_us
        self.frames.append(Frame(event, len(frame), read_us, as_of_us))
        self._fold(event, frame, content)

    def _fold(self, event: str, frame: bytes, content: dict[str, Any]) -> None:
        if event == "hello":
            self.greeted.set()
        elif event == "totals":
            if len(content["rows"]) > self.look.top:
                raise CheckFailed(f"{len(content['rows'])} rows came, {self.look.top} were asked for")
            self.rows |= {row["customer"]: row for row in content["rows"]}
            self.largest = max(self.largest, frame, key=len)
        elif event == "alert":
            if content["id"] in self._alerts:
                raise CheckFailed(f"alert {content['id']} came twice")
            self._alerts.add(content["id"])


async def open_viewers(url: str, looks: Sequence[Look]) -> list[StreamViewer]:
    """All of them, greeted. Raises CheckFailed."""
    place, viewers = urlsplit(url), [StreamViewer(look) for look in looks]
    for viewer in viewers:
        await asyncio.get_running_loop().create_connection(lambda one=viewer: one, place.hostname, place.port)  # type: ignore[misc, arg-type]
        async with asyncio.timeout(GREETED_S):
            await ended_by(viewer.greeted.wait(), viewers)
    return viewers


async def ended_by(work: Coroutine[Any, Any, Answer], viewers: Sequence[StreamViewer]) -> Answer:
    """What `work` returns, unless a stream ends before. Raises CheckFailed."""
    working = asyncio.ensure_future(work)
    futures: list[asyncio.Future[Any]] = [working, *(each.ended for each in viewers)]
    try:
        done, _ = await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            future.result()
        return working.result()
    finally:
        working.cancel()
        await asyncio.wait([working])
