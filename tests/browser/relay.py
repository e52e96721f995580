"""A relay on loopback in front of any server, so that a test can cut the line and heal it."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

CHUNK_BYTES = 65_536


class Relay:
    """While cut, open connections are closed and new ones are dropped at once."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._cut = False
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def run(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # the listener was closed
            if self._cut:
                near.close()
                continue
            far = socket.create_connection(self._target)
            with self._lock:
                self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(CHUNK_BYTES):
                sink.sendall(data)
        except OSError:
            pass  # cut, or closed by the other end
        self._close(source)
        self._close(sink)

    def _close(self, one: socket.socket) -> None:
        with self._lock:
            self._open.discard(one)
        with contextlib.suppress(OSError):  # closed already
            one.shutdown(socket.SHUT_RDWR)
        one.close()

    def cut(self) -> None:
        self._cut = True
        for one in list(self._open):
            self._close(one)

    def heal(self) -> None:
        self._cut = False

    def stop(self) -> None:
        with contextlib.suppress(OSError):  # not every platform lets a listener be shut down
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()


@contextmanager
def relaying(target: str) -> Iterator[Relay]:
    """A running relay to the server at `target`, an http URL."""
    relay = Relay(target)
    thread = threading.Thread(target=relay.run, daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        relay.stop()
        thread.join(5)
