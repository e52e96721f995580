"""Input that breaks parsers, lanes and memories: refused at the door, or dead-lettered with a reason; all else goes on.

Guards the checks of `billing.domain.usage.decode` and `billing.domain.json_text`, and that a dead letter completes its
event: without them a worker ends, or its partition stands still.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiokafka
import httpx
import pytest

from engine import Event
from engine.adapters.kafka import LogReader
from engine.embedded.redis import EmbeddedRedis
from tests.acceptance.harness import BATCH, System

CATALOG = {
    "version": 1,
    "meters": [
        {
            "name": "tokens",
            "event_type": "t",
            "aggregation": "sum",
            "property": "data.n",
            "group_by": {"model": "data.model"},
        }
    ],
    "customers": [],
}
MB = 1024 * 1024
WORKER_BYTES_MAX = 1024 * MB
GROWTH_BYTES_MAX = 400 * MB
"""How much memory a worker may take for the largest record and what unpacks from it, over what it had before."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def event(id_: str, quantity: str = "1", **members: object) -> bytes:
    """A good one; `quantity` is JSON text, further members are added or replace others."""
    whole: dict[str, Any] = {
        "specversion": "1.0",
        "id": id_,
        "source": "s",
        "type": "t",
        "subject": "acme",
        "data": {"n": 0, "model": "m"},
    }
    return json.dumps(whole | members).encode().replace(b'"n": 0', b'"n": ' + quantity.encode())


REFUSED: Mapping[str, bytes | None] = {
    "invalid UTF-8": event("bad-1").replace(b"acme", b"\xff\xfe"),
    "not a number": event("bad-2", "NaN"),
    "infinity": event("bad-3", "Infinity"),
    "minus infinity": event("bad-4", "-Infinity"),
    "a nest of 100,000": event("bad-5", "[" * 100_000 + "]" * 100_000),
    "a nest that never ends": event("bad-6", '{"a":' * 50_000),
    "4,000 digits": event("bad-7", "9" * 4_000),
    "4,000 decimals": event("bad-8", "0." + "1" * 4_000),
    "a huge exponent": event("bad-9", "1e999999999"),
    "a tiny exponent": event("bad-10", "1e-999999999"),
    "13 decimals": event("bad-11", "0.0000000000001"),
    "10^15": event("bad-12", "1000000000000000"),
    "2^63 + 1": event("bad-13", str(2**63 + 1)),
    "2^63 - 1": event("bad-14", str(2**63 - 1)),
    "a member twice": event("bad-15").replace(b'"id":', b'"id": "other", "id":'),
    "an inner member twice": event("bad-16").replace(b'"model":', b'"n": 5, "model":'),
    "year 1": event("bad-17", time="0001-01-01T00:00:00Z"),
    "year 9999": event("bad-18", time="9999-12-31T23:59:59Z"),
    "half a surrogate": event("bad-19").replace(b'"m"', b'"\\ud800"'),
    "no quantity": event("bad-20", "null"),
    "a quantity in words": event("bad-21", '"many"'),
    "a boolean quantity": event("bad-22", "true"),
    "no id": event(""),
    "a long id": event("x" * 513),
    "a list": b"[[]]",
    "a text": b'"text"',
    "half an event": event("bad-23")[:40],
    "300 KiB": event("bad-24", data={"n": 1, "model": "m", "more": "x" * 300 * 1024}),
}
"""What neither the door nor the log may count."""

ODD_BUT_GOOD: Mapping[str, tuple[bytes, int]] = {
    "negative": (event("odd-1", "-5"), -5),
    "zero": (event("odd-2", "0"), 0),
    "minus zero": (event("odd-3", "-0"), 0),
    "an exponent": (event("odd-4", "1e3"), 1_000),
    "a text": (event("odd-5", '"12"'), 12),
    "nearly 10^15": (event("odd-6", "999999999999999"), 999_999_999_999_999),
    "members that nobody knows": (event("odd-7", other={"deep": [[[1, 2, {"n": 1.5}]]]}), 1),
    "escapes": (event("odd-8").replace(b"acme", b"\\u0061cme"), 1),
    "no time": (event("odd-9"), 1),
}


def test_the_list_is_whole() -> None:
    """Each of these has an id of its own, or it would be a duplicate of another."""
    ids = [json.loads(value)["id"] for value, _ in ODD_BUT_GOOD.values()]
    assert len(set(ids)) == len(ids)


