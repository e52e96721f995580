"""What the API says of a World as a whole, in the shapes of its OpenAPI document."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.browser.fake_data import ERRORS, PER_PARTITION_PER_S, Customer, World, text_time

Answer = dict[str, Any]
UNCONFIGURED = "catalog: none is registered; set BILLING_CATALOG or run: billing catalog apply CATALOG"


def now_text() -> str:
    return text_time(datetime.now(UTC))


def readiness(*, configured: bool) -> Answer:
    return {
        "ready": configured,
        "waiting_for": [] if configured else [UNCONFIGURED],
        "warnings": ["the API is open: no keys are configured"] if configured else [],
        "catalog_version": 3 if configured else 0,
        "broker": {"transactions": True},
    }


def overview(world: World, freshness_s: float) -> Answer:
    counters = dict(world.counters)
    events = {"per_s": round(world.rate, 1), "accepted": sum(counters.values()) + world.lag, "in_flight": world.lag}
    audited = text_time(datetime.now(UTC) - timedelta(minutes=12))
    audit = {"audit": "equal", "time": audited, "events": 48_102_118, "cells": 91_820}
    catalog = {"version": 3, "registered": "2026-01-04T09:00:00Z", "differs": False}
    return {
        "currencies": currencies(world),
        "events": events | counters,
        "audit": None if world.empty else audit,
        "catalog": catalog | {"meters": 2, "plans": 2, "customers": len(world.customers)},
        "freshness_s": freshness_s,
        "as_of": now_text(),
    }


def currencies(world: World) -> list[Answer]:
    found: dict[str, list[Customer]] = {}
    for customer in world.customers.values():
        if customer.currency is not None:
            found.setdefault(customer.currency, []).append(customer)
    return [
        {
            "currency": currency,
            "spend": str(sum((c.spend for c in customers), Decimal(0))),
            "customers": len(customers),
            "at_limit": sum(not c.allowed for c in customers),
            "near_limit": sum(c.limit is not None and c.spend >= Decimal(c.limit) * 4 / 5 for c in customers),
        }
        for currency, customers in sorted(found.items())
    ]


def totals(world: World, rows: Iterable[Customer], freshness_s: float) -> Answer:
    """The content of a frame."""
    frame = {"as_of": now_text(), "freshness_s": freshness_s, "rows": [customer.row() for customer in rows]}
    return frame | {"currencies": currencies(world)}


def customers(world: World, query: Mapping[str, str]) -> Answer:
    rows = []
    for customer in world.customers.values():
        last = None if world.empty or not customer.spend else text_time(customer.last_event)
        _, end = customer.period(datetime.now(UTC))
        rows.append(customer.row() | {"resets_at": text_time(end), "last_event": last})
    rows = [r for r in rows if query.get("q", "").lower() in r["customer"].lower() and _stands(r, query.get("state"))]
    rows.sort(key=lambda r: Decimal(-1 if r["limit_share"] is None else r["limit_share"]), reverse=True)
    count = int(query.get("limit", "50"))
    return {"data": rows[:count], "next": "more" if len(rows) > count else None, "as_of": now_text()}


def _stands(row: Mapping[str, Any], state: str | None) -> bool:
    if state is None:
        return True
    if row["spend"] is None:
        return state == "unpriced"
    if row["limit"] is None:
        return state == "none"
    near = Decimal(row["spend"]) >= Decimal(row["limit"]) * 4 / 5
    return (state == "near" and near) or (state == "at" and not row["allowed"])


def alerts(world: World, query: Mapping[str, str]) -> Answer:
    chosen = [alert for alert in world.alerts if query.get("customer") in (None, alert["customer"])]
    count = int(query.get("limit", "100"))
    return {"data": sorted(chosen, key=lambda alert: str(alert["time"]), reverse=True)[:count], "next": None}


def pipeline(world: World, freshness_s: float, *, failing: bool) -> Answer:
    """An answer, and the content of a frame. Failing: nothing is known of one partition."""
    partitions = [_partition(number, one) for number, one in enumerate(world.partitions)]
    if failing:
        partitions[2] |= {"worker": None, "state": "unassigned", "lag": None, "lag_s": None}
    return {
        "partitions": partitions,
        "workers": 2,
        "events_per_s": round(world.rate, 1),
        "in_per_s": round(world.rate, 1),
        "freshness_s": freshness_s,
        "lag": None if failing else world.lag,
        "latency_s": {"p50": 0.021, "p99": 0.084},
        "lanes": {"running": 84, "ready": 3, "deferred": 0, "limit": 256, "breaker_open": False},
        "counters": dict(world.counters),
        "durability": "aof",
        "problems": [],
        "as_of": now_text(),
    }


def _partition(number: int, one: Mapping[str, int]) -> Answer:
    counted = one["end"] - one["lag"]
    held = {
        "offset": counted,
        "key_hash": "9f31c07ae2",
        "age_s": lag_s(one),
        "attempts": 3,
        "reason": "retrying in 2 s",
    }
    return {
        "topic": "usage-events",
        "partition": number,
        "worker": f"worker-{number % 2 + 1}",
        "state": "running",
        "lag": one["lag"],
        "lag_s": lag_s(one),
        "in_flight": min(one["lag"], 64),
        "oldest_in_flight_s": lag_s(one),
        "watermark": counted,
        "end": one["end"],
        "held_back_by": held if number == 7 and one["lag"] else None,
        "unstarted": 0,
        "paused": False,
        "parked": [],
    }


def lag_s(partition: Mapping[str, int]) -> float:
    return round(partition["lag"] / PER_PARTITION_PER_S, 3)


def letters(world: World) -> Answer:
    if world.empty:
        return {"data": [], "groups": [], "next": None}
    data = [
        {
            "time": text_time(datetime.now(UTC) - timedelta(minutes=7 * n + 1)),
            "customer": list(world.customers)[n],
            "error": ERRORS[n % 3],
            "attempts": 1,
            "topic": "usage-events",
            "partition": n,
            "offset": 4_000_000 - 71 * n,
            "event_id": f"req-{n:08x}",
        }
        for n in range(6)
    ]
    groups = [{"error": error, "count": n} for error, n in zip(ERRORS, (305, 88, 19), strict=True)]
    return {"data": data, "groups": groups, "next": None}
