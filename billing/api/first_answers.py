"""What a view of the page asks first, answered in its document, so that its first paint has figures.

The questions are those that the page would ask, by the same paths, and go through the same routes: an answer in the
document is the answer of the API. One that fails, or is not there in time, is left out, and the page asks for it.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import anyio
import httpx
from litestar.types import ASGIApp

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


def asking(app: ASGIApp) -> httpx.AsyncClient:
    """A client of our own routes, without a socket."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://inside", headers={"accept": "application/json"})


async def find_first_answers(client: httpx.AsyncClient, paths: Sequence[str]) -> dict[str, bytes]:
    """The bodies by path, as JSON text."""
    answers: dict[str, bytes] = {}

    async def find(path: str) -> None:
        answer = await client.get(path)
        if answer.status_code == httpx.codes.OK:
            answers[path] = answer.content

    with anyio.move_on_after(WITHIN_S):
        async with anyio.create_task_group() as tasks:
            for path in paths:
                tasks.start_soon(find, path)
    return {path: answers[path] for path in paths if path in answers}
