"""Answers about a customer whose days are chosen: periods, spend by day or hour, events and alerts at given times."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from tests.browser.fake_api import serving

HOUR = timedelta(hours=1)
Window = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Days:
    """Of one customer. `windows`: in UTC, each with what it came to; the server alone cuts them."""

    zone: str
    as_of: datetime
    windows: Sequence[tuple[Window, Decimal]] = ()
    moments: Sequence[datetime] = ()
    """When its alerts fired and its events came."""

    def month(self) -> Window:
        first = self.as_of.astimezone(ZoneInfo(self.zone)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return first.astimezone(UTC), (first + timedelta(days=32)).replace(day=1).astimezone(UTC)

    @property
    def total(self) -> Decimal:
        return sum((amount for _, amount in self.windows), Decimal(0))

    def answer(self, name: str, what: str) -> dict[str, Any]:
        """The answer to `/v1/customers/{name}/{what}`."""
        start, end = map(text_of, self.month())
        reading = {"customer": name, "time_zone": self.zone, "as_of": text_of(self.as_of), "lag_s": 0.0}
        reading |= {"currency": "EUR", "limit": "9007199254740994.00", "resets_at": end}
        answers: dict[str, dict[str, Any]] = {
            "spend": {
                "period": {"start": start, "end": end},
                "plan": "scale",
                "lines": [],
                "unpriced": [],
                "total": f"{self.total:.2f}",
                "credits_applied": "0.00",
                "thresholds": [],
                "projected": f"{self.total:.2f}",
            },
            "access": {"allowed": True, "reason": "within limit", "spend": f"{self.total:.2f}", "remaining": "1.00"},
            "spend/series": {
                "total": f"{self.total:.2f}",
                "data": [
                    {"start": text_of(begin), "end": text_of(end), "rate": "large", "amount": f"{amount:.2f}"}
                    for (begin, end), amount in self.windows
                ],
            },
            "events": {"data": [event_at(moment, place) for place, moment in enumerate(self.moments)]},
        }
        return answers[what] | reading

    def alerts(self, name: str) -> list[dict[str, Any]]:
        start, end = map(text_of, self.month())
        return [
            {
                "id": f"{name}-{moment.timestamp()}",
                "type": "spend.threshold",
                "customer": name,
                "period": {"start": start, "end": end},
                "rule": "50%",
                "threshold": "250.00",
                "spend": "251.00",
                "limit": "500.00",
                "currency": "EUR",
                "time": text_of(moment),
                "latency_s": 0.1,
            }
            for moment in self.moments
        ]


def event_at(moment: datetime, place: int) -> dict[str, Any]:
    told = {"id": f"event-{place}", "type": "llm.tokens", "partition": 0, "offset": place, "meters": ["tokens"]}
    return told | {"arrival": text_of(moment), "time": text_of(moment), "outcome": "counted", "error": None}


def text_of(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


@contextmanager
def serving_days(customers: dict[str, Days]) -> Iterator[str]:
    """A stand-in for the API that knows these customers too; its address."""
    with serving("load") as (api, address):
        others: Callable[[str, dict[str, str]], dict[str, Any]] = api.answer

        def answer(path: str, query: dict[str, str]) -> dict[str, Any]:
            parts = path.strip("/").split("/", 3)
            if parts[:2] == ["v1", "customers"] and len(parts) == 4 and (days := customers.get(unquote(parts[2]))):
                return days.answer(unquote(parts[2]), parts[3])
            if path == "/v1/alerts":
                named = [name for name in customers if query.get("customer") in (None, name)]
                return {"data": [alert for name in named for alert in customers[name].alerts(name)], "next": None}
            return others(path, query)

        api.answer = answer  # type: ignore[method-assign]
        yield address
