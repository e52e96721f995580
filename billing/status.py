"""The pipeline as people see it: sampled from the log's ends, the records in Redis and the workers' board.

One sampler for everybody. `fresh()` waits for a sample that began after the call, so that what was accepted before a
question is known when it is answered; it gives up after a moment, and then the age of what is known tells.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from billing.progress import Notice, PartitionTrack, Tracks
from engine import Clock, Unanswered

COUNTERS = {"counted": "counted", "unmetered": "unmetered", "duplicate": "duplicates_dropped", "dead": "dead_lettered"}
"""Counters of a slice and the names under which people know them."""
LANE_COUNTS = ("running", "ready", "deferred", "limit")
HISTORY_S = 300
SPACING_S = 0.02
"""From the beginning of a sample to that of the next at least: a burst of questions shares one, a single one waits for
nobody."""
ASK_S = 2.0
"""Whoever does not answer in so long is away, and keeps nobody from asking the others."""
STALE_MS = 3_000
"""An end of the log that was not asked for in so long is not known any more."""

logger = logging.getLogger("billing.status")


class Sources(Protocol):
    """What the status is made of."""

    async def ends(self) -> Mapping[int, int]:
        """The end of every partition of the topic, asked now. Raises Unanswered."""
        ...

    async def arrival_ms(self, partition: int, offset: int) -> int | None:
        """When the event at `offset`, or the next one after it, arrived. Raises Unanswered."""
        ...

    async def progress(self, partitions: int) -> Sequence[Any]:
        """The records of all slices. Raises Unanswered."""
        ...

    async def notices(self) -> Mapping[str, bytes]:
        """The workers' board. Raises Unanswered."""
        ...


