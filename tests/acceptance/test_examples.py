"""Every program in `examples/`, and the one in the docstring of `engine.run`: run as it stands, its effect checked."""

import asyncio
import json
import os
import re
import signal
import sys
import textwrap
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from time import sleep
from typing import Any

import pytest

import engine.run
from engine import Message, StateReader
from engine.adapters.kafka import KafkaSender, LogReader, TopicSpec, ensure_topics
from engine.adapters.redis import RedisServer
from engine.embedded.broker import EmbeddedBroker
from examples.totals import month_of

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
WITHIN_S = 40.0


@pytest.fixture
def broker() -> Iterator[str]:
    """One of its own: the programs name their topics themselves."""
    with EmbeddedBroker() as server:
        yield server.bootstrap


class Program:
    """A running example and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.errors: list[str] = []

    async def read(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(self.process.stdout, self.lines))
            tasks.create_task(self._read(self.process.stderr, self.errors))

    async def _read(self, stream: asyncio.StreamReader, lines: list[str]) -> None:
        async for line in stream:
            lines.append(line.decode().rstrip("\n"))  # noqa: PERF401 - seen as they come

    async def until(self, enough: Callable[[list[str]], bool]) -> list[str]:
        try:
            async with asyncio.timeout(WITHIN_S):
                while not enough(self.lines):  # noqa: ASYNC110 - it is another process
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"{self.lines[-5:]}\n{self.errors[-20:]}")
        return self.lines


@asynccontextmanager
async def running(path: Path, **environment: str) -> AsyncIterator[Program]:
    """The program, until the block ends; then SIGTERM must end it with 0."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(path)),
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "ENGINE_SESSION_S": "6"} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    program = Program(process)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(program.read())
        try:
            yield program
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(WITHIN_S):
                code = await process.wait()
            await reading
            assert code == 0, program.errors[-20:]
        finally:
            if process.returncode is None:
                process.kill()


async def produce(kafka: str, messages: list[Message], *topics: str) -> None:
    await ensure_topics(kafka, [TopicSpec("orders", 3), *(TopicSpec(topic, 2) for topic in topics)])
    sender = KafkaSender(kafka, idempotent=False)
    await sender.start()
    await sender.send(messages)
    await sender.stop()


async def read_all(kafka: str, topic: str, count: int) -> list[Any]:
    """The events of a topic, once there are `count`."""
    reader = LogReader(kafka, topic=topic)
    await reader.start()
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                found: list[Any] = []
                for partition in reader.partitions:
                    end = await reader.end(partition)
                    async for batch in reader.read(partition, 0, end):
                        found += batch
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.2)
    finally:
        await reader.stop()


def order(number: int, customer: str, **more: Any) -> Message:
    content = {"id": f"o{number}", "cents": number * 10, **more}
    return Message("orders", customer.encode(), json.dumps(content).encode())


def test_every_example_is_short_and_tested() -> None:
    assert [path.name for path in EXAMPLES if len(path.read_text().splitlines()) > 60] == []
    assert {path.name for path in EXAMPLES} == set(re.findall(r'running\(ROOT / "examples/(\w+\.py)"', own_text()))
    readme = (ROOT / "examples" / "README.md").read_text()
    assert [path.name for path in EXAMPLES if f"`{path.name}`" not in readme] == []


def own_text() -> str:
    return Path(__file__).read_text()


async def test_plain_handler(broker: str) -> None:
    orders = [order(number, f"c{number % 5}") for number in range(60)]
    await produce(broker, [*orders, Message("orders", b"c1", b"no JSON")])
    async with running(ROOT / "examples/plain_handler.py", KAFKA=broker, ENGINE_RETRY_BASE_S="0.01") as program:
        lines = await program.until(lambda lines: len(lines) >= 60)
        (letter,) = await read_all(broker, "orders.dead", 1)
    assert letter.value == b"no JSON"
    assert b"JSONDecodeError" in dict(letter.headers)["error"]
    assert dict(letter.headers)["attempts"] == b"3"
    for customer in range(5):
        subjects = [line.partition(": ")[2] for line in lines if line.startswith(f"c{customer}:")]
        assert subjects == [f"Your order o{number}" for number in range(customer, 60, 5)], "in the order of the key"


