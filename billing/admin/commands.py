"""What an operator can tell a running worker: other settings, pause, resume, release."""

from typing import Any, Literal, TypeVar

import msgspec
from litestar import Request, Response, get, post

from billing.admin.view import WorkerView
from billing.api.problem_types import (
    INVALID_BODY,
    INVALID_SETTINGS,
    KEY_NOT_PARKED,
    NOT_READY,
    UNSUPPORTED_MEDIA_TYPE,
)  # fmt: skip
from billing.api.problems import Problem, invalid
from engine import LIVE, ConfigError, Engine

BODY_BYTES_MAX = 65_536
T = TypeVar("T")


class Place(msgspec.Struct, forbid_unknown_fields=True):
    """A partition, a key, or neither: the topic."""

    partition: int | None = None
    key: str | None = None


class Release(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    action: Literal["retry", "dead_letter"]


def command_routes(view: WorkerView) -> list[Any]:
    """The route handlers that change something."""

    @get("/v1/settings", sync_to_thread=False)
    def settings() -> dict[str, Any]:
        """The engine's settings that may change while it runs, as they are now."""
        return _settings(_engine(view))

    @post("/v1/settings", status_code=200, request_max_body_size=BODY_BYTES_MAX)
    async def change(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Changes `ENGINE_*` settings, all of them or none; 422 names every problem."""
        engine = _engine(view)
        wanted = await _read(request, dict[str, str | int | float | bool])
        try:
            engine.change(wanted)
        except ConfigError as error:
            errors = [{"field": _field_of(problem, wanted), "problem": problem} for problem in error.problems]
            raise Problem(INVALID_SETTINGS, INVALID_SETTINGS.example, errors=errors) from error
        return _settings(engine)

    @post("/v1/pause", status_code=204, request_max_body_size=BODY_BYTES_MAX)
    async def pause(request: Request[Any, Any, Any]) -> None:
        """Hands nothing out of the partition, of the key, or of the topic until resumed; what runs already ends."""
        engine, place = _engine(view), await _read_place(request)
        engine.pause(partition=place.partition, key=_bytes(place.key))

    @post("/v1/resume", status_code=204, request_max_body_size=BODY_BYTES_MAX)
    async def resume(request: Request[Any, Any, Any]) -> None:
        """Takes back the pause with the same partition and key."""
        engine, place = _engine(view), await _read_place(request)
        engine.resume(partition=place.partition, key=_bytes(place.key))

    @post("/v1/release", status_code=204, request_max_body_size=BODY_BYTES_MAX)
    async def release(request: Request[Any, Any, Any]) -> Response[None]:
        """Ends the parking of a key: its event is tried again, or goes to the dead-letter topic."""
        engine, wanted = _engine(view), await _read(request, Release)
        try:
            engine.release(wanted.key.encode(), bury=wanted.action == "dead_letter")
        except LookupError as error:
            raise Problem(KEY_NOT_PARKED, KEY_NOT_PARKED.example) from error
        return Response(None, status_code=204)

    return [settings, change, pause, resume, release]


def _engine(view: WorkerView) -> Engine:
    if view.engine is None:
        raise Problem(NOT_READY, f"not ready: {view.waits_for}")
    return view.engine


def _settings(engine: Engine) -> dict[str, Any]:
    return {f"ENGINE_{name.upper()}": getattr(engine.config, name) for name in sorted(LIVE)}


async def _read_place(request: Request[Any, Any, Any]) -> Place:
    place = await _read(request, Place)
    if place.partition is not None and place.partition < 0:
        raise invalid("partition", "must not be negative")
    if place.partition is not None and place.key is not None:
        raise invalid("key", "give a partition or a key, not both: a key is paused on whatever partition it is")
    return place


async def _read(request: Request[Any, Any, Any], kind: type[T]) -> T:
    """The body. Only as JSON: no page of another origin can send that without being asked."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise Problem(UNSUPPORTED_MEDIA_TYPE, f"content type {content_type or 'missing'}: send application/json")
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = {"field": "", "problem": str(error)}
        raise Problem(INVALID_BODY, f"the body cannot be used: {error}", errors=[problem]) from error


def _field_of(problem: str, wanted: dict[str, Any]) -> str | None:
    """The setting that a problem is about, where it begins with its name."""
    first = problem.partition(" ")[0].removeprefix("ENGINE_").upper()
    return next((name for name in wanted if name.removeprefix("ENGINE_").upper() == first), None)


def _bytes(key: str | None) -> bytes | None:
    return None if key is None else key.encode()
