import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from billing.progress import NOTICE_VALID_MS
from billing.status import STALE_MS, PipelineStatus
from engine import Unanswered
from tests.unit.billing.fakes import FakeClock

TOPIC = "usage-events"


@dataclass(frozen=True)
class Counters:
    counted: int = 0
    unmetered: int = 0
    duplicate: int = 0
    dead: int = 0


@dataclass(frozen=True)
class Part:
    bucket: int
    partition: int
    low: int
    position: int
    counters: Counters = Counters()
    owing: bool = False


@dataclass
class FakeSources:
    clock: FakeClock
    log_ends: dict[int, int] = field(default_factory=lambda: {0: 10, 1: 0})
    parts: list[Part] = field(default_factory=lambda: [Part(0, 0, 10, 10, Counters(7, 1, 1, 1)), Part(0, 1, 0, 0)])
    board: dict[str, bytes] = field(default_factory=dict)
    kafka_away: bool = False
    board_away: bool = False
    asked: int = 0

    async def ends(self) -> Mapping[int, int]:
        self.asked += 1
        if self.kafka_away:
            raise Unanswered("away")
        return dict(self.log_ends)

    async def arrival_ms(self, partition: int, offset: int) -> int | None:
        return self.clock.now - 60_000

    async def progress(self, partitions: int) -> Sequence[Any]:
        return self.parts

    async def notices(self) -> Mapping[str, bytes]:
        if self.board_away:
            raise Unanswered("away")
        return self.board

    def post(self, name: str, *partitions: dict[str, Any], **more: Any) -> None:
        shown = [{"topic": TOPIC, "state": "running", "in_flight": 0} | part for part in partitions]
        self.board[name] = orjson.dumps({"time_ms": self.clock.now, "partitions": shown} | more)


@pytest.fixture
def sources() -> FakeSources:
    return FakeSources(FakeClock())


@pytest.fixture
async def status(sources: FakeSources) -> AsyncIterator[PipelineStatus]:
    found = PipelineStatus(sources, topic=TOPIC, clock=sources.clock, interval_s=60, records_interval_s=0)
    task = asyncio.ensure_future(found.run())
    assert await found.fresh()
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_nobody_owns_the_topic(status: PipelineStatus) -> None:
    view = status.view()
    assert view["workers"] == 0
    assert view["partitions"] == [
        {
            "topic": TOPIC, "partition": partition, "worker": None, "state": "unassigned", "lag": 0, "lag_s": 0.0,
            "in_flight": 0, "oldest_in_flight_s": None, "watermark": end, "end": end, "held_back_by": None,
            "unstarted": None, "paused": False, "parked": [],
        }
        for partition, end in ((0, 10), (1, 0))
    ]  # fmt: skip
    assert view["counters"] == {"counted": 7, "unmetered": 1, "duplicates_dropped": 1, "dead_lettered": 1}
    assert (view["freshness_s"], view["lag"]) == (0, 0)


async def test_what_is_asked_for_is_asked_anew(status: PipelineStatus, sources: FakeSources) -> None:
    sources.log_ends[0] = 25
    sources.clock.now += 2_000
    assert await status.fresh()
    assert (status.lag(), status.freshness_s(), status.lag_s(0, asked_ms=sources.clock.now)) == (15, 2.0, 2.0)


async def test_a_lag_that_is_older_than_the_samples_is_asked_of_the_log(
    status: PipelineStatus, sources: FakeSources
) -> None:
    sources.parts = [Part(0, 0, 4, 4), Part(0, 1, 0, 0)]
    assert await status.fresh()
    assert status.freshness_s() == 60.0


async def test_what_a_worker_says(status: PipelineStatus, sources: FakeSources) -> None:
    held = {"offset": 8, "key_hash": "ab", "age_s": 3.0, "attempts": 2, "reason": "retrying"}
    parked = [{"offset": 9, "key_hash": "cd", "events": 2, "reason": "parked after 6 attempts"}]
    sources.log_ends[0] = 12
    sources.post(
        "w1",
        {"partition": 0, "watermark": 8, "in_flight": 4, "held_back_by": held, "unstarted": 3, "parked": parked}
        | {"oldest_in_flight_ms": sources.clock.now - 3_000},
        {"partition": 0, "watermark": 99, "topic": "of another topic"},
        events_per_s=12.5, latency_ms={"p50": 20, "p99": 90},
        lanes={"running": 1, "ready": 2, "limit": 9, "deferred": 4, "breaker_open": True},
        durability="aof",
    )  # fmt: skip
    sources.post(
        "w2",
        {"partition": 1, "watermark": 0, "paused": True},
        events_per_s=1,
        latency_ms=None,
        lanes={"running": 0, "ready": 0, "limit": 9},
    )
    sources.board["torn"] = b"{"
    assert await status.fresh()
    view = status.view()
    first = view["partitions"][0]
    assert (view["workers"], view["events_per_s"], view["durability"]) == (2, 13.5, "aof")
    assert view["latency_s"] == {"p50": 0.02, "p99": 0.09}
    assert view["lanes"] == {"running": 1, "ready": 2, "deferred": 4, "limit": 18, "breaker_open": True}
    assert (first["unstarted"], first["paused"], first["parked"]) == (3, False, parked)
    second = view["partitions"][1]
    assert (second["unstarted"], second["paused"], second["parked"]) == (None, True, []), "an older worker says less"
    assert (first["worker"], first["state"], first["watermark"], first["lag"]) == ("w1", "running", 8, 4)
    assert (first["in_flight"], first["oldest_in_flight_s"], first["held_back_by"]) == (4, 3.0, held)


