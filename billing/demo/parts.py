"""The processes of the demo: broker, Redis, workers, API. All end with us, by whatever means we end."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
import orjson

from billing.demo.screen import StepFailed
from engine import ConfigError
from engine.adapters.redis import places_of
from engine.embedded import apache, broker, redis
from engine.embedded.apache import ApacheKafka
from engine.embedded.broker import EmbeddedBroker
from engine.embedded.process import EmbeddedServer, ServerFailed, Supervisor
from engine.embedded.redis import EmbeddedRedis

EMBEDDED = "embedded"
APACHE = "apache"
CONNECT_S = 2.0
LOG_TAIL_BYTES = 1_500
PORT_TRIES = 50
Server = TypeVar("Server", bound=EmbeddedServer)
INSTALL = "pip install 'keylane[embedded]'"


async def start_kafka(stack: AsyncExitStack, chosen: str) -> str:
    """`chosen`: embedded, apache or host:port. Returns host:port. Raises StepFailed."""
    if chosen == EMBEDDED:
        if not broker.available():
            raise StepFailed(f"the embedded broker is not installed: {INSTALL}, or give --kafka HOST:PORT")
        return (await _start(stack, EmbeddedBroker())).bootstrap
    if chosen == APACHE:
        if missing := await anyio.to_thread.run_sync(apache.available):
            raise StepFailed(f"Apache Kafka needs Java {apache.JAVA_OLDEST} or later and Maven: {missing}")
        return (await _start(stack, ApacheKafka())).bootstrap
    for server in chosen.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdecimal():
            raise StepFailed(f"--kafka {chosen}: must be {EMBEDDED}, {APACHE} or HOST:PORT")
        await _reach(host, int(port), f"--kafka {chosen}: nobody answers there; start Kafka, or use --kafka {EMBEDDED}")
    return chosen


async def start_redis(stack: AsyncExitStack, chosen: str) -> str:
    """`chosen`: embedded or a URL. Returns the URL. Raises StepFailed."""
    if chosen == EMBEDDED:
        if not redis.available():
            raise StepFailed(f"the embedded Redis is not installed: {INSTALL}, or give --redis URL")
        return (await _start(stack, EmbeddedRedis())).url
    try:
        places = places_of(chosen)
    except ConfigError as error:
        raise StepFailed(f"--redis: {error}; for example redis://localhost:6379") from error
    for host, port in places[:1]:
        await _reach(host, port, f"--redis {host}:{port}: nobody answers there; start Redis, or use --redis {EMBEDDED}")
    return chosen


async def _start(stack: AsyncExitStack, server: Server) -> Server:
    try:
        await stack.enter_async_context(server)
    except ServerFailed as error:
        raise StepFailed(str(error)) from error
    return server


async def _reach(host: str, port: int, message: str) -> None:
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        raise StepFailed(message) from error
    writer.close()
    await writer.wait_closed()


def next_free_port(wanted: int, host: str, say: Callable[[str], None]) -> int:
    """`wanted`, or the next port that nobody listens on; 0: any. Raises StepFailed."""
    for port in range(wanted, wanted + PORT_TRIES) if wanted else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
        if found != port and wanted:
            continue
        if found != wanted and wanted:
            say(f"  port {wanted} is busy: {found} is used")
        return found
    raise StepFailed(f"ports {wanted} to {wanted + PORT_TRIES - 1} are all busy: choose another with --port")


class Processes:
    """Our own commands as processes, with one file of settings. Raises StepFailed where one ends too early."""

    def __init__(self, settings: Mapping[str, Mapping[str, object]], catalog: Mapping[str, Any]) -> None:
        """`settings`: the tables `billing` and `engine` of a settings file; the file is readable by us only."""
        self._supervisor = Supervisor("demo")
        self.folder = self._supervisor.folder
        self._pids: dict[str, int] = {}
        self._names = [f"{table}_{name}".upper() for table, members in settings.items() for name in members]
        self.catalog_path = self._write("catalog.json", orjson.dumps(catalog))
        tables = settings | {"billing": {**settings["billing"], "catalog": str(self.catalog_path)}}  # type: ignore[operator]
        self.settings_path = self._write("settings.toml", _toml(tables).encode())
        self._names.append("BILLING_CATALOG")

    def start(self, name: str, *arguments: str) -> None:
        """`python -m billing ...`; what the environment says of the same settings does not count."""
        root = str(Path(__file__).parents[2])
        paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        unset = [part for setting in self._names for part in ("-u", setting, "-u", f"{setting}_FILE")]
        command = ["env", *unset, f"PYTHONPATH={paths}", sys.executable, "-m", "billing", *arguments]
        log = self.folder / f"{name}.log"
        self._pids[name] = self._supervisor.start([*command, "--config", str(self.settings_path)], log)

    def pid(self, name: str) -> int:
        """The process id of one that was started."""
        return self._pids[name]

    def check(self) -> None:
        """Raises StepFailed if one has ended."""
        for name, pid in self._pids.items():
            code = self._supervisor.exit_code(pid)
            if code is not None:
                raise StepFailed(f"{name} ended with {code}; its log ends:\n{self._tail(name)}")

    def last_words(self) -> str:
        """The end of every log."""
        return "\n".join(f"{name}: {self._tail(name)}" for name in self._pids)

    async def stop(self) -> None:
        """Asks them to finish, and returns when they have."""
        pids = [pid for pid in self._pids.values() if self._supervisor.exit_code(pid) is None]
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        for pid in pids:
            await anyio.to_thread.run_sync(self._wait, pid)

    def _wait(self, pid: int) -> None:
        while self._supervisor.exit_code(pid) is None:
            time.sleep(0.05)

    def close(self) -> None:
        """Ends what still runs and removes the folder."""
        self._supervisor.close()

    def _write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path

    def _tail(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


def _toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    """Texts and numbers only: what a settings file holds."""
    lines = []
    for table, members in tables.items():
        lines.append(f"[{table}]")
        lines += [f"{name} = {orjson.dumps(value).decode()}" for name, value in members.items()]
    return "\n".join(lines) + "\n"
