"""Server processes on loopback that live in a folder of their own and never outlive the process that started them.

A `Supervisor` is a small process beside ours that starts the servers, ends them when we end (by whatever means), and
removes the folder. A `Daemon` is one server under it, on one port.
"""

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio.to_thread

HOST = "127.0.0.1"
START_DEADLINE_S = 60.0
PORT_TRIES = 5
LOG_TAIL_BYTES = 2_000
PORTS = range(20_000, 32_000)
"""Below what Linux hands to outgoing connections, so that a port is still free when its server comes back."""
_in_turn = itertools.cycle(random.SystemRandom().sample(PORTS, k=len(PORTS)))
"""Each once before any comes again: who needs several ports gets different ones."""


class ServerFailed(RuntimeError):
    """A server process did not start; the message ends with its log's tail."""


def free_port() -> int:
    """A port that nobody listens on now. Somebody may take it before it is used: be ready to try another."""
    for port in itertools.islice(_in_turn, 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerFailed(f"none of 100 ports between {PORTS.start} and {PORTS.stop} is free")


def answers(port: int) -> bool:
    """Whether somebody accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


class Supervisor:
    """Starts processes that end with us. Removes its folder at the end, unless one was given."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self.folder = Path(folder or tempfile.mkdtemp(prefix=f"keylane-{name}-")).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        script = Path(__file__).with_name("supervise.py")
        fate = "KEEP" if folder else "REMOVE"
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), str(os.getpid()), str(self.folder), fate],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us: the servers are needed until we are done
        )
        self._turn = threading.Lock()

    def start(self, command: Sequence[str], log: Path) -> int:
        """The process id of the command, started in the folder with its output appended to `log`."""
        pid = self._ask({"do": "start", "command": list(command), "log": str(log)})["pid"]
        assert isinstance(pid, int)
        return pid

    def exit_code(self, pid: int) -> int | None:
        """None while the process lives; negative: the signal that ended it."""
        code = self._ask({"do": "exit_code", "pid": pid})["code"]
        assert code is None or isinstance(code, int)
        return code

    def close(self) -> None:
        """Ends all processes and returns when they are gone."""
        with self._turn:
            if self._process.stdin is not None and not self._process.stdin.closed:
                self._process.stdin.close()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def _ask(self, request: dict[str, object]) -> dict[str, Any]:
        with self._turn:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise ServerFailed("the supervisor of the server processes has ended")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise ServerFailed(reply["error"])
        return reply


class Daemon:
    """One server process on one port; `pid` and `port` are valid after `start`."""

    def __init__(
        self,
        supervisor: Supervisor,
        name: str,
        *,
        command: Callable[[int], Sequence[str]],
        is_ready: Callable[[int, int], bool],
        port: int = 0,
    ) -> None:
        """`command` makes the command line for a port; `is_ready` is asked with the port and the process id."""
        self._supervisor = supervisor
        self._command = command
        self._is_ready = is_ready
        self._fixed = port != 0
        self.log = supervisor.folder / f"{name}.log"
        self.name = name
        self.port = port
        self.pid = 0

    def start(self) -> None:
        """Returns when the server answers. Tries other ports where it ends early, unless the port was given.

        Raises:
            ServerFailed: it ended, or did not answer within START_DEADLINE_S.
        """
        for left in reversed(range(1 if self._fixed else PORT_TRIES)):
            if not self._fixed:
                self.port = free_port()
            try:
                self._start_once()
            except ServerFailed:
                if left == 0:
                    raise
            else:
                self._fixed = True
                return

    def kill(self, signal_number: int = signal.SIGKILL) -> None:
        """Sends the signal and returns when the process is gone."""
        if self._supervisor.exit_code(self.pid) is None:
            os.kill(self.pid, signal_number)
        while self._supervisor.exit_code(self.pid) is None:
            time.sleep(0.01)

    def restart(self) -> None:
        """Starts a killed server again, on the same folder and port."""
        self._start_once()

    def _start_once(self) -> None:
        self.pid = self._supervisor.start(self._command(self.port), self.log)
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            code = self._supervisor.exit_code(self.pid)
            if code is not None:
                raise ServerFailed(f"{self.name} on port {self.port} ended with {code}; its log ends:\n{self._tail()}")
            if self._is_ready(self.port, self.pid):
                return
            time.sleep(0.02)
        self.kill()
        raise ServerFailed(f"{self.name} on port {self.port} did not answer; its log ends:\n{self._tail()}")

    def _tail(self) -> str:
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


class EmbeddedServer(ABC):
    """What the embedded servers share: `start` and `stop`, and both kinds of context manager."""

    @abstractmethod
    def start(self) -> None:
        """Returns when the server answers. Raises ServerFailed."""

    @abstractmethod
    def stop(self) -> None:
        """Ends the server and removes its temporary folder. Does nothing where it is not running."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await anyio.to_thread.run_sync(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.stop)
