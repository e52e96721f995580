"""An authority of our own and what it signs, by the `openssl` command; and a relay that ends TLS before a server.

The Redis server that comes in a wheel is built without TLS: the relay in front of it speaks TLS in its place.
"""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

HOST = "127.0.0.1"
GOODBYE_S = 0.1
"""The two sides of TLS take leave of each other in several steps, which nobody can wait for; a loop that ends before
leaves sockets behind."""
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2")


class Authority:
    """Files in PEM form in a folder: `ca_file`, and by `issue` a certificate with its key."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.ca_file = folder / "ca.pem"
        self._key_file = folder / "ca.key"
        _openssl("req", "-x509", *KEY, "-keyout", self._key_file, "-out", self.ca_file, "-subj", f"/CN={name}")

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key, for a server on loopback or a client."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        signed_by = ("-CA", self.ca_file, "-CAkey", self._key_file, "-addext", f"subjectAltName=IP:{HOST}")
        not_an_authority = ("-addext", "basicConstraints=CA:FALSE")
        of = ("-keyout", key, "-out", certificate, "-subj", f"/CN={name}")
        _openssl("req", "-x509", *KEY, *signed_by, *not_an_authority, *of)
        return certificate, key


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@asynccontextmanager
async def tls_relay(authority: Authority, target: int, *, port: int = 0) -> AsyncIterator[int]:
    """The port of a relay to `target` that wants a client certificate of the authority."""
    certificate, key = authority.issue(f"relay-{target}")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca_file))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(HOST, target)
        with suppress(OSError):  # a client that goes away in the middle ends the relay's half too
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_copy(reader, inner_writer))
                tasks.create_task(_copy(inner_reader, writer))

    server = await asyncio.start_server(relay, HOST, port, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.sleep(GOODBYE_S)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(65_536):
            target.write(chunk)
            await target.drain()
    except OSError:
        pass  # the other side went away: so do we
    finally:
        target.close()
