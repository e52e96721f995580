"""uvicorn as our processes run it: on a socket that is bound first, and without signals of its own."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from engine import ConfigError

STOP_WITHIN_S = 3
BACKLOG = 1_024


class QuietServer(uvicorn.Server):
    """uvicorn without its own handling of signals: the process has one already."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def new_server(app: Any) -> QuietServer:
    """A server of an ASGI application, not serving yet."""
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )
    return QuietServer(config)


def listen(host: str, port: int, setting: str) -> socket.socket:
    """A bound socket; `setting` is what to change where the address cannot be had. Raises ConfigError."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError([f"{host}:{port} cannot be listened on ({error.strerror}): set {setting}"]) from error
    listener.setblocking(False)
    return listener


def address_of(listener: socket.socket) -> str:
    """Where it listens, as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
