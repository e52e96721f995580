"""Errors as problem details (RFC 9457): one shape for whatever goes wrong, and one table of all that can.

`{"type":"/problems#unknown-customer","title":"…","status":404,"detail":"…"}`; a 422 has
`"errors":[{"index","field","problem"}]`. `type` names an entry of `PROBLEM_TYPES` and leads to its description, which
every process serves itself: programs go by it, people by `detail`.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from billing.api.problem_types import (
    BAD_REQUEST,
    INTERNAL_ERROR,
    INVALID_PARAMETER,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    PROBLEM_TYPES,
    REDIS_AWAY,
    REQUEST_TOO_LARGE,
    ProblemType,
)  # fmt: skip
from engine import Unanswered

MEDIA_TYPE = "application/problem+json"
OF_THE_FRAMEWORK: Mapping[int, ProblemType] = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED, 413: REQUEST_TOO_LARGE}
"""What is raised before a route is found."""

logger = logging.getLogger("billing.api")


class Problem(HTTPException):
    """Raised by a handler: what the client is told. `errors` go into the answer as they are."""

    def __init__(self, kind: ProblemType, detail: str, *, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(detail=detail, status_code=kind.status)
        self.kind = kind
        self.errors = errors


def invalid(field: str, problem: str, kind: ProblemType = INVALID_PARAMETER) -> Problem:
    """For one parameter of a request."""
    return Problem(kind, f"{field}: {problem}", errors=[{"field": field, "problem": problem}])


def problem_body(kind: ProblemType, detail: str, errors: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The content of an answer."""
    body = {"type": kind.uri, "title": kind.title, "status": kind.status, "detail": detail}
    return body | {"errors": list(errors)} if errors else body


def answer_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The handler for every exception that leaves a route."""
    match error:
        case Problem():
            return _response(error.kind, error.detail, error.errors)
        case Unanswered():
            return _response(REDIS_AWAY, REDIS_AWAY.example)
        case RequestEntityTooLarge():
            return _response(REQUEST_TOO_LARGE, REQUEST_TOO_LARGE.example)
        case ValidationException():
            extra = error.extra if isinstance(error.extra, list) else []
            errors = [{"field": entry.get("key"), "problem": entry.get("message")} for entry in extra]
            return _response(INVALID_PARAMETER, "a parameter of the request cannot be used", errors)
        case HTTPException(status_code=status) if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            kind = OF_THE_FRAMEWORK.get(status, BAD_REQUEST)
            return _response(kind, error.detail or kind.example, headers=error.headers)
        case _:
            logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
            return _response(INTERNAL_ERROR, INTERNAL_ERROR.example)


def _response(
    kind: ProblemType,
    detail: str,
    errors: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    assert PROBLEM_TYPES[kind.slug] is kind, "a problem that nobody can look up"
    known = dict(headers or {})
    if kind.retry_after_s is not None:
        known["retry-after"] = str(kind.retry_after_s)
    body = orjson.dumps(problem_body(kind, detail, errors))
    return Response(body, status_code=kind.status, media_type=MEDIA_TYPE, headers=known)
