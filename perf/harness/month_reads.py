"""The ways to read a customer's month, and what their answers tell."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
import msgspec

from engine import StateReader
from engine.state.reader import Account
from perf.harness.month_log import GROUP, Month, customer_name
from perf.harness.servers import Servers
from perf.harness.token_meter import METER
from perf.harness.usage import SCALE

READ = customer_name(0)
Answer = Any


class Place(NamedTuple):
    """Where a customer's month is read. Topic and group have one name."""

    servers: Servers
    group: str
    url: str
    api_pid: int
    month: Month
    hours: int
    groups: int

    @property
    def cells(self) -> int:
        """Of the customer that is read."""
        return self.hours * self.groups


class Told(NamedTuple):
    """What an answer says that the customer has used, and in how many rows (0: it has none)."""

    used: int
    rows: int = 0


class Reads:
    """The ways to read the customer's month."""

    def __init__(self, month: Month, client: httpx.AsyncClient, reader: StateReader) -> None:
        self._month = month
        self._client = client
        self._reader = reader
        self._span = {"meter": METER, "group_by": GROUP, "from": _text(month.start_s), "to": _text(month.end_s)}

    async def account(self) -> Answer:
        """All cells and the total, from Redis, at one moment."""
        return await self._reader.account(READ.encode(), self._month.start_s, self._month.end_s)

    async def spend(self) -> Answer:
        """What the month costs so far, by the API."""
        return await self._ask("spend", {"period": self._month.name})

    async def usage(self) -> Answer:
        """The month by group, by the API: rolled up from all cells."""
        return await self._ask("usage", self._span)

    async def usage_by_hour(self) -> Answer:
        """A row for each cell, by the API."""
        return await self._ask("usage", self._span | {"window": "hour"})

    async def _ask(self, path: str, parameters: Mapping[str, str]) -> Answer:
        response = await self._client.get(f"/v1/customers/{READ}/{path}", params=parameters)
        return response.raise_for_status().content


def told_by_account(answer: Account) -> Told:
    return Told(sum(reading.number for reading in answer.cells.values()) // SCALE, len(answer.cells))


def told_by_spend(answer: bytes) -> Told:
    return Told(sum(int(line["quantity"]) for line in msgspec.json.decode(answer)["lines"]))


def told_by_usage(answer: bytes) -> Told:
    rows = msgspec.json.decode(answer)["data"]
    return Told(sum(int(row["value"]) for row in rows), len(rows))


class Kind(NamedTuple):
    """A way to read, what its answers tell, and how many rows they must have."""

    read: Callable[[Reads], Awaitable[Answer]]
    told: Callable[[Answer], Told]
    rows: Callable[[Place], int]
    by_api: bool = True


KINDS = {
    "account": Kind(Reads.account, told_by_account, lambda place: place.cells, by_api=False),
    "spend": Kind(Reads.spend, told_by_spend, lambda _: 0),
    "usage": Kind(Reads.usage, told_by_usage, lambda place: place.groups),
    "usage by hour": Kind(Reads.usage_by_hour, told_by_usage, lambda place: place.cells),
}


def _text(instant_s: int) -> str:
    return datetime.fromtimestamp(instant_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
