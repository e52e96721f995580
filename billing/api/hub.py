"""Viewers of the stream: who gets which frame, each bounded, and nobody waits for a slow one.

`totals` and `pipeline` frames are whole, so a viewer keeps only the newest of each; alerts queue up to a bound, past
which the viewer is told to reload. A frame is encoded once, whoever gets it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

ALERTS_QUEUED_MAX = 200
PING_INTERVAL_S = 5.0
TOPICS = frozenset({"totals", "alerts", "pipeline"})


class Window(NamedTuple):
    """Which rows of the totals a viewer looks at; viewers with the same window share their frames."""

    customer: str | None = None
    state: str | None = None
    top: int = 50


def encode_frame(event: str, content: Mapping[str, Any] | bytes, *, number: str | None = None) -> bytes:
    """One server-sent event; `content` as a dict or as JSON already; `number` is its id."""
    data = content if isinstance(content, bytes) else orjson.dumps(content)
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {event}\n".encode() + b"data: " + data.replace(b"\n", b" ") + b"\n\n"


@dataclass(eq=False, slots=True)
class Viewer:
    """One open stream."""

    topics: frozenset[str]
    window: Window
    newest: dict[str, bytes] = field(default_factory=dict)
    alerts: deque[bytes] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False
    """More alerts came than were taken: the stream can't go on without a gap."""

    def show(self, topic: str, frame: bytes) -> None:
        self.newest[topic] = frame
        self.wake.set()

    def tell(self, frame: bytes) -> None:
        if len(self.alerts) >= ALERTS_QUEUED_MAX:
            self.lost = True
        else:
            self.alerts.append(frame)
        self.wake.set()

    def take(self) -> bytes:
        """Everything that waits, in one piece; empty if nothing does."""
        self.wake.clear()
        frames = b"".join((*self.alerts, *self.newest.values()))
        self.alerts.clear()
        self.newest.clear()
        return frames


class TooManyViewers(Exception):
    """The configured number of streams is open already."""


class Hub:
    """All viewers. Call it from the event loop only."""

    def __init__(self, *, viewers_max: int) -> None:
        self._viewers_max = viewers_max
        self._viewers: set[Viewer] = set()
        self._last: dict[tuple[str, Window | None], bytes] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._viewers)

    @property
    def windows(self) -> frozenset[Window]:
        """The windows that somebody looks at."""
        return frozenset(viewer.window for viewer in self._viewers if "totals" in viewer.topics)

    def wants(self, topic: str) -> bool:
        return any(topic in viewer.topics for viewer in self._viewers)

    def join(self, topics: Iterable[str], window: Window) -> Viewer:
        """Raises TooManyViewers."""
        if len(self._viewers) >= self._viewers_max:
            raise TooManyViewers
        viewer = Viewer(frozenset(topics), window)
        self._viewers.add(viewer)
        for (topic, shown), frame in self._last.items():
            if topic in viewer.topics and shown in (None, window):
                viewer.show(topic, frame)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        looked_at = self.windows
        for key in [key for key in self._last if key[1] is not None and key[1] not in looked_at]:
            del self._last[key]

    def holds(self, window: Window) -> bool:
        """Whether there is a frame for who comes to this window: it goes with the last who looked at it."""
        return ("totals", window) in self._last

    def show_totals(self, window: Window, frame: bytes) -> None:
        self._last["totals", window] = frame
        for viewer in self._viewers:
            if "totals" in viewer.topics and viewer.window == window:
                viewer.show("totals", frame)

    def show_pipeline(self, frame: bytes) -> None:
        self._last["pipeline", None] = frame
        for viewer in self._viewers:
            if "pipeline" in viewer.topics:
                viewer.show("pipeline", frame)

    def tell_alert(self, customer: str, frame: bytes) -> None:
        for viewer in self._viewers:
            if "alerts" in viewer.topics and viewer.window.customer in (None, customer):
                viewer.tell(frame)

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Ends every stream; the API is about to stop."""
        self._closed = True
        for viewer in self._viewers:
            viewer.wake.set()

    async def frames(self, viewer: Viewer, ping: Callable[[], bytes]) -> AsyncIterator[bytes]:
        """What goes out to `viewer`, until the hub closes; a ping where nothing came for a while."""
        while not self.closed:
            try:
                async with asyncio.timeout(PING_INTERVAL_S):
                    await viewer.wake.wait()
            except TimeoutError:
                yield ping()
                continue
            if self.closed:
                return  # type: ignore[unreachable]  # closed while it waited
            frames = viewer.take()
            if viewer.lost:
                yield frames + encode_frame("reload", {"reason": "more alerts came than this stream could take"})
                return
            yield frames
