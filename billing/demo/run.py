"""What the demo does while the system runs: sends through the API, shows what happens, waits for the last event."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from billing.demo.screen import Screen, StepFailed
from billing.demo.show import alert_line, status_lines
from billing.load import Sendable, Sent

BATCH_TYPE = "application/cloudevents-batch+json"
LOOK_S = 0.5
RATE_OVER_LOOKS = 10
"""The rate that is shown is that of the last five seconds: a load in bursts has no other."""
PATIENCE_S = 60.0
"""After so long without any progress the demo gives up and says what stands still."""
BACKOFF_S = 0.25


class ApiClient:
    """The demo's own API over HTTP."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def post(self, batch: Sequence[Sendable]) -> None:
        """Returns when the batch is accepted; sends it again until it is. Raises StepFailed: refused for good."""
        body = b"[" + b",".join(one.value for one in batch) + b"]"
        loop = asyncio.get_running_loop()
        gives_up_s = loop.time() + PATIENCE_S
        while True:
            try:
                response = await self._client.post("/v1/events", content=body, headers={"content-type": BATCH_TYPE})
                reason = f"{response.status_code} {response.text[:300]}"
                if response.status_code == httpx.codes.ACCEPTED:
                    return
                if response.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
                    raise StepFailed(f"the API refuses what it should take: {reason}")
            except httpx.TransportError as error:
                reason = f"{type(error).__name__} {error}"
            if loop.time() > gives_up_s:
                raise StepFailed(f"the API does not take events: {reason}")
            await asyncio.sleep(BACKOFF_S)

    async def get(self, path: str) -> dict[str, Any] | None:
        """None: not now."""
        try:
            response = await self._client.get(path)
        except httpx.TransportError:
            return None
        if response.status_code != httpx.codes.OK:
            return None
        answer: dict[str, Any] = response.json()
        return answer


def all_owned(pipeline: Mapping[str, Any] | None) -> bool:
    """Whether every partition has a worker and it is known how far they are."""
    partitions = (pipeline or {}).get("partitions") or ()
    return bool(partitions) and all(one.get("worker") and one.get("lag") is not None for one in partitions)


def counters_of(pipeline: Mapping[str, Any] | None) -> dict[str, int]:
    """How many events had which outcome, over the lifetime of the state."""
    return dict((pipeline or {}).get("counters") or {})


@dataclass(slots=True, kw_only=True)
class Watch:
    """Shows what happens until it is cancelled. `before`: the counters when nothing was sent yet."""

    api: ApiClient
    screen: Screen
    sent: Sent
    check: Callable[[], None]
    now_s: Callable[[], float]
    began_s: float
    before: Mapping[str, int]
    looks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RATE_OVER_LOOKS))
    """When it looked, and how many events were done."""
    seen: set[str] = field(default_factory=set)
    cursor: str | None = None

    async def run(self) -> None:
        """Raises StepFailed if a process has ended."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        self.check()
        pipeline = await self.api.get("/v1/pipeline")
        overview = await self.api.get("/v1/overview")
        await self._show_alerts()
        if pipeline is not None:
            now_s = self.now_s()
            counters = less(counters_of(pipeline), self.before)
            self.looks.append((now_s, sum(counters.values())))
            shown = {"counters": counters, "events_per_s": self._rate(), "latency_s": pipeline.get("latency_s")}
            self.screen.status(*status_lines(now_s - self.began_s, self.sent.events, shown, overview))

    def _rate(self) -> float:
        """Events a second over the last looks."""
        (first_s, first), (last_s, last) = self.looks[0], self.looks[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0

    async def _show_alerts(self) -> None:
        """An alert is shown once: the last page comes again until it is full."""
        while True:
            page = await self.api.get(f"/v1/alerts?since={self.cursor}" if self.cursor else "/v1/alerts")
            for alert in page["data"] if page else ():
                if alert["id"] not in self.seen:
                    self.seen.add(alert["id"])
                    self.screen.line(alert_line(alert, datetime.fromisoformat(alert["time"]).astimezone()))
            if not page or page["next"] is None:
                return
            self.cursor = page["next"]


def less(counters: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """What was added since."""
    return {name: count - before.get(name, 0) for name, count in counters.items()}


async def wait_until_counted(api: ApiClient, check: Callable[[], None], *, sent: int, before: Mapping[str, int]) -> int:
    """Returns when all that was sent is counted and nothing of the log is missing; how many were missing at first.

    The lag alone does not tell: it may be that of a moment before the last event was sent.

    Raises:
        StepFailed: nothing has moved for PATIENCE_S.
    """
    loop = asyncio.get_running_loop()
    first: int | None = None
    least, moved_s = None, loop.time()
    while True:
        check()
        pipeline = await api.get("/v1/pipeline")
        lag = None if pipeline is None else pipeline["lag"]
        if lag is not None:
            missing = max(lag, sent - sum(less(counters_of(pipeline), before).values()))
            first = missing if first is None else first
            if missing == 0:
                return first
            if least is None or missing < least:
                least, moved_s = missing, loop.time()
        if loop.time() - moved_s > PATIENCE_S:
            held = [one["held_back_by"] for one in (pipeline or {}).get("partitions", ()) if one.get("held_back_by")]
            raise StepFailed(f"{least} events are not counted and nothing moves; held back by: {held or 'unknown'}")
        await asyncio.sleep(0.1)
