"""How every answer to a GET leaves: as JSON or CSV, and only where it says something new.

**Tags.** An answer has a weak `ETag` over its content without `as_of`, `lag_s` and `freshness_s`: two answers with the
same tag say the same, however old they are. `If-None-Match` with that tag is answered with 304 and no body.

A 304 must not hide that data is late. So it carries `keylane-as-of` and `keylane-lag-s`, as every answer does that
knows them; and where the lag is not known, or the data is older than `LATE_S`, the answer is sent whole.

**CSV.** Where the description of a route names a table, `Accept: text/csv` gets it, with the next page in `Link`.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from litestar import Litestar, MediaType, Request, Response
from litestar.background_tasks import BackgroundTask, BackgroundTasks
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.handlers import BaseRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import TypeEncodersMap

from billing.api.described import DESCRIBED, Described
from billing.api.problem_types import NOT_ACCEPTABLE
from billing.api.problems import Problem
from billing.api.tables import CSV_TYPE, file_name, next_link, render_csv
from billing.domain.timestamps import parse_time_us
from engine import Clock

JSON_TYPE = "application/json"
LATE_S = 2.0
"""Data of this age is late, to people too: the page shows it as delayed."""
LAGS = ("lag_s", "freshness_s")
VOLATILE = frozenset({"as_of", *LAGS})
"""What says how old an answer is, and nothing else."""
NOTHING = Described()


def acceptable(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: refuses what a table cannot be shown as, before any work. Raises Problem 406."""
    described: Described = handler.opt.get(DESCRIBED, NOTHING)
    if described.table is not None and chosen_type(connection.headers.get("accept"), described) is None:
        accept = connection.headers.get("accept", "")
        raise Problem(NOT_ACCEPTABLE, f"Accept: {accept[:200]}: there are {JSON_TYPE} and {CSV_TYPE}")


def chosen_type(accept: str | None, described: Described) -> str | None:
    """What the client likes best of what there is, JSON if it does not mind; None if it takes neither (RFC 9110)."""
    if described.table is None or not accept:
        return JSON_TYPE
    ranges = [_read_range(text) for text in accept.split(",") if text.strip()]
    liked = {offered: _quality(ranges, offered) for offered in (JSON_TYPE, CSV_TYPE)}
    best = max(liked, key=lambda offered: liked[offered])
    return best if liked[best] > 0 else None


def _read_range(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
    try:
        return name, float(quality)
    except ValueError:
        return name, 0.0


def _quality(ranges: Iterable[tuple[str, float]], offered: str) -> float:
    """Of the most precise range that holds it."""
    family = offered.partition("/")[0]
    precision = {offered: 3, f"{family}/*": 2, "*/*": 1}
    found = [(precision[name], quality) for name, quality in ranges if name in precision]
    return max(found, default=(0, 0.0))[1]


class Answer(Response[dict[str, Any]]):
    """The content of a route as the client wants it."""

    def to_asgi_response(
        self,
        app: Litestar | None,
        request: Request[Any, Any, Any],
        *,
        background: BackgroundTask | BackgroundTasks | None = None,
        cookies: Iterable[Cookie] | None = None,
        encoded_headers: Iterable[tuple[bytes, bytes]] | None = None,
        headers: dict[str, str] | None = None,
        is_head_response: bool = False,
        media_type: MediaType | str | None = None,
        status_code: int | None = None,
        type_encoders: "TypeEncodersMap | None" = None,
    ) -> ASGIResponse:
        described: Described = request.route_handler.opt.get(DESCRIBED, NOTHING)
        kind = chosen_type(request.headers.get("accept"), described) or JSON_TYPE
        told = _headers(self.content, described)
        status, body = self.status_code or status_code, b""
        if described.tagged:
            told["etag"] = tag_of(self.content, kind)
        if described.tagged and _is_known(request.headers.get("if-none-match"), told["etag"]):
            clock: Clock = request.app.state.clock
            status = status if is_late(self.content, clock.now_ms()) else 304
        if status != 304:
            body = self._body(request, described, kind, told)
        return ASGIResponse(
            body=body, headers=told | (headers or {}), status_code=status or 200, media_type=kind,
            background=self.background or background, cookies=cookies, encoded_headers=encoded_headers,
            is_head_response=is_head_response,
        )  # fmt: skip

    def _body(self, request: Request[Any, Any, Any], described: Described, kind: str, told: dict[str, str]) -> bytes:
        """And the headers that belong to it."""
        table, content = described.table, self.content
        if table is None or kind != CSV_TYPE:
            return orjson.dumps(content)
        told["content-disposition"] = f'attachment; filename="{file_name(table, content)}"'
        query = request.query_params
        if table.cursor is not None and content["next"] is not None:
            told["link"] = next_link(request.url.path, query.multi_items(), table.cursor, content["next"])
        return render_csv(table, content, dict(query))


def tag_of(content: Mapping[str, Any], kind: str) -> str:
    """Weak (RFC 9110): the same tag for the same meaning, not for the same bytes.

    Of the cursor counts only that there is one: it names the moment too, and goes on behind the same rows.
    """
    lasting = {name: value for name, value in content.items() if name not in VOLATILE}
    if "next" in lasting:
        lasting["next"] = lasting["next"] is not None
    return f'W/"{hashlib.blake2b(orjson.dumps([kind, lasting]), digest_size=12).hexdigest()}"'


def is_late(content: Mapping[str, Any], now_ms: int) -> bool:
    """Whether what it says is older than `LATE_S`, or may be for all that is known."""
    if any(content[name] is None or content[name] > LATE_S for name in LAGS if name in content):
        return True
    if "as_of" not in content:
        return False
    as_of = content["as_of"]
    return as_of is None or now_ms - parse_time_us(as_of) / 1_000 > LATE_S * 1_000


def _is_known(asked: str | None, tag: str) -> bool:
    if not asked:
        return False
    known = {each.strip().removeprefix("W/") for each in asked.split(",")}
    return "*" in known or tag.removeprefix("W/") in known


def _headers(content: Mapping[str, Any], described: Described) -> dict[str, str]:
    told = {"cache-control": "private, no-cache" if described.tagged else "no-store"}
    if described.table is not None:
        told["vary"] = "accept"
    if content.get("as_of") is not None:
        told["keylane-as-of"] = content["as_of"]
    lag_s = next((content[name] for name in LAGS if content.get(name) is not None), None)
    if lag_s is not None:
        told["keylane-lag-s"] = f"{lag_s:.3f}"
    return told