async def test_totals(broker: str, redis_url: str) -> None:
    orders = [order(number, f"c{number % 5}") for number in range(100)]
    await produce(broker, [*orders, *orders[:20], Message("orders", b"c1", b"no order")])
    wanted = Counter({f"c{customer}": sum(range(customer, 100, 5)) * 10 for customer in range(5)})
    month, period = f"{datetime.now(UTC):%Y-%m}", month_of(int(datetime.now(UTC).timestamp()))

    def shown(lines: list[str]) -> dict[str, int]:
        """The last total of each customer."""
        matches = [re.fullmatch(r"(\w+) (\S+): (\d+) cents", line) for line in lines]
        return {match[1]: int(match[3]) for match in matches if match and match[2] == month}

    async with running(ROOT / "examples/totals.py", KAFKA=broker, REDIS=redis_url) as program:
        await program.until(lambda lines: shown(lines) == wanted)
        (letter,) = await read_all(broker, "orders.dead", 1)
    assert dict(letter.headers)["error"].startswith(b"not an order")
    server = RedisServer(redis_url)
    reader = StateReader(server, group="spending", buckets=64)
    account = await reader.account(b"c3", period.start_s, period.end_s)
    await server.close()
    assert sum(reading.number for reading in account.cells.values()) == wanted["c3"]


class SlowService:
    """Answers after a tenth of a second; the first question about each customer gets a 503."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._asked: Counter[str] = Counter()
        self._under_way: Counter[str] = Counter()
        self.most = 0
        self.at_once = False
        """Whether two questions about one customer were ever under way together."""
        service = self

        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                customer = self.path.rpartition("/")[2]
                status = service.begin(customer)
                sleep(0.1)
                service.end(customer)
                body = json.dumps({"name": customer.upper()}).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.server.daemon_threads = True

    def begin(self, customer: str) -> int:
        with self._lock:
            self._asked[customer] += 1
            self._under_way[customer] += 1
            self.most = max(self.most, self._under_way.total())
            self.at_once |= self._under_way[customer] > 1
            return 503 if self._asked[customer] == 1 else 200

    def end(self, customer: str) -> None:
        with self._lock:
            self._under_way[customer] -= 1


@pytest.fixture
def service() -> Iterator[SlowService]:
    service = SlowService()
    thread = Thread(target=service.server.serve_forever)
    thread.start()
    yield service
    service.server.shutdown()
    thread.join()
    service.server.server_close()


async def test_enrichment(broker: str, service: SlowService) -> None:
    orders = [order(number, f"c{number % 20}") for number in range(100)]
    await produce(broker, orders, "orders-enriched")
    address = f"http://127.0.0.1:{service.server.server_port}"
    async with running(ROOT / "examples/enrichment.py", KAFKA=broker, SERVICE=address, ENGINE_RETRY_BASE_S="0.01"):
        enriched = await read_all(broker, "orders-enriched", 100)
    found: dict[str, list[str]] = {}
    for event in enriched:
        content = json.loads(event.value)
        assert content["customer"] == {"name": event.key.decode().upper()}
        found.setdefault(event.key.decode(), []).append(content["id"])
    assert found == {f"c{customer}": [f"o{number}" for number in range(customer, 100, 20)] for customer in range(20)}
    assert service.most > 5, "many customers at once"
    assert not service.at_once, "one question a customer"


async def test_fan_out(broker: str) -> None:
    lines = [{"product": "tea", "count": 2}, {"product": "milk", "count": 1}]
    await produce(broker, [order(number, f"c{number % 5}", lines=lines) for number in range(50)], "order-lines")
    async with running(ROOT / "examples/fan_out.py", KAFKA=broker):
        sent = await read_all(broker, "order-lines", 100)
    assert {event.key for event in sent} == {b"tea", b"milk"}
    found = {(content["order"], content["line"]) for content in (json.loads(event.value) for event in sent)}
    assert found == {(f"o{number}", line) for number in range(50) for line in (0, 1)}


async def test_the_program_in_the_docstring(broker: str, tmp_path: Path) -> None:
    documented = engine.run.__doc__ or ""
    match = re.search(r"A whole program::\n\n((?:    .*\n|\n)+)", documented)
    assert match
    text = textwrap.dedent(match[1]).replace("localhost:9092", broker)
    path = tmp_path / "documented.py"
    path.write_text(text)
    await produce(broker, [order(1, "c1")])
    async with running(path) as program:
        lines = await program.until(lambda lines: len(lines) == 1)
    assert lines == [f"{b'c1'!r} {orders_value!r}" for orders_value in [order(1, "c1").value]]


async def test_a_program_that_waits_ends_at_once(tmp_path: Path) -> None:
    """Nobody answers, and SIGTERM ends the waiting with 0."""
    async with running(ROOT / "examples/plain_handler.py", KAFKA="127.0.0.1:9") as program:
        async with asyncio.timeout(WITHIN_S):
            while not any("waiting for Kafka" in line for line in program.errors):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert program.lines == []
