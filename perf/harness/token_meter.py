"""The meter of the billing scenarios: tokens of a gateway's events."""

from collections.abc import Mapping
from typing import Any

EVENT_TYPE = "llm.tokens"
METER = "tokens"


def token_meter(group_by: Mapping[str, str]) -> dict[str, Any]:
    """As a catalog has it. `group_by`: names of groups and where they are in an event."""
    return {
        "name": METER,
        "event_type": EVENT_TYPE,
        "aggregation": "sum",
        "property": "data.tokens",
        "group_by": dict(group_by),
    }