class PipelineStatus:
    """Call `run` in a task group; everything else reads what it knows."""

    def __init__(
        self, sources: Sources, *, topic: str, clock: Clock, interval_s: float = 0.25, records_interval_s: float = 0.25
    ) -> None:
        self._sources = sources
        self._topic = topic
        self._clock = clock
        self._interval_s = interval_s
        self._records_interval_ms = records_interval_s * 1_000
        self._ends_at_ms = 0
        self._records_at_ms = 0
        self._tracks = Tracks()
        self._counters: dict[str, int] = dict.fromkeys(COUNTERS.values(), 0)
        self._history: deque[dict[str, Any]] = deque(maxlen=HISTORY_S)
        self._asked = asyncio.Event()
        self._begun = 0
        self._finished = 0
        self._sampled = asyncio.Condition()
        self.problems: dict[str, str] = {}
        """What could not be asked in the newest sample, and why."""

    async def run(self) -> None:
        """Samples for ever."""
        clock_s = asyncio.get_running_loop().time
        while True:
            again_s = clock_s() + SPACING_S
            self._asked.clear()
            self._begun += 1
            begun = self._begun
            await self._sample()
            async with self._sampled:
                self._finished = begun
                self._sampled.notify_all()
            await _wait(self._asked, self._interval_s)
            await asyncio.sleep(max(0.0, again_s - clock_s()))

    async def fresh(self, timeout_s: float = 0.5) -> bool:
        """Waits for a sample that begins after this call; False if none came in time."""
        wanted = self._begun + 1
        self._asked.set()
        try:
            async with asyncio.timeout(timeout_s), self._sampled:
                await self._sampled.wait_for(lambda: self._finished >= wanted)
        except TimeoutError:
            return False
        return True

    async def _sample(self) -> None:
        before_ms = self._clock.now_ms()
        await self._ask("the end of the log", self._sample_ends(before_ms))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ask("the workers' board", self._sample_notices()))
            if before_ms - self._records_at_ms >= self._records_interval_ms:
                tasks.create_task(self._ask("progress records", self._sample_records()))
        await self._ask("when the oldest events arrived", self._sample_arrivals())
        self._remember()

    async def _ask(self, what: str, question: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(ASK_S):
                await question
        except (Unanswered, TimeoutError) as error:
            reason = str(error) or f"no answer within {ASK_S:g} s"
            if what not in self.problems:
                logger.warning("%s cannot be asked: %s", what, reason)
            self.problems[what] = reason
        else:
            self.problems.pop(what, None)

    async def _sample_ends(self, before_ms: int) -> None:
        self._tracks.see_ends(before_ms, await self._sources.ends())
        self._ends_at_ms = before_ms

    async def _sample_arrivals(self) -> None:
        for number, offset in self._tracks.unknown(self._clock.now_ms()):
            arrival_ms = await self._sources.arrival_ms(number, offset)
            if arrival_ms is not None:
                self._tracks.partitions[number].beginning_ms = (offset, arrival_ms)

    async def _sample_records(self) -> None:
        count = max(self._tracks.partitions, default=-1) + 1
        if not count:
            return
        slices = await self._sources.progress(count)
        now_ms = self._clock.now_ms()
        self._records_at_ms = now_ms
        self._tracks.see_records(slices, now_ms)
        self._counters = {
            shown: sum(getattr(part.counters, name) for part in slices) for name, shown in COUNTERS.items()
        }

    async def _sample_notices(self) -> None:
        notices = []
        for name, raw in (await self._sources.notices()).items():
            try:
                content = orjson.loads(raw)
                content["partitions"] = [part for part in content["partitions"] if part["topic"] == self._topic]
                notices.append(Notice(name, int(content["time_ms"]), content))
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                logger.warning("the notice of worker %s cannot be read", name)
        self._tracks.see_notices(notices, self._clock.now_ms())

    def _remember(self) -> None:
        """One line of history a second."""
        now_ms = self._clock.now_ms()
        if self._history and now_ms // 1_000 == self._history[-1]["time_ms"] // 1_000:
            return
        lag, ends = self.lag(), self._ends()
        before = self._history[-1] if self._history else None
        came = None
        if before is not None and ends is not None and before["ends"] is not None:
            came = round(max(0, ends - before["ends"]) * 1_000 / max(1, now_ms - before["time_ms"]), 1)
        self._history.append(
            {
                "time_ms": now_ms,
                "ends": ends,
                "in_per_s": came,
                "events_per_s": self.events_per_s(),
                "lag": lag,
                "lag_s": self.freshness_s(),
            }
        )

    def _ends(self) -> int | None:
        ends = [track.ends.end for track in self._tracks.partitions.values()]
        return None if not ends or None in ends else sum(end for end in ends if end is not None)

    def lag_s(self, bucket: int, *, asked_ms: int) -> float | None:
        """An upper bound for the age of what was accepted by `asked_ms` and is not in the state of `bucket`.

        0 if there is no such event; where the log has not answered since then, the age of its last answer at least.
        """
        return self._bound_s(bucket, asked_ms)

    def reached(self, bucket: int) -> dict[int, int]:
        """By partition: the offset below which every event of the bucket is in the state."""
        now_ms = self._now_ms()
        return {number: track.counted_up_to(bucket, now_ms) for number, track in self._tracks.partitions.items()}

    def freshness_s(self, bucket: int | None = None) -> float | None:
        """The same as of the newest sample, over everything or of one bucket."""
        return self._bound_s(bucket, self._now_ms() - STALE_MS)

    def _bound_s(self, bucket: int | None, asked_ms: int) -> float | None:
        now_ms = self._now_ms()
        lag_ms = self._tracks.lag_ms(bucket, now_ms)
        if lag_ms is not None and self._ends_at_ms < asked_ms:
            lag_ms = max(lag_ms, now_ms - self._ends_at_ms)
        return _seconds(lag_ms)

    def _now_ms(self) -> int:
        """To begin with before anything is told of what was sampled."""
        now_ms = self._clock.now_ms()
        self._tracks.drop_old_notices(now_ms)
        return now_ms

    def _end(self, track: PartitionTrack, now_ms: int) -> int | None:
        return track.ends.end if now_ms - self._ends_at_ms <= STALE_MS else None

    def lag(self) -> int | None:
        """Events that are in the log and not done; None if that is not known of every partition."""
        now_ms = self._now_ms()
        lags = [_lag(track, self._end(track, now_ms), now_ms) for track in self._tracks.partitions.values()]
        return None if not lags or None in lags else sum(lag for lag in lags if lag is not None)

    def events_per_s(self) -> float:
        return round(sum(float(notice.content.get("events_per_s") or 0) for notice in self._tracks.notices), 1)

    @property
    def counters(self) -> Mapping[str, int]:
        """Over the lifetime of the state: counted, unmetered, duplicates_dropped, dead_lettered."""
        return self._counters

    @property
    def partition_count(self) -> int:
        return len(self._tracks.partitions)

    def history(self, seconds: int) -> list[dict[str, Any]]:
        """One entry a second, oldest first: time_ms, in_per_s, events_per_s (counted), lag, lag_s."""
        return [{name: value for name, value in line.items() if name != "ends"} for line in self._history][-seconds:]

    def view(self) -> dict[str, Any]:
        """`GET /v1/pipeline`."""
        now_ms = self._now_ms()
        notices = [notice.content for notice in self._tracks.notices]
        tracks = sorted(self._tracks.partitions.values(), key=lambda track: track.number)
        return {
            "partitions": [self._partition(track, now_ms) for track in tracks],
            "workers": len(notices),
            "events_per_s": self.events_per_s(),
            "in_per_s": self._history[-1]["in_per_s"] if self._history else None,
            "freshness_s": self.freshness_s(),
            "lag": self.lag(),
            "latency_s": _latency(notices),
            "lanes": _lanes(notices),
            "counters": self._counters,
            "durability": next((notice["durability"] for notice in notices if notice.get("durability")), None),
            "problems": [f"{what}: {why}" for what, why in self.problems.items()],
        }

    def _partition(self, track: PartitionTrack, now_ms: int) -> dict[str, Any]:
        notice: Mapping[str, Any] = track.notice or {}
        oldest_ms = notice.get("oldest_in_flight_ms")
        watermark, end = track.watermark(now_ms), self._end(track, now_ms)
        lag_ms = None if watermark is None or end is None else track.lag_ms(watermark, now_ms)
        return {
            "topic": self._topic,
            "partition": track.number,
            "worker": track.worker,
            "state": notice.get("state") or "unassigned",
            "lag": _lag(track, end, now_ms),
            "lag_s": _seconds(lag_ms),
            "in_flight": notice.get("in_flight", 0),
            "oldest_in_flight_s": None if oldest_ms is None else _seconds(max(0, now_ms - oldest_ms)),
            "watermark": watermark,
            "end": end,
            "held_back_by": notice.get("held_back_by"),
            "unstarted": notice.get("unstarted"),
            "paused": bool(notice.get("paused")),
            "parked": notice.get("parked") or [],
        }


def _lag(track: PartitionTrack, end: int | None, now_ms: int) -> int | None:
    watermark = track.watermark(now_ms)
    return None if watermark is None or end is None else max(0, end - watermark)


def _latency(notices: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Of the slowest worker: percentiles of several can't be put together."""
    latencies = [notice["latency_ms"] for notice in notices if notice.get("latency_ms")]
    return {
        name: _seconds(max((entry[name] for entry in latencies if entry.get(name) is not None), default=None))
        for name in ("p50", "p99")
    }


def _lanes(notices: Sequence[Mapping[str, Any]]) -> dict[str, int | bool]:
    """Over all workers; the breaker is open if that of any of them is."""
    lanes = [notice.get("lanes") or {} for notice in notices]
    counts = {name: sum(int(entry.get(name) or 0) for entry in lanes) for name in LANE_COUNTS}
    return counts | {"breaker_open": any(bool(entry.get("breaker_open")) for entry in lanes)}


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / 1_000, 3)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
