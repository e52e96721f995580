"""`GET /v1/stream`: server-sent events, and the task that makes the frames.

Frames: `hello {as_of, catalog_version}`, `totals`, `alert` (with an id), `pipeline`, `ping {as_of, freshness_s}` when
silent, `reload {reason}` where a reader cannot go on from where it was.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from functools import partial
from typing import Annotated, Any

import anyio
import orjson
from litestar import Request, get
from litestar.response import Stream

from billing.api.alert_feed import Alert, CursorLost
from billing.api.described import described
from billing.api.hub import PING_INTERVAL_S, TOPICS, Hub, TooManyViewers, Viewer, Window, encode_frame
from billing.api.parameters import OfCustomer, State, number, parameter, read_choice, read_limit
from billing.api.problem_types import TOO_MANY_STREAMS
from billing.api.problems import Problem, invalid
from billing.api.ranks import CursorInvalid
from billing.api.services import Services
from billing.domain.timestamps import time_text
from billing.rows import STATES, Row, Snapshot, matches, totals_frame

FRAME_INTERVAL_S = 0.25
TURNS_A_SECOND = round(1 / FRAME_INTERVAL_S)
REPLAYED_MAX = 1_000
TOP_MAX = 500
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
STREAM = described(
    None,
    "stream",
    TOO_MANY_STREAMS,
    media_type="text/event-stream",
    tagged=False,
    about="Server-sent events, for as long as the reader stays.",
)


class Publisher:
    """Makes the frames that somebody looks at, each encoded once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._hub: Hub = services.hub
        self._shown: dict[Window, bytes] = {}
        self._looking: asyncio.Task[bool] | None = None

    def tell(self, alert: Alert) -> None:
        """A new alert goes out at once."""
        frame = encode_frame("alert", alert.body, number=self._services.feed.position())
        self._hub.tell_alert(alert.customer, frame)

    async def run(self) -> None:
        """For ever: at most four totals frames and one pipeline frame a second."""
        clock_s = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as tasks:
            for turn in itertools.count():
                again_s = clock_s() + FRAME_INTERVAL_S
                windows = self._hub.windows
                self._services.standings.watch(bool(windows))
                await self._look_again(tasks, windows)
                self._show_all(windows, a_second_began=turn % TURNS_A_SECOND == 0)
                await asyncio.sleep(max(0.0, again_s - clock_s()))

    async def _look_again(self, tasks: asyncio.TaskGroup, windows: Iterable[Window]) -> None:
        """Who is looked at is read again; where Redis takes too long for that, all else goes on."""
        standings = self._services.standings
        names = {row.customer.id for window in windows for row in select(standings.snapshot, window)}
        if names and (self._looking is None or self._looking.done()):
            look = self._services.waiting.patience("redis")(partial(standings.look_again, names))
            self._looking = tasks.create_task(look)
        if self._looking is not None and not self._looking.done():
            await asyncio.wait([self._looking], timeout=FRAME_INTERVAL_S)

    def _show_all(self, windows: Collection[Window], *, a_second_began: bool) -> None:
        for window in windows:
            self._show_totals(window, again=window.customer is not None and a_second_began)
        self._shown = {window: shown for window, shown in self._shown.items() if window in windows}
        if a_second_began and self._hub.wants("pipeline"):
            self._hub.show_pipeline(encode_frame("pipeline", describe_pipeline(self._services)))

    def _show_totals(self, window: Window, *, again: bool) -> None:
        """Where values changed; else only `again` (one customer's data has an age of its own), or if nobody got any."""
        standings, status = self._services.standings, self._services.status
        if not standings.snapshot.as_of_ms:
            return
        rows, holds = select(standings.snapshot, window), self._hub.holds(window)
        newest = standings.newest(rows)
        if newest is None and holds:
            return  # a frame of now would be older than the one before
        as_of_ms, rows = newest or (standings.snapshot.as_of_ms, rows)
        currencies = standings.snapshot.currencies()
        frame = totals_frame(as_of_ms, rows, currencies, status.freshness_s())
        values = orjson.dumps([frame["rows"], currencies])
        if window.customer is not None:
            frame["lag_s"] = status.freshness_s(self._services.bucket_of(window.customer))
        if again or not holds or self._shown.get(window) != values:
            self._shown[window] = values
            self._hub.show_totals(window, encode_frame("totals", frame))


