"""The last audit's outcome, on a board in Redis: for the dashboard, until the next one or for a month."""

from collections.abc import Mapping
from typing import Any

import orjson

from billing.domain.timestamps import time_text
from engine import StateServer

LASTS_S = 31 * 86_400
NAME = "last"


def audit_board(group: str) -> str:
    return f"audit:{group}"


async def post_audit(server: StateServer, group: str, report: Mapping[str, object], now_ms: int) -> None:
    """`report`: what `billing audit` says. Raises Unanswered."""
    notice = {name: report[name] for name in ("audit", "events", "cells")} | {"time": time_text(now_ms * 1_000)}
    await server.post(audit_board(group), NAME, orjson.dumps(notice), lasts_s=LASTS_S)


async def read_audit(server: StateServer, group: str) -> dict[str, Any] | None:
    """None if there was none. Raises Unanswered."""
    notice = (await server.posted(audit_board(group))).get(NAME)
    return None if notice is None else dict(orjson.loads(notice))
