"""The HTTP application: all routes, one shape for errors, the description of it all."""

from typing import Any

from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.openapi import OpenAPIConfig
from litestar.types import ASGIApp, Receive, Scope, Send

from billing.api.alerts import alert_routes
from billing.api.answering import Answer, acceptable
from billing.api.customer_list import list_route
from billing.api.customers import customer_routes
from billing.api.description import describe
from billing.api.docs import POLICY, problems_route, render_docs
from billing.api.first_answers import asking
from billing.api.health import health_routes
from billing.api.ingest import Door, ingest_route
from billing.api.page import Page, page_routes
from billing.api.parameters import CUSTOMERS
from billing.api.pipeline import pipeline_routes
from billing.api.problems import answer_problem
from billing.api.services import Services
from billing.api.stream import stream_route

ABOUT = (
    "Usage events in, exact usage, spend and access out.\n"
    "Amounts and quantities are plain decimal strings. Intervals are half-open. Times are RFC 3339, in answers in UTC. "
    "Errors are problem details (RFC 9457)."
)


def create_app(services: Services, door: Door, page: Page) -> ASGIApp:
    """The application over services that may still be starting."""

    @get("/openapi.json", include_in_schema=False, sync_to_thread=False)
    def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return describe(request.app)

    @get("/docs", include_in_schema=False, sync_to_thread=False)
    def docs(request: Request[Any, Any, Any]) -> Response[str]:
        text = render_docs(describe(request.app))
        return Response(text, media_type="text/html", headers={"content-security-policy": POLICY})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["path"].startswith(CUSTOMERS):
            scope["path"] = scope["raw_path"].decode()  # still encoded, so that a name may hold a slash
        await routes(scope, receive, send)

    routes = Litestar(
        [
            ingest_route(door, bytes_max=services.config.request_bytes_max),
            *customer_routes(services),
            list_route(services),
            *alert_routes(services),
            stream_route(services),
            *pipeline_routes(services),
            *health_routes(services),
            *page_routes(page, asking(app)),
            openapi,
            docs,
            problems_route(),
        ],
        exception_handlers={Exception: answer_problem},
        openapi_config=OpenAPIConfig(
            title="keylane billing",
            version="0.1.0",
            description=ABOUT,
            path="/openapi",
            render_plugins=[],
            use_handler_docstrings=True,
        ),
        logging_config=None,
        response_class=Answer,
        guards=[acceptable],
        state=State({"clock": services.clock}),
        request_max_body_size=services.config.request_bytes_max,
    )

    return app
