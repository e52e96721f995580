"""What a view of the page asks first, answered in its document, so that its first paint has figures.

The questions are those that the page would ask, by the same paths, and go through the same routes: an answer in the
document is the answer of the API. One that fails, or is not there in time, is left out, and the page asks for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import anyio
from litestar.types import ASGIApp, Message, Scope

WITHIN_S = 0.2
"""A document waits no longer for its answers."""
READY = "/readyz"
OVERVIEW = "/v1/overview"
ROWS = 50
ALERTS_BESIDE = 8
FILTERS = ("state", "q")
ORDER = "-limit_share"


def first_paths(path: str, query: Mapping[str, str]) -> list[str]:
    """By the address of a view, still encoded: what its module in `dashboard/static` asks for, to the letter."""
    given = {name: value for name, value in query.items() if value}
    if path.startswith("/customers/"):
        of_customer = f"/v1{path}"
        return [READY, f"{of_customer}/spend", f"{of_customer}/access", f"{of_customer}/spend/series?window=day"]
    if path == "/alerts":
        chosen = {"customer": given["customer"]} if "customer" in given else {}
        return [READY, f"/v1/alerts?{urlencode({'order': '-time'} | chosen)}"]
    if path == "/pipeline":
        return [READY, OVERVIEW, "/v1/pipeline"]
    filters = {name: given[name] for name in FILTERS if name in given}
    listed = {"order": given.get("order", ORDER), "limit": ROWS} | filters
    beside = {"order": "-time", "limit": ALERTS_BESIDE}
    return [READY, OVERVIEW, f"/v1/customers?{urlencode(listed)}", f"/v1/alerts?{urlencode(beside)}"]


async def find_first_answers(app: ASGIApp, paths: Sequence[str]) -> dict[str, bytes]:
    """The bodies by path, as JSON text."""
    answers: dict[str, bytes] = {}

    async def find(path: str) -> None:
        status, body = await ask(app, path)
        if status == 200:
            answers[path] = body

    with anyio.move_on_after(WITHIN_S):
        async with anyio.create_task_group() as tasks:
            for path in paths:
                tasks.start_soon(find, path)
    return {path: answers[path] for path in paths if path in answers}


async def ask(app: ASGIApp, path: str) -> tuple[int, bytes]:
    """Status and body of a GET of our own, without a socket."""
    address, _, query = path.partition("?")
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "root_path": "",
        "path": address,
        "raw_path": address.encode(),
        "query_string": query.encode(),
        "headers": [(b"accept", b"application/json")],
        "client": None,
        "server": None,
    }
    status, parts = 500, list[bytes]()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            parts.append(message["body"])

    of_route: Scope = scope
    await app(of_route, receive, send)
    return status, b"".join(parts)
