"""`billing audit` against a running system, and against a state that somebody has changed by hand.

Guards `Comparer.compare`, and `_compare_position`, without which a record that names too much is not seen.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import redis.asyncio

from billing.audit.command import run_audit
from billing.audit.run import bucket_of
from billing.load import Kind, Load, Mixture, customer_names
from engine.core.record import Record, Stamp
from engine.embedded.redis import EmbeddedRedis
from tests.acceptance.harness import System

BUCKETS = 8
CUSTOMERS = customer_names(30)
EVENTS = 1_200
CATALOG = {
    "version": 1,
    "meters": [
        {
            "name": "prompt",
            "event_type": "llm.request",
            "aggregation": "sum",
            "property": "data.prompt_tokens",
            "group_by": {"model": "data.model"},
        },
        {"name": "models", "event_type": "llm.request", "aggregation": "unique", "property": "data.model"},
        {"name": "last", "event_type": "llm.request", "aggregation": "latest", "property": "data.completion_tokens"},
    ],
    "plans": [
        {
            "name": "usage",
            "rates": [{"name": "prompt", "meter": "prompt", "rate": {"model": "per_unit", "unit": "0.001"}}],
        }
    ],
    "customers": [{"id": CUSTOMERS[0], "plan": "usage", "currency": "USD", "limit": "5.00", "thresholds": ["50%"]}],
}

pytestmark = pytest.mark.slow


def batches(load: Load, count: int, size: int = 200) -> list[list[bytes]]:
    made = [load.make(datetime.now(UTC)) for _ in range(count)]
    values = [one.value for one in made if one.kind is not Kind.MALFORMED]
    return [values[at : at + size] for at in range(0, len(values), size)]


async def post(system: System, batch: list[bytes]) -> None:
    body = b"[" + b",".join(batch) + b"]"
    headers = {"content-type": "application/json"}
    response = await system.client.post("/v1/events", content=body, headers=headers)
    assert response.status_code == 202, response.text


@asynccontextmanager
async def counted_system(kafka: str, name: str) -> AsyncIterator[tuple[System, EmbeddedRedis]]:
    """A system that has counted EVENTS events, a few of them twice."""
    load = Load(3, CUSTOMERS, Mixture(malformed=0, duplicates=0.03))
    async with (
        EmbeddedRedis() as server,
        System(kafka=kafka, redis=server.url, name=name, catalog=CATALOG, ENGINE_BUCKETS=BUCKETS) as system,
    ):
        await system.start_all(workers=1)
        for batch in batches(load, EVENTS):
            await post(system, batch)
        await system.until_counted(EVENTS)
        yield system, server


async def test_equal_while_events_are_counted(kafka: str, new_name: Callable[[str], str]) -> None:
    async with counted_system(kafka, new_name("audit")) as (system, _):
        load = Load(4, CUSTOMERS, Mixture(malformed=0))
        sent = EVENTS
        async with asyncio.TaskGroup() as tasks:

            async def send() -> None:
                nonlocal sent
                while True:
                    for batch in batches(load, 100, 50):
                        await post(system, batch)
                        sent += len(batch)
                        await asyncio.sleep(0.05)

            sending = tasks.create_task(send())
            before = sent
            for _ in range(3):
                code, answer = await system.audit()
                assert (code, answer["audit"]) == (0, "equal"), answer
                assert answer["events"] >= EVENTS
            assert sent > before, "events came while it ran"
            sending.cancel()


class Meddling:
    """Changes the state by hand, and puts it back."""

    def __init__(self, client: Any, group: str) -> None:
        self.client = client
        self.tag = f"{{keylane:{group}:"

    def bucket(self, key: str) -> str:
        return f"{self.tag}{bucket_of(key.encode(), BUCKETS)}}}"

    async def page(self, customer: str) -> bytes:
        """A page of the customer's cells."""
        found: list[bytes] = [
            key async for key in self.client.scan_iter(f"{self.bucket(customer)}d:*:default:{customer}")
        ]
        return max(found)

    async def cell(self, page: bytes, aggregate: int = 2) -> bytes:
        fields: list[bytes] = await self.client.hkeys(page)
        return max(field for field in fields if len(field) >= 5 and field[4] == aggregate)

    async def change_a_cell(self) -> None:
        page = await self.page(CUSTOMERS[0])
        field = await self.cell(page)
        value = await self.client.hget(page, field)
        changed = value[:-8] + self._plus_one(value[-8:])
        await self.client.hset(page, field, changed)

    def _plus_one(self, limb: bytes) -> bytes:
        return struct.pack(">d", struct.unpack(">d", limb)[0] + 1)

    async def damage_a_cell(self) -> None:
        page = await self.page(CUSTOMERS[0])
        await self.client.hset(page, await self.cell(page), b"nonsense")

    async def add_a_cell(self) -> None:
        page = await self.page(CUSTOMERS[0])
        field = await self.cell(page)
        start = int.from_bytes(field[:4], "big")
        other = start - 4 if start % 96 >= 4 else start + 4
        await self.client.hset(page, other.to_bytes(4, "big") + field[4:], await self.client.hget(page, field))

    async def add_a_customer(self) -> None:
        """A page that the index knows, of somebody of whom the log knows nothing."""
        page = await self.page(CUSTOMERS[0])
        tag = self.bucket("nobody")
        day = int(page.split(b"d:")[1].split(b":")[0])
        await self.client.hset(f"{tag}d:{day}:default:nobody", mapping=await self.client.hgetall(page))
        await self.client.hset(
            f"{tag}i", "nobody", await self.client.hget(f"{self.bucket(CUSTOMERS[0])}i", CUSTOMERS[0])
        )

    async def drop_a_cell(self) -> None:
        page = await self.page(CUSTOMERS[3])
        await self.client.hdel(page, await self.cell(page))

    async def drop_a_customer(self) -> None:
        """Its pages, and that there were any."""
        page = await self.page(CUSTOMERS[3])
        await self.client.delete(page)
        await self.client.hdel(f"{self.bucket(CUSTOMERS[3])}i", CUSTOMERS[3])

    async def change_a_member(self) -> None:
        """Of a set of distinct values, so that their number stays."""
        name = await anext(self.client.scan_iter(f"{self.bucket(CUSTOMERS[0])}u:c:*{CUSTOMERS[0]}:*"))
        await self.client.spop(name)
        await self.client.sadd(name, b"0123456789abcdef")

    async def change_a_total(self) -> None:
        name = await anext(self.client.scan_iter(f"{self.bucket(CUSTOMERS[0])}t:*"))
        field = max(field for field in await self.client.hkeys(name) if field[:1] == b"\x02")
        value = await self.client.hget(name, field)
        await self.client.hset(name, field, value[:-8] + self._plus_one(value[-8:]))

    async def change_a_counter(self) -> None:
        await self.client.hset(await self._slice(), "c", b"\0" * 32)

    async def lower_a_record(self) -> None:
        await self._shift_record(-150)

    async def raise_a_record(self) -> None:
        await self._shift_record(+1)

    async def _shift_record(self, by: int) -> None:
        name = await self._slice()
        stored = Record.decode(await self.client.hget(name, "r"))
        shifted = Record(stored.position + by, (), stored.day, stored.buckets, stored.horizon_d, Stamp(1, 2))
        await self.client.hset(name, "r", shifted.encode())

    async def _slice(self) -> bytes:
        """The slice of the heaviest customer."""
        found: list[bytes] = [key async for key in self.client.scan_iter(f"{self.bucket(CUSTOMERS[0])}s:*")]
        records = {name: Record.decode(await self.client.hget(name, "r")) for name in found}
        return max(found, key=lambda name: records[name].position)


