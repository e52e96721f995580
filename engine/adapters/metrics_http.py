"""The smallest HTTP server that Prometheus can scrape: `GET /metrics`, one answer a connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

REQUEST_S = 5.0
REQUEST_BYTES_MAX = 16_384


@asynccontextmanager
async def serve_metrics(
    exposition: Callable[[], bytes], content_type: str, *, host: str, port: int
) -> AsyncIterator[int]:
    """Listens while the block runs, and yields the port (0 takes a free one). Raises OSError where it is taken."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                request = await reader.readuntil(b"\r\n\r\n")
                found = request.startswith((b"GET /metrics ", b"GET /metrics?"))
                status, body = ("200 OK", exposition()) if found else ("404 Not Found", b"")
                head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
                writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked is gone, too slow, or speaks no HTTP
        finally:
            writer.close()

    server = await asyncio.start_server(answer, host, port, limit=REQUEST_BYTES_MAX)
    async with server:
        yield server.sockets[0].getsockname()[1]
