"""`/healthz`, `/readyz` and `/metrics`."""

from typing import Any

from litestar import Response, get

from billing.api.described import described
from billing.api.services import Services
from billing.api.shapes import Health, Readiness

METRICS_TYPE = "text/plain; version=0.0.4"
READINESS = described(Readiness, "readyz", tagged=False, about="It can.", unready="readyz-waiting")
EXPOSITION = described(None, "metrics", tagged=False, media_type="text/plain", about="The metrics as they are now.")


def health_routes(services: Services) -> list[Any]:
    """The route handlers for whoever watches the process."""

    @get("/healthz", sync_to_thread=False, opt=described(Health, "healthz", tagged=False))
    def healthz() -> dict[str, str]:
        """200 while the process lives."""
        return {"status": "alive"}

    @get("/readyz", sync_to_thread=False, opt=READINESS)
    def readyz() -> Response[dict[str, Any]]:
        """200 when it can do its work; else 503, and what it waits for."""
        waits = services.waits_for()
        content = {
            "ready": not waits,
            "waiting_for": waits,
            "warnings": services.warnings(),
            "catalog_version": services.facts.version,
            "broker": services.broker,
        }
        return Response(content, status_code=503 if waits else 200)

    @get("/metrics", media_type="text/plain", sync_to_thread=False, opt=EXPOSITION)
    def metrics() -> Response[bytes]:
        """For Prometheus."""
        return Response(services.exposition(), media_type=METRICS_TYPE)

    return [healthz, readyz, metrics]