def select(snapshot: Snapshot, window: Window) -> Sequence[Row]:
    """The rows of a window, in the order of the snapshot."""
    if window.customer is None:
        return snapshot.in_state(window.state)[: window.top]
    row = snapshot.of(window.customer)
    return () if row is None or not matches(row, state=window.state, currency=None, search=None) else (row,)


def describe_pipeline(services: Services) -> dict[str, Any]:
    """`GET /v1/pipeline`."""
    return services.status.view() | {"as_of": time_text(services.clock.now_ms() * 1_000)}


def stream_route(services: Services) -> Any:
    """The route handler of the stream."""

    @get("/v1/stream", opt=STREAM)
    async def stream(
        request: Request[Any, Any, Any],
        topics: Annotated[
            str | None,
            parameter("some of totals, alerts and pipeline, separated by commas; all if absent", example="alerts"),
        ] = None,
        customer: OfCustomer = None,
        standing: State = None,
        top: Annotated[str | None, number("how many rows of totals", most=TOP_MAX, default=50)] = None,
    ) -> Stream:
        """What changes, as it changes. With `Last-Event-ID` no alert is missed."""
        chosen = frozenset(topics.split(",")) if topics else TOPICS
        if unknown := chosen - TOPICS:
            raise invalid("topics", f"names {', '.join(sorted(unknown))}; there are {', '.join(sorted(TOPICS))}")
        window = Window(
            customer or None,
            read_choice("state", standing, STATES),
            read_limit(top, default=50, most=TOP_MAX, name="top"),
        )
        if len(services.hub) >= services.config.viewers_max:
            raise Problem(TOO_MANY_STREAMS, TOO_MANY_STREAMS.example)
        frames = _frames(services, chosen, window, request.headers.get("last-event-id"))
        return Stream(frames, media_type="text/event-stream", headers=HEADERS)

    return stream


async def _frames(
    services: Services, topics: frozenset[str], window: Window, last_id: str | None
) -> AsyncGenerator[bytes, None]:
    """To begin with, pings until the alerts so far are known: else none could tell which of them a reader missed."""
    while not (services.feed.complete.is_set() or services.hub.closed):
        yield _ping(services)
        with anyio.move_on_after(PING_INTERVAL_S):
            await services.feed.complete.wait()
    try:
        viewer: Viewer = services.hub.join(topics, window)
    except TooManyViewers:
        yield encode_frame("reload", {"reason": "as many streams are open as are allowed"})
        return
    try:
        yield _greet(services, topics, window, last_id)
        async for frames in services.hub.frames(viewer, lambda: _ping(services)):
            yield frames
    finally:
        services.hub.leave(viewer)


def _greet(services: Services, topics: frozenset[str], window: Window, last_id: str | None) -> bytes:
    """`hello`, and the alerts since `last_id`. Only what ends the replay carries an id: cut short, it begins again."""
    content = {"as_of": _now(services), "catalog_version": services.facts.version}
    position = services.feed.position()
    if not last_id or "alerts" not in topics:
        return encode_frame("hello", content, number=position)
    hello = encode_frame("hello", content)
    try:
        page = services.feed.after(last_id, customer=window.customer, limit=REPLAYED_MAX)
    except (CursorInvalid, CursorLost):
        return hello + encode_frame("reload", {"reason": "alerts since then are no longer kept"}, number=position)
    if page.next is not None:
        return hello + encode_frame("reload", {"reason": "too many alerts since then"}, number=position)
    missed = [encode_frame("alert", alert.body) for alert in page.alerts[:-1]]
    missed += [encode_frame("alert", alert.body, number=position) for alert in page.alerts[-1:]]
    return hello + b"".join(missed)


def _ping(services: Services) -> bytes:
    return encode_frame("ping", {"as_of": _now(services), "freshness_s": services.status.freshness_s()})


def _now(services: Services) -> str:
    return time_text(services.clock.now_ms() * 1_000)
