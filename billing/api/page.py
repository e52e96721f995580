"""The page: one document for its four addresses, with first answers in it, and its files, compressed once."""

import gzip
import hashlib
from dataclasses import dataclass
from typing import Any

import httpx
from litestar import Request, Response, get

from billing.api.first_answers import find_first_answers, first_paths
from billing.api.parameters import RestOfPath
from billing.api.problem_types import NOT_FOUND
from billing.api.problems import Problem
from billing.dashboard.assets import CONTENT_SECURITY_POLICY, PREFIX, Asset, Assets

GUARDS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "vary": "accept-encoding",
}
FOR_A_YEAR = "public, max-age=31536000, immutable"
COMPRESSED_ALREADY = frozenset({"font/woff2", "image/png"})


@dataclass(frozen=True, slots=True)
class Served:
    """One file in both forms; `packed` is None where gzip does not make it smaller."""

    content: bytes
    packed: bytes | None
    media_type: str
    etag: str
    cache: str


class Page:
    """All files of the page, read once."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets
        self._files = {path: _pack(asset) for path, asset in assets.files.items()}

    async def answer_document(self, request: Request[Any, Any, Any], client: httpx.AsyncClient) -> Response[bytes]:
        """The document with what its view asks first, of `client`."""
        paths = first_paths(request.scope["raw_path"].decode(), dict(request.query_params))
        content = self._assets.html_with(await find_first_answers(client, paths))
        headers = GUARDS | {"cache-control": "no-cache"}
        if _takes_gzip(request):
            content, headers = gzip.compress(content, 6, mtime=0), headers | {"content-encoding": "gzip"}
        return Response(content, headers=headers, media_type="text/html")

    def answer_file(self, request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        """`name`: what follows the prefix. Raises Problem."""
        served = self._files.get(PREFIX + name.lstrip("/"))
        if served is None:
            raise Problem(NOT_FOUND, f"the page has no file {name}")
        return _answer(request, served)


def _pack(asset: Asset) -> Served:
    packed = None if asset.content_type in COMPRESSED_ALREADY else gzip.compress(asset.content, 9, mtime=0)
    if packed is not None and len(packed) >= len(asset.content):
        packed = None
    etag = f'"{hashlib.sha256(asset.content).hexdigest()[:16]}"'
    media_type = asset.content_type.removesuffix("; charset=utf-8")  # which is added to every text
    return Served(asset.content, packed, media_type, etag, FOR_A_YEAR if asset.cacheable else "no-cache")


def _answer(request: Request[Any, Any, Any], served: Served) -> Response[bytes]:
    headers = GUARDS | {"cache-control": served.cache, "etag": served.etag}
    if request.headers.get("if-none-match") == served.etag:
        return Response(b"", status_code=304, headers=headers, media_type=served.media_type)
    content = served.content
    if served.packed is not None and _takes_gzip(request):
        content, headers = served.packed, headers | {"content-encoding": "gzip"}
    return Response(content, headers=headers, media_type=served.media_type)


def _takes_gzip(request: Request[Any, Any, Any]) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


def page_routes(page: Page, client: httpx.AsyncClient) -> list[Any]:
    """The route handlers of the page; `client` asks the API for the first answers of a document."""

    @get(["/", "/alerts", "/pipeline"], include_in_schema=False)
    async def document(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await page.answer_document(request, client)

    @get("/customers/{customer_id:path}", include_in_schema=False)
    async def of_customer(request: Request[Any, Any, Any], customer_id: RestOfPath) -> Response[bytes]:
        return await page.answer_document(request, client)

    @get(PREFIX + "{name:path}", include_in_schema=False, sync_to_thread=False)
    def asset(request: Request[Any, Any, Any], name: RestOfPath) -> Response[bytes]:
        return page.answer_file(request, name)

    return [document, of_customer, asset]