async def test_bad_input_harms_nobody(kafka: str, new_name: Callable[[str], str]) -> None:
    name = new_name("bad")
    async with EmbeddedRedis() as server, System(kafka=kafka, redis=server.url, name=name, catalog=CATALOG) as system:
        await system.start_all(workers=1)
        pids = dict(system.pids)
        await refused_at_the_door(system)
        good = await send_odd_but_good(system)
        dead = await send_into_the_log(system, kafka, name)
        after = [json.loads(event(f"after-{number}")) for number in range(20)]
        await system.post(after)
        await system.until_counted(good + dead + len(after))
        usage = await system.get("/v1/customers/acme/usage", meter="tokens")
        wanted = sum(quantity for _, quantity in ODD_BUT_GOOD.values()) + len(after)
        assert [row["value"] for row in usage["data"]] == [str(wanted)]
        await check_letters(kafka, name, dead)
        assert system.pids == pids
        system.check()
        code, answer = await system.audit()
        assert (code, answer["counted"], answer["dead_lettered"]) == (0, good + len(after), dead), answer


async def refused_at_the_door(system: System) -> None:
    """Alone, and in a batch with good ones, of which none is taken then."""
    for what, value in REFUSED.items():
        assert value is not None
        for body in (value, b"[" + event("never") + b"," + value + b"]"):
            response = await system.client.post("/v1/events", content=body, headers=BATCH)
            assert response.status_code in {413, 422}, (what, response.status_code, response.text[:500])
            assert response.headers["content-type"] == "application/problem+json"
    for size in (MB + 1, 50 * MB):
        answered = await post_large(system.client, b"[" + b" " * size + b"]")
        assert answered is None or answered.status_code == 413
    packed = BATCH | {"content-encoding": "gzip"}
    response = await system.client.post("/v1/events", content=b"\x1f\x8b" + b"\0" * 100, headers=packed)
    assert response.status_code == 415
    assert await system.counted() == 0, "a refusal writes nothing"


async def post_large(client: httpx.AsyncClient, body: bytes) -> httpx.Response | None:
    """None: the server hung up before it had read all of it, which is as good a refusal."""
    try:
        return await client.post("/v1/events", content=body, headers=BATCH)
    except httpx.TransportError:
        return None


async def send_odd_but_good(system: System) -> int:
    for what, (value, _) in ODD_BUT_GOOD.items():
        response = await system.client.post("/v1/events", content=value, headers={"content-type": "application/json"})
        assert response.status_code == 202, (what, response.text)
    return len(ODD_BUT_GOOD)


async def send_into_the_log(system: System, kafka: str, topic: str) -> int:
    """Straight into the topic, where no door is; how many of them must become dead letters."""
    before_bytes = resident_bytes(system.pids["worker-1"])
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=kafka, compression_type="gzip", max_request_size=100 * MB, request_timeout_ms=60_000
    )
    await producer.start()
    records: list[tuple[bytes | None, bytes | None]] = [(b"acme", value) for value in REFUSED.values()]
    records += [
        (b"acme", None),  # a tombstone
        (b"acme", b""),
        (b"somebody else", event("foreign")),
        (None, event("nobody")),
        (b"\xff\xfe", event("not text")),
        (b"k" * 100_000, event("a long key")),
        (b"acme", b"x" * MB),
        (b"acme", b"[" * (900 * 1024)),
    ]
    bombs = [b" " * (50 * MB)]  # some fifty kilobytes in the log
    try:
        for key, value in records:
            await producer.send_and_wait(topic, value, key=key)
        for bomb in bombs:
            await producer.send_and_wait(topic, bomb, key=b"acme")
    finally:
        await producer.stop()
    await system.until_counted(len(ODD_BUT_GOOD) + len(records) + len(bombs))
    grown_bytes = resident_bytes(system.pids["worker-1"]) - before_bytes
    assert grown_bytes < GROWTH_BYTES_MAX, f"{grown_bytes / MB:.0f} MB more"
    return len(records) + len(bombs)


async def check_letters(kafka: str, topic: str, dead: int) -> None:
    """Each has its reason, its source and the bytes as they came, or what fits of them."""
    reader = LogReader(kafka, topic=f"{topic}.dead")
    await reader.start()
    letters: list[Event] = []
    try:
        for partition in reader.partitions:
            async for batch in reader.read(partition, 0, await reader.end(partition)):
                letters += batch
    finally:
        await reader.stop()
    sources: Counter[tuple[bytes, bytes]] = Counter()
    for letter in letters:
        headers = dict(letter.headers)
        assert headers.keys() >= {"error", "attempts", "source-topic", "source-partition", "source-offset"}
        assert headers["error"].strip(), headers
        sources[headers["source-partition"], headers["source-offset"]] += 1
    assert len(sources) == dead
    values = {letter.value for letter in letters}
    assert REFUSED["invalid UTF-8"] in values


def resident_bytes(pid: int) -> int:
    """Memory of a process: `env` has become the process it was to start."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4_096