async def test_after_a_loss_what_must_be_read_again_is_shown(status: PipelineStatus, sources: FakeSources) -> None:
    sources.post("w1", {"partition": 0, "watermark": 10}, {"partition": 1, "watermark": 0})
    assert await status.fresh()
    assert status.lag() == 0
    sources.parts = [Part(0, 0, 0, 0), Part(0, 1, 0, 0)]
    assert await status.fresh()
    assert status.lag() == 10


async def test_kafka_away_is_named_and_lag_grows(status: PipelineStatus, sources: FakeSources) -> None:
    sources.log_ends[0] = 11
    assert await status.fresh()
    sources.kafka_away = True
    sources.clock.now += 5_000
    assert await status.fresh()
    assert status.problems == {"the end of the log": "away"}
    assert status.freshness_s() == 5.0
    sources.kafka_away = False
    assert await status.fresh()
    assert status.problems == {}


async def test_nobody_says_0_of_a_log_that_does_not_answer(status: PipelineStatus, sources: FakeSources) -> None:
    asked_ms = sources.clock.now
    assert await status.fresh()
    assert (status.lag(), status.lag_s(0, asked_ms=asked_ms), status.freshness_s()) == (0, 0, 0)
    sources.kafka_away = True
    sources.clock.now += 1_000
    assert await status.fresh()
    assert status.lag_s(0, asked_ms=sources.clock.now) == 1.0, "who knows what was accepted since then"
    sources.clock.now += STALE_MS
    assert await status.fresh()
    assert (status.lag(), status.freshness_s()) == (None, (1_000 + STALE_MS) / 1_000)
    assert {(part["end"], part["lag"], part["lag_s"]) for part in status.view()["partitions"]} == {(None, None, None)}
    assert [part["watermark"] for part in status.view()["partitions"]] == [10, 0]


async def test_a_board_that_cannot_be_read_keeps_no_worker_alive(status: PipelineStatus, sources: FakeSources) -> None:
    sources.post("w1", {"partition": 0, "watermark": 10}, events_per_s=5)
    assert await status.fresh()
    assert (status.view()["workers"], status.view()["partitions"][0]["worker"]) == (1, "w1")
    sources.board = {}
    sources.board_away = True
    sources.clock.now += NOTICE_VALID_MS + 1
    assert await status.fresh()
    view = status.view()
    assert (view["workers"], view["events_per_s"], view["partitions"][0]["state"]) == (0, 0, "unassigned")


async def test_a_server_that_hangs_hides_nothing_of_the_other(
    sources: FakeSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(partitions: int) -> Sequence[Any]:
        await asyncio.sleep(3600)
        return ()

    monkeypatch.setattr("billing.status.ASK_S", 0.01)
    monkeypatch.setattr(sources, "progress", hang)
    sources.post("w1", {"partition": 0, "watermark": 4})
    status = PipelineStatus(sources, topic=TOPIC, clock=sources.clock)
    task = asyncio.ensure_future(status.run())
    assert await status.fresh(timeout_s=5)
    assert status.problems == {"progress records": "no answer within 0.01 s"}
    shown = [(part["worker"], part["end"], part["lag"]) for part in status.view()["partitions"]]
    assert shown == [("w1", 10, 6), (None, 0, None)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_burst_of_questions_shares_samples(status: PipelineStatus, sources: FakeSources) -> None:
    before = sources.asked
    assert all(await asyncio.gather(*(status.fresh() for _ in range(100))))
    assert sources.asked - before <= 3


async def test_history_is_one_line_a_second(status: PipelineStatus, sources: FakeSources) -> None:
    for _ in range(3):
        sources.clock.now += 1_000
        sources.log_ends[0] += 50
        assert await status.fresh()
        assert await status.fresh()
    history = status.history(2)
    assert [line["in_per_s"] for line in history] == [50.0, 50.0]
    assert history[-1]["lag"] == 150
