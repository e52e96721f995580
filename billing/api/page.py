"""The page: one document for four addresses, and its files under a name that changes with their content.

All files share one hash, so that modules may import each other by relative names and still be cached for a year.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException

STATIC = Path(__file__).parent.parent / "dashboard" / "static"
DOCUMENT = "index.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
GUARDS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
FOR_A_YEAR = "public, max-age=31536000, immutable"
COMPRESSED_ALREADY = frozenset({".woff2", ".png", ".gz", ".ico"})
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".woff2": "font/woff2", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file in memory; `packed` is its gzip form where that is smaller."""

    content: bytes
    packed: bytes | None
    media_type: str
    etag: str


class Page:
    """All files of the page, read once."""

    def __init__(self, folder: Path = STATIC) -> None:
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }
        digest = hashlib.sha256()
        for name, content in files.items():
            digest.update(b"%s\0%d\0" % (name.encode(), len(content)) + content)
        self.version = digest.hexdigest()[:16]
        document = files.pop(DOCUMENT, b"").replace(b"/static/", f"/static/{self.version}/".encode())
        self._assets = {name: _load(name, content) for name, content in files.items()}
        self._document = _load(DOCUMENT, document) if document else None

    def answer_document(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        if self._document is None:
            raise NotFoundException(detail="this build has no page; the API is described at /docs")
        return _answer(request, self._document, "no-cache")

    def answer_asset(self, request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        """`name` with or without the version in front."""
        version, slash, rest = name.lstrip("/").partition("/")
        versioned = bool(slash) and version == self.version
        asset = self._assets.get(rest if versioned else name.lstrip("/"))
        if asset is None:
            raise NotFoundException(detail=f"no such file: {name}")
        return _answer(request, asset, FOR_A_YEAR if versioned else "no-cache")


def _load(name: str, content: bytes) -> Asset:
    suffix = Path(name).suffix
    media_type = TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    packed = None if suffix in COMPRESSED_ALREADY else gzip.compress(content, 9, mtime=0)
    if packed is not None and len(packed) >= len(content):
        packed = None
    return Asset(content, packed, media_type, f'"{hashlib.sha256(content).hexdigest()[:16]}"')


def _answer(request: Request[Any, Any, Any], asset: Asset, cache: str) -> Response[bytes]:
    headers = GUARDS | {"cache-control": cache, "etag": asset.etag, "vary": "accept-encoding"}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(b"", status_code=304, headers=headers, media_type=asset.media_type)
    content = asset.content
    if asset.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        content, headers = asset.packed, headers | {"content-encoding": "gzip"}
    return Response(content, headers=headers, media_type=asset.media_type)


def page_routes(page: Page) -> list[Any]:
    """The route handlers of the page."""

    @get(["/", "/customers/{customer_id:path}", "/alerts", "/pipeline"], include_in_schema=False, sync_to_thread=False)
    def document(request: Request[Any, Any, Any]) -> Response[bytes]:
        return page.answer_document(request)

    @get("/static/{name:path}", include_in_schema=False, sync_to_thread=False)
    def asset(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        return page.answer_asset(request, name)

    return [document, asset]
