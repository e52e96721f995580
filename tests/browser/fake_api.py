"""A stand-in for the API that serves the page with changing figures, in any of the states that people may see.

`python -m tests.browser.fake_api --state load --port 8089`. States: load, unconfigured, no_events, delayed,
disconnected (the stream is refused), part_failed, loading (answers never come). The state can be changed while it runs.
"""

import argparse
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

from billing.dashboard.assets import CONTENT_SECURITY_POLICY, load_assets
from tests.browser.fake_data import ERRORS, PER_PARTITION_PER_S, RATES, Customer, World, text_time

STATES = ("load", "unconfigured", "no_events", "delayed", "disconnected", "part_failed", "loading")
FRAME_S = 0.4


class Missing(Exception):
    """404."""


class Failing(Exception):
    """503, with its words."""


class FakeApi:
    """Answers by path; `state` is one of STATES."""

    def __init__(self, state: str = "load", *, seed: int = 7) -> None:
        self.state = state
        self.world = World(seed=seed, empty=state in ("no_events", "unconfigured"))
        self.assets = load_assets()
        self.closed = threading.Event()
        self.changed = threading.Condition()
        self.frames: list[tuple[str, dict[str, Any]]] = []
        self.requests: Counter[str] = Counter()
        self.streams = 0
        """How many are open, as far as writing to them has shown."""

    def run(self) -> None:
        """Lets the world go on until closed."""
        while not self.closed.wait(FRAME_S):
            rows, alerts = self.world.step(FRAME_S)
            with self.changed:
                self.frames += [("alert", alert) for alert in alerts]
                self.frames.append(("totals", self.totals(rows)))
                self.frames.append(("pipeline", self.pipeline()))
                self.changed.notify_all()

    @property
    def freshness_s(self) -> float:
        return 4.3 if self.state == "delayed" else round(max(0.1, *map(lag_s, self.world.partitions)), 3)

    @property
    def lag(self) -> int:
        return sum(partition["lag"] for partition in self.world.partitions)

    def totals(self, rows: list[Customer]) -> dict[str, Any]:
        frame = {"as_of": now_text(), "freshness_s": self.freshness_s, "rows": [c.row() for c in rows]}
        return frame | {"currencies": self.currencies()}

    def currencies(self) -> list[dict[str, Any]]:
        found: dict[str, list[Customer]] = {}
        for customer in self.world.customers.values():
            if customer.plan is not None:
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

    # ── Answers ─────────────────────────────────────────────────────────────────────────────────────────────────

    def answer(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        """Raises Missing, Failing."""
        self.requests[path] += 1
        parts = path.strip("/").split("/")
        if self.state == "loading":
            self.closed.wait(60)
        if path == "/readyz":
            return self.ready()
        if self.state == "unconfigured" and path != "/v1/pipeline":
            raise Failing("not ready: no catalog is registered yet")
        if self.state == "part_failed" and path == "/v1/alerts":
            raise Failing("alerts are being read, try again shortly")
        fixed = {
            "/v1/overview": self.overview,
            "/v1/pipeline": self.pipeline,
            "/v1/pipeline/history": lambda: {"data": self.world.history},
            "/v1/dead-letters": self.letters,
        }
        if path in fixed:
            return fixed[path]()
        if path == "/v1/customers":
            return self.listed(query)
        if path == "/v1/alerts":
            chosen = [a for a in self.world.alerts if query.get("customer") in (None, a["customer"])]
            return {"data": sorted(chosen, key=lambda a: a["time"], reverse=True)[:100], "next": None}
        if parts[:2] == ["v1", "customers"] and len(parts) >= 4:
            return self.customer(unquote(parts[2]), "/".join(parts[3:]), query)
        raise Missing

    def ready(self) -> dict[str, Any]:
        waits = (
            ["catalog: none is registered; set BILLING_CATALOG or run: billing catalog apply CATALOG"]
            if self.state == "unconfigured"
            else []
        )
        warnings = [] if waits else ["the API is open: no keys are configured"]
        return {"ready": not waits, "waiting_for": waits, "warnings": warnings}

    def overview(self) -> dict[str, Any]:
        counters = dict(self.world.counters)
        audit = {
            "audit": "equal",
            "time": text_time(datetime.now(UTC) - timedelta(minutes=12)),
            "events": 48_102_118,
            "cells": 91_820,
        }
        return {
            "currencies": self.currencies(),
            "events": {
                "per_s": round(self.world.rate, 1),
                "accepted": sum(counters.values()) + self.lag,
                "in_flight": self.lag,
                **counters,
            },
            "audit": None if self.world.empty else audit,
            "catalog": {
                "version": 3,
                "registered": "2026-01-04T09:00:00Z",
                "differs": False,
                "meters": 2,
                "plans": 2,
                "customers": 36,
            },
            "freshness_s": self.freshness_s,
            "as_of": now_text(),
        }

    def listed(self, query: dict[str, str]) -> dict[str, Any]:
        rows = []
        for customer in self.world.customers.values():
            last = None if self.world.empty else text_time(customer.last_event)
            rows.append(customer.row() | {"last_event": last})
        state = query.get("state")
        rows = [r for r in rows if query.get("q", "").lower() in r["customer"].lower() and stands(r, state)]
        rows.sort(
            key=lambda r: -1.0 if r["limit_share"] is None or r["spend"] is None else float(r["limit_share"]),
            reverse=True,
        )
        count = int(query.get("limit", "50"))
        return {"data": rows[:count], "next": "more" if len(rows) > count else None, "as_of": now_text()}

    def pipeline(self) -> dict[str, Any]:
        partitions = []
        for number, p in enumerate(self.world.partitions):
            held = {
                "offset": p["end"] - p["lag"],
                "key_hash": "9f31c07ae2",
                "age_s": lag_s(p),
                "attempts": 3,
                "reason": "retrying in 2 s",
            }
            partition = {
                "topic": "usage-events",
                "partition": number,
                "worker": f"worker-{number % 2 + 1}",
                "state": "running",
                "lag": p["lag"],
                "lag_s": lag_s(p),
                "in_flight": min(p["lag"], 64),
                "oldest_in_flight_s": lag_s(p),
                "watermark": p["end"] - p["lag"],
                "end": p["end"],
                "held_back_by": held if number == 7 and p["lag"] else None,
            }
            partitions.append(
                partition
                | (
                    {"worker": None, "state": "unassigned", "lag": None}
                    if self.state == "part_failed" and number == 2
                    else {}
                )
            )
        lanes = {"running": 84, "ready": 3, "limit": 256}
        frame = {
            "partitions": partitions,
            "workers": 2,
            "events_per_s": round(self.world.rate, 1),
            "freshness_s": self.freshness_s,
            "lag": None if self.state == "part_failed" else self.lag,
        }
        added = {
            "as_of": now_text(),
            "latency_s": {"p50": 0.021, "p99": 0.084},
            "lanes": lanes,
            "counters": dict(self.world.counters),
            "durability": "aof",
        }
        return frame | added

    def letters(self) -> dict[str, Any]:
        if self.world.empty:
            return {"data": [], "groups": [], "next": None}
        data = [
            {
                "time": text_time(datetime.now(UTC) - timedelta(minutes=7 * n + 1)),
                "customer": list(self.world.customers)[n],
                "error": ERRORS[n % 3],
                "attempts": 1,
                "topic": "usage-events",
                "partition": n,
                "offset": 4_000_000 - 71 * n,
                "event_id": f"req-{n:08x}",
            }
            for n in range(6)
        ]
        return {
            "data": data,
            "groups": [{"error": e, "count": n} for e, n in zip(ERRORS, (305, 88, 19), strict=True)],
            "next": None,
        }

    def customer(self, name: str, rest: str, query: dict[str, str]) -> dict[str, Any]:
        customer = self.world.customers.get(name)
        if customer is None:
            raise Missing
        now = datetime.now(UTC)
        start, end = customer.period(now)
        closing = {"time_zone": customer.zone, "as_of": now_text(), "lag_s": self.freshness_s}
        if rest == "spend":
            return spend_of(customer, start, end, now) | closing
        if rest == "access":
            remaining = (
                None if customer.limit is None else str(max(Decimal(0), Decimal(customer.limit) - customer.spend))
            )
            reason = "no limit" if customer.limit is None else "within limit" if customer.allowed else "limit reached"
            answer = {
                "allowed": customer.allowed,
                "reason": reason,
                "spend": str(customer.spend),
                "limit": customer.limit,
                "remaining": remaining,
            }
            return answer | closing | {"resets_at": text_time(end)}
        if rest == "events":
            return {
                "data": [event for owner, event in reversed(self.world.events) if owner == name][: int(query["limit"])]
            }
        if rest in ("spend/series", "usage"):
            rows = parts_of(customer, start, now, query.get("window", "day"), rest == "usage", query)
            return {"currency": customer.currency, "data": rows, "total": str(customer.spend)} | closing
        raise Missing


def lag_s(partition: dict[str, int]) -> float:
    return round(partition["lag"] / PER_PARTITION_PER_S, 3)


def stands(row: dict[str, Any], state: str | None) -> bool:
    if state is None:
        return True
    if row["spend"] is None:
        return state == "unpriced"
    if row["limit"] is None:
        return state == "none"
    near = Decimal(row["spend"]) >= Decimal(row["limit"]) * 4 / 5
    return (state == "near" and near) or (state == "at" and not row["allowed"])


def spend_of(customer: Customer, start: datetime, end: datetime, now: datetime) -> dict[str, Any]:
    pace = (end - start) / max(now - start, timedelta(hours=1))
    lines = [
        {
            "rate": name,
            "meter": meter,
            "group": group,
            "quantity": str(quantity),
            "amount": str(amount),
            "rate_text": words,
        }
        for (name, meter, group, _, words), quantity, amount in zip(
            RATES, customer.quantities, customer.amounts(), strict=True
        )
    ]
    limit = Decimal(customer.limit or 0)
    marks = [{"rule": f"{p}%", "amount": f"{limit * p / 100:.2f}"} for p in (50, 80, 100)] if customer.limit else []
    return {
        "customer": customer.name,
        "period": {"start": text_time(start), "end": text_time(end)},
        "plan": customer.plan,
        "currency": customer.currency,
        "lines": lines if customer.plan else [],
        "unpriced": [{"meter": "tokens", "group": {"model": "m-preview"}, "quantity": "48211"}],
        "total": str(customer.spend),
        "credits_applied": "0.00",
        "limit": customer.limit,
        "thresholds": marks,
        "projected": str(round(customer.spend * Decimal(pace), 2)),
    }


def parts_of(
    customer: Customer, start: datetime, now: datetime, window: str, usage: bool, query: dict[str, str]
) -> list[dict[str, Any]]:
    """What the customer has, dealt out over the windows until now so that it adds up."""
    step = timedelta(hours=1) if window == "hour" else timedelta(days=1)
    starts = []
    moment = start
    while moment < now:
        starts.append(moment)
        moment = (moment.replace(tzinfo=None) + step).replace(tzinfo=ZoneInfo(customer.zone))
    weights = [2 + (31 * n) % 7 + (3 if n % 7 < 5 else 0) for n in range(len(starts))]
    rows = []
    for (name, meter, group, _, _), quantity, amount in zip(
        RATES, customer.quantities, customer.amounts(), strict=True
    ):
        if usage and meter != query["meter"]:
            continue
        total, dealt = (Decimal(quantity) if usage else amount), Decimal(0)
        for n, begin in enumerate(starts):
            reached = round(total * sum(weights[: n + 1]) / sum(weights), 0 if usage else 2)
            share, dealt = reached - dealt, reached
            place = {"start": text_time(begin), "end": text_time(begin + step)}
            rows.append(
                place | ({"group": group, "value": str(share)} if usage else {"rate": name, "amount": str(share)})
            )
    return rows


def now_text() -> str:
    return text_time(datetime.now(UTC))


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 around a FakeApi."""

    protocol_version = "HTTP/1.1"
    api: FakeApi

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Silent."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/v1/stream":
            self.stream()
        elif parts.path.startswith(("/v1/", "/readyz")):
            self.json(parts.path, query)
        elif asset := self.api.assets.get(parts.path):
            self.send(200, asset.content, asset.content_type)
        elif parts.path.startswith("/assets/") or parts.path == "/favicon.ico":
            self.send(404, b"", "text/plain")
        else:
            self.send(200, self.api.assets.html, "text/html; charset=utf-8")

    def json(self, path: str, query: dict[str, str]) -> None:
        try:
            self.send(200, json.dumps(self.api.answer(path, query)).encode(), "application/json")
        except Missing:
            self.send(404, b'{"status":404,"title":"Not Found"}', "application/problem+json")
        except Failing as error:
            body = json.dumps({"status": 503, "title": "Service Unavailable", "detail": str(error)})
            self.send(503, body.encode(), "application/problem+json")

    def send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-security-policy", CONTENT_SECURITY_POLICY)
        self.end_headers()
        self.wfile.write(body)

    def stream(self) -> None:
        api = self.api
        if api.state == "disconnected":
            self.send(503, b"", "text/plain")
            return
        if api.state == "loading":
            api.closed.wait(60)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        at = len(api.frames)
        with api.changed:
            api.streams += 1
        try:
            self.frame("hello", {"as_of": now_text(), "catalog_version": 3})
            while not api.closed.is_set() and api.state != "disconnected":
                with api.changed:
                    api.changed.wait(FRAME_S)
                    frames, at = api.frames[at:], len(api.frames)
                for name, content in frames:
                    self.frame(name, content)
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            with api.changed:
                api.streams -= 1

    def frame(self, name: str, content: dict[str, Any]) -> None:
        self.wfile.write(f"event: {name}\ndata: {json.dumps(content)}\n\n".encode())
        self.wfile.flush()


@contextmanager
def serving(state: str = "load", *, port: int = 0, seed: int = 7) -> Iterator[tuple[FakeApi, str]]:
    """A running fake and its address on loopback."""
    api = FakeApi(state, seed=seed)
    server = ThreadingHTTPServer(("127.0.0.1", port), type("BoundHandler", (Handler,), {"api": api}))
    server.daemon_threads = True
    threads = [threading.Thread(target=work, daemon=True) for work in (server.serve_forever, api.run)]
    for thread in threads:
        thread.start()
    try:
        yield api, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        api.closed.set()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join(5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", choices=STATES, default="load")
    parser.add_argument("--port", type=int, default=8089)
    options = parser.parse_args()
    with serving(options.state, port=options.port) as (_, address):
        print(address, flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
