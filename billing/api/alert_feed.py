"""The alerts of `billing-alerts` in memory: read from the start of the topic, followed for ever, bounded.

Of several copies of an alert the first in its partition stands. They are in the order of their ranks. A position from
the oldest on is a vector, the next offset of each partition, so a reader who comes back misses nothing that arrived
meanwhile in another partition.
"""

import asyncio
import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from billing.api.ranks import CursorInvalid, Rank, Ranks, decode_cursor, encode_cursor, rank_text, read_rank


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as it was published."""

    rank: Rank
    id: str
    customer: str
    body: bytes
    """JSON, as in `GET /v1/alerts`."""
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    alerts: Sequence[Alert]
    next: str | None


class CursorLost(Exception):
    """Alerts after the cursor are no longer kept."""


class AlertFeed:
    """Bounded: beyond `kept_max` the oldest alerts leave."""

    def __init__(self, *, kept_max: int) -> None:
        self._kept_max = kept_max
        self.complete = asyncio.Event()
        """Set by whoever reads the topic, once everything that was in it at the start is here."""
        self._alerts: list[Alert] = []
        self._ids: set[str] = set()
        self._positions: dict[int, int] = {}
        self._ranks = Ranks()
        self._forgotten: dict[int, int] = {}

    def add(self, partition: int, offset: int, timestamp_ms: int, value: bytes | None) -> Alert | None:
        """Takes one record of the topic; None if it is a copy or no alert."""
        if offset < self._positions.get(partition, 0):
            return None
        self._positions[partition] = offset + 1
        alert = _parse(self._ranks.of(partition, offset, timestamp_ms), value)
        if alert is None or alert.id in self._ids:
            return None
        bisect.insort(self._alerts, alert, key=lambda kept: kept.rank)
        self._ids.add(alert.id)
        if len(self._alerts) > self._kept_max:
            self._forget(max(1, self._kept_max // 10))
        return alert

    def _forget(self, count: int) -> None:
        for alert in self._alerts[:count]:
            self._ids.discard(alert.id)
            self._forgotten[alert.rank.partition] = alert.rank.offset + 1
        del self._alerts[:count]

    def position(self) -> str:
        """The cursor behind everything that was read so far."""
        return encode_cursor({"v": {str(partition): offset for partition, offset in sorted(self._positions.items())}})

    def newest(self, count: int) -> Sequence[Alert]:
        return self._alerts[: -count - 1 : -1]

    def after(self, cursor: str | None, *, customer: str | None = None, limit: int) -> Page:
        """Oldest first.

        Raises:
            CursorInvalid: the cursor is none of ours.
            CursorLost: alerts after it were forgotten already.
        """
        vector = self._vector(cursor)
        if cursor and any(vector.get(partition, 0) < offset for partition, offset in self._forgotten.items()):
            raise CursorLost
        page: list[Alert] = []
        for alert in self._alerts:
            if alert.rank.offset < vector.get(alert.rank.partition, 0):
                continue
            if customer is None or alert.customer == customer:
                if len(page) == limit:
                    return Page(page, encode_cursor({"v": {str(number): offset for number, offset in vector.items()}}))
                page.append(alert)
            vector[alert.rank.partition] = alert.rank.offset + 1
        return Page(page, None)

    def before(self, cursor: str | None, *, customer: str | None = None, limit: int) -> Page:
        """Newest first. Raises CursorInvalid."""
        end = len(self._alerts)
        if cursor:
            end = bisect.bisect_left(self._alerts, read_rank(cursor), key=lambda kept: kept.rank)
        page: list[Alert] = []
        for alert in self._backwards(end):
            if customer is None or alert.customer == customer:
                if len(page) == limit:
                    return Page(page, rank_text(page[-1].rank))
                page.append(alert)
        return Page(page, None)

    def _backwards(self, end: int) -> Iterator[Alert]:
        for index in range(end - 1, -1, -1):
            yield self._alerts[index]

    def _vector(self, cursor: str | None) -> dict[int, int]:
        if not cursor:
            return {}
        try:
            return {int(partition): int(offset) for partition, offset in decode_cursor(cursor)["v"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CursorInvalid(cursor) from error


def _parse(rank: Rank, value: bytes | None) -> Alert | None:
    try:
        content = orjson.loads(value or b"")
        return Alert(rank, str(content["id"]), str(content["customer"]), value or b"", content)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
