"""What billing emits beside the engine's own signals."""

from typing import Final

from engine import Metric

STATUS: Final = "http.response.status_code"

ACCEPTED: Final = Metric(
    "billing.http.events.accepted",
    "counter",
    "{event}",
    "Usage events taken over HTTP: the log has acknowledged them.",
)
REFUSED: Final = Metric(
    "billing.http.requests.refused",
    "counter",
    "{request}",
    "Requests with usage events turned away, by status. 413 and 422: the sender's fault. 429 and 503: come again.",
    frozenset({STATUS}),
)
CATALOG_VERSION: Final = Metric(
    "billing.catalog.version",
    "gauge",
    "{version}",
    "The registered catalog that holds here. Processes that differ for long: one of them cannot read the facts.",
)
CATALOG_DIFFERS: Final = Metric(
    "billing.catalog.differs",
    "gauge",
    "{file}",
    "1 where the configured catalog file differs from the registered one: apply it or restore it.",
)
METRICS: Final = (ACCEPTED, REFUSED, CATALOG_VERSION, CATALOG_DIFFERS)
