"""The worker's HTTP: how it is, and commands for operators. Whoever reaches the port may use them: keep it private."""

import socket
from dataclasses import asdict
from typing import Any

import anyio
from litestar import Litestar, Response, get

from billing.admin.commands import command_routes
from billing.admin.view import WorkerView
from billing.api.docs import problems_route
from billing.api.health import METRICS_TYPE
from billing.api.problem_types import NOT_READY
from billing.api.problems import Problem, answer_problem
from billing.http_server import new_server


def create_app(view: WorkerView) -> Litestar:
    """The application of a worker that may still be starting."""

    @get("/healthz", sync_to_thread=False)
    def healthz() -> dict[str, str]:
        """200 while the process lives."""
        return {"status": "alive"}

    @get("/readyz", sync_to_thread=False)
    def readyz() -> Response[dict[str, Any]]:
        """200 once it counts; else 503, and what it waits for."""
        ready = view.engine is not None
        content = {
            "ready": ready,
            "worker": view.name,
            "waiting_for": [] if ready else [view.waits_for],
            "warnings": view.warnings(),
            "catalog_version": view.catalog_version(),
        }
        return Response(content, status_code=200 if ready else 503)

    @get("/metrics", media_type="text/plain", sync_to_thread=False)
    def metrics() -> Response[bytes]:
        """For Prometheus."""
        return Response(view.exposition(), media_type=METRICS_TYPE)

    @get("/v1/statistics", sync_to_thread=False)
    def statistics() -> dict[str, Any]:
        """What the engine says of itself: counters, lanes, partitions, and what holds each of them back."""
        if view.engine is None:
            raise Problem(NOT_READY, f"not ready: {view.waits_for}")
        return asdict(view.engine.statistics())

    return Litestar(
        [healthz, readyz, metrics, statistics, *command_routes(view), problems_route()],
        exception_handlers={Exception: answer_problem},
        openapi_config=None,
        logging_config=None,
    )


async def serve_view(view: WorkerView, listener: socket.socket) -> None:
    """Serves until cancelled."""
    server = new_server(create_app(view))
    try:
        await server.serve(sockets=[listener])
    finally:
        with anyio.CancelScope(shield=True):
            server.should_exit = server.force_exit = True
            if server.started:
                await server.shutdown(sockets=[listener])
        listener.close()
