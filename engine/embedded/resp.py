"""Just enough of the Redis protocol to set servers up: one command, one answer."""

import socket
from collections.abc import Sequence
from io import BufferedReader
from typing import Any

from engine.embedded.process import HOST, ServerFailed

ANSWER_S = 5.0


def ask(port: int, *words: object) -> Any:
    """The server's answer: a number, bytes, None, or a list of such.

    Raises OSError: nobody answers; ServerFailed: it refuses.
    """
    encoded: Sequence[bytes] = [str(word).encode() for word in words]
    request = b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)
    with socket.create_connection((HOST, port), timeout=ANSWER_S) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as answer:
            return _read(answer)


def _read(answer: BufferedReader) -> Any:
    line = answer.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionResetError("the server closed the connection")
    kind, text = line[:1], line[1:-2]
    match kind:
        case b"-":
            raise ServerFailed(text.decode())
        case b":":
            return int(text)
        case b"$":
            return answer.read(int(text) + 2)[:-2] if int(text) >= 0 else None
        case b"*":
            return [_read(answer) for _ in range(int(text))]
    return text
