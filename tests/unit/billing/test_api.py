"""The routes over small stand-ins: shapes, refusals and headers. The whole over real servers: tests/acceptance."""

import base64
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest

from billing.api.alert_feed import AlertFeed
from billing.api.app import create_app
from billing.api.hub import Hub, Window, encode_frame
from billing.api.ingest import Door, Limits
from billing.api.letters import LetterBox
from billing.api.page import Page
from billing.api.recent import RecentEvents
from billing.api.services import Services, Waiting
from billing.api.stream import _frames
from billing.config import BillingConfig
from billing.dashboard.assets import load_assets
from billing.domain.usage import UsageEvent
from billing.facts import Facts, encode_catalog
from billing.rows import Snapshot
from billing.standings import Standings
from billing.status import PipelineStatus
from billing.store import Store
from engine import Message, Reading
from tests.unit.billing.fakes import (
    CATALOG,
    HOUR_S,
    NOON,
    NOV,
    FakeClock,
    FakeState,
    FakeTopic,
    Record,
    catalog,
    history,
    record,
    usage_event,
)  # fmt: skip

JSON = {"content-type": "application/json"}


class KnownStatus(PipelineStatus):
    """A status that has nothing to ask."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(None, topic="usage-events", clock=clock)  # type: ignore[arg-type]
        self.known_lag_s: float | None = 0.0

    async def fresh(self, timeout_s: float = 0.5) -> bool:
        return True

    def lag_s(self, bucket: int, *, asked_ms: int) -> float | None:
        return self.known_lag_s

    def freshness_s(self, bucket: int | None = None) -> float | None:
        return self.known_lag_s

    def reached(self, bucket: int) -> dict[int, int]:
        return {0: 3}


class KnownStandings(Standings):
    async def fresh(self, timeout_s: float = 2.0) -> Snapshot:
        await self._refresh()
        return self.snapshot


class FakeSender:
    def __init__(self) -> None:
        self.sent: list[Message] = []

    async def send(self, messages: Sequence[Message]) -> None:
        self.sent += messages


class Bench:
    """An API over stand-ins, and a client for it."""

    def __init__(self, *, registered: bool = True) -> None:
        self.clock = FakeClock()
        self.state = FakeState()
        self.facts = Facts(FakeTopic(self.clock), self.clock)
        self.facts._follower.known_until_ms = self.clock.now
        if registered:
            self.facts.take(Record(encode_catalog("t", 1, 0, catalog()).value, b"catalog/1"))
        self.tail = FakeTopic(self.clock)
        self.sender = FakeSender()
        self.status = KnownStatus(self.clock)
        feed = AlertFeed(kept_max=1_000)
        feed.complete.set()
        store = Store(self.state, self.facts)
        config = BillingConfig(viewers_max=1)
        self.services = Services(
            config=config,
            clock=self.clock,
            facts=self.facts,
            store=store,
            standings=KnownStandings(store, self.state, self.facts, buckets=1, clock=self.clock),
            status=self.status,
            feed=feed,
            letters=LetterBox(),
            recent=RecentEvents(self.tail, self.facts, horizon_d=34),
            hub=Hub(viewers_max=1),
            waiting=Waiting(),
            exposition=lambda: b"billing_up 1\n",
        )
        limits = Limits(events_max=1_000, requests_max=4, horizon_d=34)
        self.door = Door(
            self.sender, "usage-events", limits, self.clock,
            check_meters=self._measure,
            waits_for=lambda: None if self.facts.version else "a catalog",
        )  # fmt: skip
        app = create_app(self.services, self.door, Page(load_assets()))
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        self.client = httpx.AsyncClient(transport=transport, base_url="http://api")

    def use(self, customer: str, meter: str, group: tuple[str, ...], hour: int, tokens: int) -> None:
        self.state.add(history(), customer, meter, group, NOV + hour * HOUR_S, Reading(1, tokens * 10**12))

    def _measure(self, event: UsageEvent, arrival_ms: int) -> None:
        self.facts.history.meters_at(arrival_ms).measure(event, arrival_ms * 1_000)

    async def get(self, path: str, status: int = 200, /, **parameters: str) -> Any:
        answer = await self.client.get(path, params=parameters)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def refused(self, path: str, status: int = 422, /, **parameters: str) -> Any:
        answer = await self.client.get(path, params=parameters)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == status
        assert problem["title"]
        return problem


def encoded(name: str) -> str:
    """As a part of an address; dots too, or a client takes `..` for the way up."""
    return quote(name, safe="").replace(".", "%2E")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    found = Bench()
    found.use("acme", "tokens", ("m-large", "eu"), 0, 100)
    found.use("acme", "tokens", ("m-large", "us"), 1, 2_000)
    found.use("acme", "tokens", ("m-small", ""), 25, 7)
    async with found.client:
        yield found


# ------------------------------------------------------------------ usage
async def test_usage_is_the_sum_of_the_month_by_default(bench: Bench) -> None:
    assert await bench.get("/v1/customers/acme/usage", meter="tokens") == {
        "customer": "acme",
        "meter": "tokens",
        "window": "total",
        "data": [{"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z", "group": {}, "value": "2107"}],
        "time_zone": "UTC",
        "as_of": "2026-11-01T12:00:00Z",
        "lag_s": 0.0,
    }


async def test_usage_by_day_and_group(bench: Bench) -> None:
    found = await bench.get(
        "/v1/customers/acme/usage",
        **{
            "meter": "tokens",
            "window": "day",
            "group_by": "region,model",
            "from": "2026-11-01T00:00:00Z",
            "to": "2026-11-02T00:00:00+00:00",
        },
    )
    assert [(row["start"], row["end"], row["group"], row["value"]) for row in found["data"]] == [
        ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", {"region": "eu", "model": "m-large"}, "100"),
        ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", {"region": "us", "model": "m-large"}, "2000"),
    ]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "meter"),
        ({"meter": "bytes"}, "meter"),
        ({"meter": "tokens", "window": "week"}, "window"),
        ({"meter": "tokens", "group_by": "colour"}, "group_by"),
        ({"meter": "tokens", "from": "yesterday"}, "from"),
        ({"meter": "tokens", "from": "2026-11-01T00:00:01Z"}, "from"),
        ({"meter": "tokens", "from": "2026-11-01T00:00:00.5Z"}, "from"),
        ({"meter": "tokens", "window": "day", "from": "2026-11-01T01:00:00Z"}, "from"),
        ({"meter": "tokens", "window": "month", "to": "2026-11-02T00:00:00Z"}, "to"),
        ({"meter": "tokens", "to": "2026-11-01T00:00:00Z"}, "to"),
        ({"meter": "tokens", "from": "1969-12-31T00:00:00Z"}, "from"),
        ({"meter": "tokens", "window": "month", "to": "9999-12-01T00:00:00Z"}, "to"),
        ({"meter": "tokens", "to": "9999-01-01T01:00:00Z"}, "to"),
    ],
)
async def test_usage_that_cannot_be_answered(bench: Bench, parameters: dict[str, str], field: str) -> None:
    problem = await bench.refused("/v1/customers/acme/usage", **parameters)
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize("window", ["hour", "day", "month", "total"])
async def test_the_whole_of_time_can_be_asked_for(bench: Bench, window: str) -> None:
    span = {"from": "1970-01-01T00:00:00Z", "to": "9999-01-01T00:00:00Z"}
    found = await bench.get("/v1/customers/acme/usage", **({"meter": "tokens", "window": window} | span))
    assert sum(int(row["value"]) for row in found["data"]) == 2_107


@pytest.mark.parametrize("name", ["a/b", "/", "..", "a%2Fb", "ü ?#+", "usage"])
async def test_a_customer_may_have_any_name(bench: Bench, name: str) -> None:
    bench.use(name, "tokens", ("m-large", "eu"), 3, 5)
    found = await bench.get(f"/v1/customers/{encoded(name)}/usage", meter="tokens")
    assert (found["customer"], found["data"][0]["value"]) == (name, "5")
    assert (await bench.get(f"/v1/customers/{encoded(name)}/spend/series"))["total"] == "0.05"


async def test_days_are_those_of_the_customer(bench: Bench) -> None:
    parameters = {"meter": "tokens", "window": "day", "from": "2026-11-01T15:00:00Z", "to": "2026-11-02T15:00:00Z"}
    assert (await bench.get("/v1/customers/hanako/usage", **parameters))["data"] == []
    await bench.refused("/v1/customers/hanako/usage", **(parameters | {"from": "2026-11-01T00:00:00Z"}))


# ------------------------------------------------------------------ spend and access
async def test_spend(bench: Bench) -> None:
    found = await bench.get("/v1/customers/acme/spend", period="2026-11")
    assert found == {
        "customer": "acme",
        "period": {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"},
        "plan": "basic",
        "currency": "USD",
        "lines": [
            {
                "rate": "large",
                "meter": "tokens",
                "group": {"model": "m-large"},
                "quantity": "2100",
                "amount": "21.00",
                "rate_text": found["lines"][0]["rate_text"],
            }
        ],
        "unpriced": [{"meter": "tokens", "group": {"model": "m-small", "region": ""}, "quantity": "7"}],
        "total": "21.00",
        "credits_applied": "0.00",
        "limit": "100.00",
        "thresholds": [
            {"rule": "50%", "amount": "50.00"},
            {"rule": "100%", "amount": "100.00"},
            {"rule": "20.00", "amount": "20.00"},
        ],
        "projected": None,
        "resets_at": "2026-12-01T00:00:00Z",
        "time_zone": "UTC",
        "as_of": "2026-11-01T12:00:00Z",
        "lag_s": 0.0,
    }  # fmt: skip
    assert found == await bench.get("/v1/customers/acme/spend")


async def test_projected_when_some_of_the_month_is_over(bench: Bench) -> None:
    bench.clock.now = (NOV + 3 * 86_400) * 1_000
    assert (await bench.get("/v1/customers/acme/spend"))["projected"] == "210.00"
    assert (await bench.get("/v1/customers/acme/spend", period="2026-10"))["projected"] is None


async def test_spend_of_what_is_no_month(bench: Bench) -> None:
    for period in ("2026", "2026-13", "november"):
        await bench.refused("/v1/customers/acme/spend", period=period)


async def test_the_series_adds_up_to_the_total(bench: Bench) -> None:
    found = await bench.get("/v1/customers/acme/spend/series", window="hour")
    assert [(row["start"], row["rate"], row["amount"]) for row in found["data"]] == [
        ("2026-11-01T00:00:00Z", "large", "1.00"), ("2026-11-01T01:00:00Z", "large", "20.00"),
    ]  # fmt: skip
    assert found["total"] == "21.00"


async def test_access_closes_when_the_limit_is_reached(bench: Bench) -> None:
    before = await bench.get("/v1/customers/acme/access")
    assert (before["allowed"], before["spend"], before["limit"], before["remaining"]) == (
        True,
        "21.00",
        "100.00",
        "79.00",
    )
    bench.use("acme", "tokens", ("m-large", "ap"), 2, 7_900)
    after = await bench.get("/v1/customers/acme/access")
    assert (after["allowed"], after["reason"], after["remaining"]) == (False, "limit reached", "0.00")
    assert after["resets_at"] == "2026-12-01T00:00:00Z"


async def test_access_without_a_limit(bench: Bench) -> None:
    found = await bench.get("/v1/customers/hanako/access")
    assert (found["allowed"], found["spend"], found["limit"], found["remaining"]) == (True, "0", None, None)


async def test_a_customer_nobody_names(bench: Bench) -> None:
    for path in ("usage?meter=tokens", "spend", "access", "spend/series", "events"):
        await bench.refused(f"/v1/customers/nobody/{path}", 404)


async def test_lag_grows_until_the_answer_leaves(bench: Bench) -> None:
    bench.status.known_lag_s = 1.5
    assert (await bench.get("/v1/customers/acme/access"))["lag_s"] == 1.5
    bench.status.known_lag_s = None
    assert (await bench.get("/v1/customers/acme/access"))["lag_s"] is None


async def test_redis_away(bench: Bench) -> None:
    bench.state.away = True
    answer = await bench.client.get("/v1/customers/acme/spend")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "Redis" in answer.json()["detail"]


# ------------------------------------------------------------------ customers, alerts, events
async def test_customers_in_pages(bench: Bench) -> None:
    bench.use("rita", "tokens", ("m-large", ""), 3, 500)
    first = await bench.get("/v1/customers", limit="2")
    second = await bench.get("/v1/customers", limit="2", after=first["next"])
    assert [row["customer"] for row in first["data"] + second["data"]] == ["hanako", "acme", "rita"]
    assert second["next"] is None
    assert first["data"][1] == {
        "customer": "acme", "plan": "basic", "spend": "21.00", "currency": "USD", "limit": "100.00",
        "limit_share": "0.21", "allowed": True, "time_zone": "UTC",
        "resets_at": "2026-12-01T00:00:00Z", "last_event": "2026-11-01T12:00:00Z",
    }  # fmt: skip


async def test_nobody_says_there_are_no_customers_before_redis_was_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing_yet(timeout_s: float = 2.0) -> Snapshot:
        return Snapshot(0)

    monkeypatch.setattr(bench.services.standings, "fresh", nothing_yet)
    problem = await bench.refused("/v1/customers", 503)
    assert "Redis" in problem["detail"]


async def test_pages_go_on_where_they_were_though_rows_move(bench: Bench) -> None:
    for number in range(6):
        bench.use(f"c{number}", "tokens", ("m-large", ""), 3, 100 * (9 - number))
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = await bench.get("/v1/customers", currency="USD", limit="2", **after)
        seen += [row["customer"] for row in page["data"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
        bench.use(seen[-1], "tokens", ("m-large", ""), 4, 100_000)  # the row that the place was told by is first now
    assert seen == ["acme", "c0", "c1", "c2", "c3", "c4", "c5"]


async def test_a_walk_is_of_one_moment(bench: Bench) -> None:
    """Who rises past the reader while it pages is not missed, and figures do not change under it."""
    for number in range(4):
        bench.use(f"c{number}", "tokens", ("m-large", ""), 3, 100 * (9 - number))
    first = await bench.get("/v1/customers", currency="USD", limit="2")
    bench.clock.now += 5_000
    bench.use("c3", "tokens", ("m-large", ""), 4, 100_000)
    second = await bench.get("/v1/customers", currency="USD", limit="9", after=first["next"])
    assert [row["customer"] for row in first["data"] + second["data"]] == ["acme", "c0", "c1", "c2", "c3"]
    assert (second["data"][-1]["spend"], second["as_of"]) == ("6.00", first["as_of"])
    bench.clock.now += 400_000
    late = await bench.get("/v1/customers", currency="USD", limit="9", after=first["next"])
    assert [row["customer"] for row in late["data"]] == ["c1", "c2"], "the moment is gone: on behind the same place"
    assert late["as_of"] > first["as_of"]


async def test_customers_by_name_are_of_now(bench: Bench) -> None:
    bench.use("zoe", "tokens", ("m-large", ""), 3, 500)
    first = await bench.get("/v1/customers", order="customer", limit="2")
    bench.clock.now += 5_000
    bench.use("zoe", "tokens", ("m-large", ""), 4, 100)
    second = await bench.get("/v1/customers", order="customer", after=first["next"])
    assert [row["customer"] for row in first["data"] + second["data"]] == ["acme", "hanako", "zoe"]
    assert (second["data"][0]["spend"], second["as_of"] > first["as_of"]) == ("6.00", True)


async def test_a_place_is_one_in_its_order(bench: Bench) -> None:
    for order, other in (("-spend", "-limit_share"), ("-limit_share", "-spend")):
        first = await bench.get("/v1/customers", order=order, limit="1")
        second = await bench.get("/v1/customers", order=order, limit="1", after=first["next"])
        assert first["data"] != second["data"]
        assert second["next"] is None
        await bench.refused("/v1/customers", order=other, after=first["next"])


@pytest.mark.parametrize(
    "parts",
    [
        {},
        7,
        [],
        ["-spend", 1, False, "USD", ["1", "0"], "x"],
        ["-spend", 1, []],
        ["-spend", "x"],
        ["-spend", 1, "x"],
        ["-spend", 1.5, "x"],
        ["customer", 1, "x"],
        ["-spend", None, False, "USD", ["1", "1"], "x"],
    ],
)
async def test_a_place_that_nobody_told(bench: Bench, parts: object) -> None:
    after = base64.urlsafe_b64encode(orjson.dumps(parts)).decode()
    problem = await bench.refused("/v1/customers", after=after)
    assert problem["errors"][0]["field"] == "after"


async def test_customers_by_share_of_the_limit_and_filtered(bench: Bench) -> None:
    assert (await bench.get("/v1/customers", order="-limit_share"))["data"][0]["customer"] == "acme"
    assert [row["customer"] for row in (await bench.get("/v1/customers", q="HAN"))["data"]] == ["hanako"]
    assert [row["customer"] for row in (await bench.get("/v1/customers", currency="USD"))["data"]] == ["acme"]
    for parameters in ({"order": "spend"}, {"limit": "0"}, {"limit": "x"}, {"state": "rich"}, {"after": "!"}):
        await bench.refused("/v1/customers", **parameters)


async def test_alerts(bench: Bench) -> None:
    for offset in range(150):
        bench.services.feed.add(0, offset, offset, orjson.dumps({"id": str(offset), "customer": "acme", "type": "t"}))
    first = await bench.get("/v1/alerts")
    second = await bench.get("/v1/alerts", since=first["next"])
    assert [alert["id"] for alert in first["data"] + second["data"]] == [str(number) for number in range(150)]
    assert second["next"] is None
    newest = await bench.get("/v1/alerts", order="-time", limit="2")
    assert [alert["id"] for alert in newest["data"]] == ["149", "148"]
    assert (await bench.get("/v1/alerts", customer="globex"))["data"] == []
    await bench.refused("/v1/alerts", since="nonsense")


async def test_empty_cursors_begin_at_the_first_page(bench: Bench) -> None:
    bench.services.feed.add(0, 0, 0, orjson.dumps({"id": "0", "customer": "acme", "type": "t"}))
    assert len((await bench.get("/v1/alerts", customer="", since=""))["data"]) == 1
    assert (await bench.get("/v1/dead-letters", since=""))["data"] == []
    assert (await bench.get("/v1/customers", after="")) == await bench.get("/v1/customers")


async def test_no_alerts_before_those_so_far_are_known(bench: Bench) -> None:
    """Or an answer would end in the middle, and a stream would tell old ones as new."""
    feed = bench.services.feed
    feed.complete.clear()
    feed.add(0, 0, 0, orjson.dumps({"id": "0", "customer": "acme", "type": "t"}))
    await bench.refused("/v1/alerts", 503)
    frames = _frames(bench.services, frozenset({"alerts"}), Window(), None)
    assert (await anext(frames)).startswith(b"event: ping\n")
    feed.add(0, 1, 1, orjson.dumps({"id": "1", "customer": "acme", "type": "t"}))
    feed.complete.set()
    assert await anext(frames) == encode_frame(
        "hello", {"as_of": "2026-11-01T12:00:00Z", "catalog_version": 1}, number=feed.position()
    )
    assert len((await bench.get("/v1/alerts"))["data"]) == 2
    await frames.aclose()


async def test_recent_events_with_their_outcome(bench: Bench) -> None:
    bench.tail.records = [
        record(offset=0), record(offset=1), record(offset=2, id="2", data={}), record(offset=3, id="3"),
        record("globex", offset=4),
    ]  # fmt: skip
    bench.tail.records.append(record(offset=5, id="5", type="other"))
    found = await bench.get("/v1/customers/acme/events")
    assert [(event["offset"], event["outcome"]) for event in found["data"]] == [
        (5, "pending"), (3, "pending"), (2, "rejected"), (1, "duplicate"), (0, "counted"),
    ]  # fmt: skip
    assert found["data"][-1]["meters"] == ["tokens"]
    assert "data.tokens" in found["data"][2]["error"]
    only = await bench.get("/v1/customers/acme/events", outcome="rejected", limit="1")
    assert [event["offset"] for event in only["data"]] == [2]


async def test_recent_events_while_kafka_is_away(bench: Bench) -> None:
    bench.tail.away = True
    problem = await bench.refused("/v1/customers/acme/events", 503)
    assert "Kafka" in problem["detail"]


async def test_dead_letters(bench: Bench) -> None:
    for place, offset in enumerate((0, 1, 1, 2)):
        headers = [
            ("error", b"bad"), ("attempts", b"1"), ("source-topic", b"usage-events"), ("source-partition", b"0"),
            ("source-offset", b"%d" % offset),
        ]  # fmt: skip
        bench.services.letters.add(Record(b'{"id":"x"}', offset=place, headers=headers))
    first = await bench.get("/v1/dead-letters", limit="2")
    second = await bench.get("/v1/dead-letters", limit="2", since=first["next"])
    assert [letter["offset"] for letter in first["data"] + second["data"]] == [2, 1, 0]
    assert first["groups"] == [{"error": "bad", "count": 3}]
    assert first["data"][0]["event_id"] == "x"
    for since in ("7", "x", "e30"):
        await bench.refused("/v1/dead-letters", since=since)


# ------------------------------------------------------------------ taking events
async def test_events_are_taken(bench: Bench) -> None:
    for content_type in (
        "application/json",
        "application/cloudevents+json; charset=utf-8",
        "application/cloudevents-batch+json",
    ):
        answer = await bench.client.post(
            "/v1/events", content=orjson.dumps([usage_event()]), headers={"content-type": content_type}
        )
        assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    assert len(bench.sender.sent) == 3


async def test_every_problem_by_index_and_field(bench: Bench) -> None:
    body = orjson.dumps([usage_event(), usage_event(id=7, time="noon"), {}])
    answer = await bench.client.post("/v1/events", content=body, headers=JSON)
    assert answer.status_code == 422
    problem = answer.json()
    assert {(error["index"], error["field"]) for error in problem["errors"]} >= {
        (1, "id"),
        (2, "specversion"),
        (2, "subject"),
    }
    assert all(error["problem"] for error in problem["errors"])
    assert bench.sender.sent == []


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"{}", 415),
        ({"content-type": "text/plain"}, b"{}", 415),
        (JSON | {"content-encoding": "gzip"}, b"{}", 415),
        (JSON, b" " * (1024 * 1024 + 1), 413),
        (JSON, b"[" + b",".join([b"{}"] * 1_001) + b"]", 413),
        (JSON, b"{", 422),
    ],
)
async def test_requests_that_are_refused(bench: Bench, headers: dict[str, str], body: bytes, status: int) -> None:
    answer = await bench.client.post("/v1/events", content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert bench.sender.sent == []


# ------------------------------------------------------------------ the rest
async def test_before_a_catalog_is_known() -> None:
    found = Bench(registered=False)
    async with found.client:
        ready = await found.get("/readyz", 503)
        assert not ready["ready"]
        assert "catalog" in ready["waiting_for"][0]
        await found.refused("/v1/customers/acme/spend", 503)
        answer = await found.client.post("/v1/events", content=orjson.dumps(usage_event()), headers=JSON)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert await found.get("/healthz") == {"status": "alive"}


async def test_nobody_misses_a_catalog_before_the_facts_were_read() -> None:
    found = Bench(registered=False)
    found.facts._follower.known_until_ms = 0
    async with found.client:
        assert (await found.get("/readyz", 503))["waiting_for"] == ["facts: they are still being read"]


async def test_ready_with_a_warning_where_the_file_differs(bench: Bench) -> None:
    bench.services.configured = catalog(CATALOG.replace(b'"0.01"', b'"0.02"'))
    bench.services.broker = {"transactions": False}
    ready = await bench.get("/readyz")
    assert ready["broker"] == {"transactions": False}
    assert ready["ready"]
    assert any("billing catalog apply" in warning for warning in ready["warnings"])


async def test_facts_that_were_not_seen_lately(bench: Bench) -> None:
    bench.clock.now += 3_600_000
    assert any("facts" in reason for reason in (await bench.get("/readyz", 503))["waiting_for"])


async def test_metrics(bench: Bench) -> None:
    answer = await bench.client.get("/metrics")
    assert (answer.status_code, answer.text) == (200, "billing_up 1\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_texts_name_their_encoding_once(bench: Bench) -> None:
    for path in ("/", "/docs", *(path for path in load_assets().files if path.endswith(("js", "css")))):
        assert (await bench.client.get(path)).headers["content-type"].count("charset=utf-8") == 1, path


async def test_a_parameter_is_refused_by_its_name(bench: Bench) -> None:
    for path, name in (("/v1/stream", "top"), ("/v1/pipeline/history", "seconds"), ("/v1/alerts", "limit")):
        problem = await bench.refused(path, **{name: "0"})
        assert problem["errors"][0]["field"] == name


async def test_the_overview_says_which_catalog_rules(bench: Bench) -> None:
    found = await bench.get("/v1/overview")
    assert found["catalog"] == {
        "version": 1, "registered": "2026-11-01T12:00:00Z", "differs": False, "meters": 2, "plans": 1, "customers": 2,
    }  # fmt: skip


async def test_the_description_names_every_route_and_no_other_host(bench: Bench) -> None:
    document = (await bench.client.get("/openapi.json")).json()
    paths = {
        "/v1/events", "/v1/customers", "/v1/customers/{customer_id}/usage", "/v1/customers/{customer_id}/spend",
        "/v1/customers/{customer_id}/access", "/v1/alerts", "/v1/stream", "/v1/pipeline", "/healthz", "/readyz",
        "/metrics",
    }  # fmt: skip
    assert paths <= document["paths"].keys()
    docs = await bench.client.get("/docs")
    assert docs.headers["content-type"].startswith("text/html")
    for path in paths:
        assert path in docs.text
    assert "://" not in docs.text
    assert "what a row covers: day, hour, month, total; total if absent" in docs.text
    assert "&quot;limit_share&quot;: &quot;0.82&quot;" in docs.text
    assert "how many customers at most: 1 to 1,000, 50 if absent" in docs.text
    assert "<script" not in docs.text
    assert "default-src 'none'" in docs.headers["content-security-policy"]


async def test_the_page_answers_at_its_addresses(bench: Bench) -> None:
    for path in ("/", "/customers/acme", "/customers/a%2Fb", "/alerts", "/pipeline"):
        answer = await bench.client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith("text/html")
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-cache"


async def test_files_of_the_page_are_compressed_and_kept_for_a_year(bench: Bench) -> None:
    name = next(path for path in load_assets().files if path.endswith(".css"))
    answer = await bench.client.get(name)
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    await bench.refused("/assets/nothing.css", 404)


async def test_what_is_not_there(bench: Bench) -> None:
    await bench.refused("/v2", 404)
    answer = await bench.client.delete("/v1/events")
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")


async def test_a_stream_that_cannot_be(bench: Bench) -> None:
    await bench.refused("/v1/stream", topics="weather")
    await bench.refused("/v1/stream", top="0")
    bench.services.hub.join({"alerts"}, Window())
    answer = await bench.client.get("/v1/stream")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_noon() -> None:
    assert NOON == NOV + 12 * HOUR_S
