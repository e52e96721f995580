"""A public trace through the API into Apache Kafka and Redis, under faults, against a plain dictionary.

Every cell, total, line of spend and alert is compared. The faults: a worker killed in the middle and started again;
Redis put back to an older copy of its append-only files; Redis emptied.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anyio.to_thread
import pytest
import redis.asyncio

from engine.embedded.redis import EmbeddedRedis
from tests.acceptance import trace
from tests.acceptance.harness import System
from tests.acceptance.trace import Expected, Group, Request

BATCH = 250
PAUSE_S = 0.03
ASKING_AT_ONCE = 16
SHOWN_MAX = 10

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(trace.missing_trace() is not None, reason=str(trace.missing_trace())),
]


class Replay:
    """One replay: the system, its Redis, and how many events were sent."""

    def __init__(self, system: System, server: EmbeddedRedis, requests: Sequence[Request], spare: Path) -> None:
        self.system = system
        self.server = server
        self.requests = requests
        self.spare = spare
        self.most_lag = 0
        self.lost = 0

    async def run(self, faults: dict[int, Callable[["Replay"], Any]]) -> None:
        """Sends everything; `faults`: after how many batches what happens."""
        for number, batch in enumerate(batches(self.requests)):
            if number in faults:
                await faults[number](self)
            await self.system.post([request.event() for request in batch])
            await asyncio.sleep(PAUSE_S)

    async def watch_lag(self, seconds: float) -> None:
        """The greatest lag that the pipeline shows in the next seconds."""
        for _ in range(int(seconds / 0.05)):
            self.most_lag = max(self.most_lag, await self.system.lag() or 0)
            await asyncio.sleep(0.05)


async def copy_redis(replay: Replay) -> None:
    await until(replay.system.counted, lambda counted: counted > 0)
    await anyio.to_thread.run_sync(replay.server.save_append_only, replay.spare)


async def roll_back_redis(replay: Replay) -> None:
    """What was acknowledged since the copy is lost."""
    await until(replay.system.lag, lambda lag: lag == 0)
    before = await replay.system.counted()
    server = replay.server
    await anyio.to_thread.run_sync(server.kill)
    await anyio.to_thread.run_sync(server.restore_append_only, replay.spare)
    await anyio.to_thread.run_sync(server.restart)
    await note_loss(replay, before)


async def empty_redis(replay: Replay) -> None:
    await until(replay.system.lag, lambda lag: lag == 0)
    before = await replay.system.counted()
    async with redis.asyncio.Redis.from_url(replay.server.url) as client:
        await client.flushall()
    await note_loss(replay, before)


async def note_loss(replay: Replay, before: int) -> None:
    """Counts the acknowledged events that are gone, as the records in Redis say."""
    least = before
    for _ in range(60):
        least = min(least, await replay.system.counted())
        replay.most_lag = max(replay.most_lag, await replay.system.lag() or 0)
        await asyncio.sleep(0.05)
    replay.lost = before - least
    print(f"acknowledged events lost in Redis: {replay.lost} of {before}; lag shown: {replay.most_lag}")


async def kill_worker(replay: Replay) -> None:
    await replay.system.kill("worker-1")
    await asyncio.sleep(0.5)
    replay.system.start("worker-1", "worker", "--name", "worker-1")


async def until(ask: Callable[[], Any], enough: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(60):
        while not enough(await ask()):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.05)


def batches(requests: Sequence[Request]) -> Iterable[Sequence[Request]]:
    return (requests[at : at + BATCH] for at in range(0, len(requests), BATCH))


def plan(fault: str, count: int) -> dict[int, Callable[[Replay], Any]]:
    """When what happens, in batches; a worker dies somewhere between 30 and 70 % of the load."""
    match fault:
        case "worker killed":
            return {random.Random(9).randrange(count * 3 // 10, count * 7 // 10): kill_worker}
        case "redis rolled back":
            return {count * 3 // 10: copy_redis, count * 6 // 10: roll_back_redis}
        case "redis emptied":
            return {count * 5 // 10: empty_redis}
        case _:
            raise AssertionError(fault)


@pytest.mark.parametrize("fault", ["worker killed", "redis rolled back", "redis emptied"])
async def test_the_trace_is_counted_exactly(
    fault: str, kafka_apache: str, new_name: Callable[[str], str], tmp_path: Path
) -> None:
    requests = trace.read_trace(datetime.now(UTC).replace(microsecond=0))
    assert len(requests) == trace.REQUESTS
    expected = trace.expect(requests)
    async with EmbeddedRedis() as server, System(
        kafka=kafka_apache, redis=server.url, name=new_name("replay"), catalog=trace.catalog()
    ) as system:  # fmt: skip
        await system.start_all()
        replay = Replay(system, server, requests, tmp_path / "older")
        await replay.run(plan(fault, -(-len(requests) // BATCH)))
        await system.until_counted(len(requests))
        compared, wrong = await compare(system, expected)
        print(f"{fault}: {compared} values compared, {len(wrong)} differ")
        assert wrong[:SHOWN_MAX] == []
        assert compared > 8_000
        code, answer = await system.audit()
        assert (code, answer["audit"], answer["events"]) == (0, "equal", len(requests)), answer
    if fault.startswith("redis"):
        assert replay.lost > 0
        assert replay.most_lag > 0


# -------------------------------------------------------------------- the comparison
async def compare(system: System, expected: Expected) -> tuple[int, list[str]]:
    """How many values were compared, and the ones that differ."""
    customers = sorted({place[0] for place in expected.cells})
    compared, wrong = 0, list[str]()
    async for place, said, wanted in _all_values(system, expected, customers):
        compared += 1
        if said != wanted:
            wrong.append(f"{place}: {said} instead of {wanted}")
    return compared, wrong


async def _all_values(
    system: System, expected: Expected, customers: Sequence[str]
) -> AsyncIterator[tuple[object, object, object]]:
    said_cells, said_months = await _usage(system, expected, customers)
    wanted_cells = {place: trace.figure(place[1], requests) for place, requests in expected.cells.items()}
    wanted_months = {place: trace.figure(place[1], requests) for place, requests in expected.months.items()}
    said_spend = await _spend(system, expected)
    wanted_spend = {(*place, line): amount for place, lines in expected.spend.items() for line, amount in lines.items()}
    wanted_spend |= {(*place, "total"): sum(lines.values(), Decimal(0)) for place, lines in expected.spend.items()}
    said_alerts = dict.fromkeys(await _alerts(system), 1)
    wanted_alerts = dict.fromkeys(expected.alerts, 1)
    pairs: Iterable[tuple[dict[Any, Any], dict[Any, Any]]] = (
        (said_cells, wanted_cells),
        (said_months, wanted_months),
        (said_spend, wanted_spend),
        (said_alerts, wanted_alerts),
    )
    for said, wanted in pairs:
        assert wanted
        for place in said.keys() | wanted.keys():
            yield place, said.get(place), wanted.get(place)


async def _usage(
    system: System, expected: Expected, customers: Sequence[str]
) -> tuple[dict[tuple[str, str, datetime, Group], Decimal], dict[tuple[str, str, str, Group], Decimal]]:
    """What the API says of hours and months, by the same places as expected."""
    times = [place[2] for place in expected.cells]
    first, last = min(times), max(times)
    cells: dict[tuple[str, str, datetime, Group], Decimal] = {}
    months: dict[tuple[str, str, str, Group], Decimal] = {}
    room = asyncio.Semaphore(ASKING_AT_ONCE)

    async def ask(customer: str, meter: str) -> None:
        zone = ZoneInfo(trace.zone_of(customer))
        days = [time.astimezone(zone).replace(hour=0, minute=0) for time in (first, last + timedelta(days=1))]
        edges = [day.replace(day=1) for day in (days[0], days[0].replace(day=1) + timedelta(days=63))]
        for window, (start, end) in (("hour", days), ("month", edges)):
            async with room:
                answer = await system.get(
                    f"/v1/customers/{customer}/usage",
                    meter=meter,
                    window=window,
                    group_by="model,region",
                    **{"from": start.isoformat(), "to": end.isoformat()},
                )
            for row in answer["data"]:
                group = (row["group"]["model"], row["group"]["region"])
                start_at = datetime.fromisoformat(row["start"])
                if window == "hour":
                    cells[customer, meter, start_at, group] = Decimal(row["value"])
                else:
                    months[customer, meter, f"{start_at.astimezone(zone):%Y-%m}", group] = Decimal(row["value"])

    async with asyncio.TaskGroup() as tasks:
        for customer, (meter, _, _) in itertools.product(customers, trace.METERS):
            tasks.create_task(ask(customer, meter))
    return cells, months


async def _spend(system: System, expected: Expected) -> dict[tuple[str, str, str], Decimal]:
    found: dict[tuple[str, str, str], Decimal] = {}
    room = asyncio.Semaphore(ASKING_AT_ONCE)

    async def ask(customer: str, month: str) -> None:
        async with room:
            answer = await system.get(f"/v1/customers/{customer}/spend", period=month)
        for line in answer["lines"]:
            if Decimal(line["quantity"]):
                found[customer, month, line["rate"]] = Decimal(line["amount"])
        found[customer, month, "total"] = Decimal(answer["total"])

    async with asyncio.TaskGroup() as tasks:
        for customer, month in expected.spend:
            tasks.create_task(ask(customer, month))
    return found


async def _alerts(system: System) -> list[tuple[str, str, str]]:
    """Every alert that was raised; one that stood twice would be seen twice."""
    found: list[tuple[str, str, str]] = []
    since: dict[str, str] = {}
    while True:
        page = await system.get("/v1/alerts", **since)
        for alert in page["data"]:
            start = datetime.fromisoformat(alert["period"]["start"])
            month = f"{start.astimezone(ZoneInfo(trace.zone_of(alert['customer']))):%Y-%m}"
            found.append((alert["customer"], month, alert["rule"]))
        if page["next"] is None:
            assert len(found) == len(set(found))
            return found
        since = {"since": page["next"]}
