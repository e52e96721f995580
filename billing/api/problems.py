"""Errors as problem details (RFC 9457): one shape for whatever goes wrong.

`{"type":"about:blank","title":"Not Found","status":404,"detail":"…"}`; a 422 has
`"errors":[{"index","field","problem"}]`.
"""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from engine import Unanswered

MEDIA_TYPE = "application/problem+json"
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
REDIS_AWAY = "Redis does not answer at the moment; nothing is lost, ask again"

logger = logging.getLogger("billing.api")


class Problem(HTTPException):
    """Raised by a handler: what the client is told. `errors` go into the answer as they are."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[dict[str, Any]] = (),
        retry_after_s: int | None = None,
    ) -> None:
        headers = {"retry-after": str(retry_after_s)} if retry_after_s is not None else None
        super().__init__(
            detail=detail, status_code=status, headers=headers, extra={"errors": list(errors)} if errors else None
        )


def invalid(field: str, problem: str) -> Problem:
    """422 for one parameter of a request."""
    return Problem(422, f"{field}: {problem}", errors=[{"field": field, "problem": problem}])


def answer_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The handler for every exception that leaves a route."""
    match error:
        case Unanswered():
            return _response(503, REDIS_AWAY, {}, {"retry-after": "1"})
        case RequestEntityTooLarge():
            return _response(413, "the request is larger than BILLING_REQUEST_BYTES_MAX allows", {}, {})
        case ValidationException():
            extra = error.extra if isinstance(error.extra, list) else []
            errors = [{"field": entry.get("key"), "problem": entry.get("message")} for entry in extra]
            return _response(422, "a parameter of the request cannot be used", {"errors": errors}, {})
        case HTTPException():
            members = error.extra if isinstance(error.extra, dict) else {}
            return _response(error.status_code, error.detail, members, error.headers or {})
        case _:
            logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
            return _response(500, "the server failed; the failure is in its log", {}, {})


def _response(status: int, detail: str, members: dict[str, Any], headers: dict[str, str]) -> Response[bytes]:
    title = TITLES.get(status) or HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail} | members
    return Response(orjson.dumps(body), status_code=status, media_type=MEDIA_TYPE, headers=headers)