FAULTS = {
    Meddling.change_a_cell: {CUSTOMERS[0]},
    Meddling.damage_a_cell: {None},
    Meddling.add_a_cell: {CUSTOMERS[0]},
    Meddling.add_a_customer: {"nobody"},
    Meddling.drop_a_cell: {CUSTOMERS[3]},
    Meddling.drop_a_customer: {CUSTOMERS[3]},
    Meddling.change_a_member: {CUSTOMERS[0]},
    Meddling.change_a_total: {CUSTOMERS[0]},
    Meddling.change_a_counter: {None},
    Meddling.lower_a_record: None,
    Meddling.raise_a_record: {None},
}


async def test_every_fault_is_reported(kafka_embedded: str, new_name: Callable[[str], str]) -> None:
    name = new_name("audit")
    async with counted_system(kafka_embedded, name) as (system, server):
        await system.kill("worker-1", 15)  # it would notice some of these itself
        assert (await run_audit(system.config)).audit == "equal"
        async with redis.asyncio.Redis.from_url(server.url) as client:
            meddling = Meddling(client, name)
            for fault, customers in FAULTS.items():
                before = await dump(client)
                await fault(meddling)
                report = await run_audit(system.config)
                assert report.audit == "different", fault
                found = {one.customer for one in report.comparison.differences}
                assert found, fault
                assert customers is None or found == customers, (fault, report.as_json())
                await restore(client, before)
                assert (await run_audit(system.config)).audit == "equal", "put back, all is well again"
            await meddling.change_a_cell()
            code, answer = await system.audit()
            assert (code, answer["audit"]) == (1, "different"), answer
            assert {one["customer"] for one in answer["differences"]} == {CUSTOMERS[0]}


async def test_what_cannot_be_told(kafka_embedded: str, new_name: Callable[[str], str]) -> None:
    async with counted_system(kafka_embedded, new_name("audit")) as (system, server):
        await system.kill("worker-1", 15)
        await asyncio.to_thread(server.kill)
        code, answer = await system.audit()
        assert (code, answer["audit"]) == (2, "unknown")
        assert "does not answer" in answer["reason"]


async def dump(client: Any) -> dict[bytes, bytes]:
    return {name: await client.dump(name) async for name in client.scan_iter("{keylane:*")}


async def restore(client: Any, dumped: dict[bytes, bytes]) -> None:
    for name in [name async for name in client.scan_iter("{keylane:*")]:
        await client.delete(name)
    for name, content in dumped.items():
        await client.restore(name, 0, content)
