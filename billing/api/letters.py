"""The newest dead letters, followed from the dead-letter topic, bounded, in the order of their ranks."""

import bisect
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from billing.api.ranks import Rank, Ranks, rank_text, read_rank
from billing.domain.timestamps import time_text
from engine import Event

KEPT_MAX = 10_000
TAIL_MAX = 2_000
"""Of each partition, when the API starts."""
GROUPS_MAX = 50
"""The most frequent errors; others are only in the list."""
PLACE = re.compile(r" at line \d+, column \d+$")
"""Where a text is no JSON makes no other kind of error of it."""


@dataclass(frozen=True, slots=True)
class Letter:
    rank: Rank
    content: Mapping[str, Any]


class LetterBox:
    """Copies of one letter (a crash repeats it) are one: they name the same source."""

    def __init__(self) -> None:
        self._letters: list[Letter] = []
        self._sources: set[tuple[str, int, int]] = set()
        self._ranks = Ranks()

    def add(self, event: Event) -> None:
        """One record of the dead-letter topic."""
        headers = {name: value.decode("utf-8", "replace") for name, value in event.headers}
        partition, offset = _number(headers.get("source-partition")), _number(headers.get("source-offset"))
        source = (headers.get("source-topic", ""), partition, offset)
        if source in self._sources:
            return
        rank = self._ranks.of(event.partition, event.offset, event.timestamp)
        content = {
            "time": time_text(event.timestamp * 1_000),
            "customer": (event.key or b"").decode("utf-8", "replace"),
            "error": headers.get("error", ""),
            "attempts": _number(headers.get("attempts")),
            "topic": source[0],
            "partition": partition,
            "offset": offset,
            "event_id": _event_id(event.value),
        }
        bisect.insort(self._letters, Letter(rank, content), key=lambda kept: kept.rank)
        self._sources.add(source)
        if len(self._letters) > KEPT_MAX:
            gone = self._letters.pop(0).content
            self._sources.discard((gone["topic"], gone["partition"], gone["offset"]))

    def page(self, *, customer: str | None, before: str | None, limit: int) -> dict[str, Any]:
        """Newest first; `before` is an earlier answer's `next`. `groups` counts all that are kept and match, by error.

        Raises:
            CursorInvalid: the cursor is none of ours.
        """
        place = None if before is None else read_rank(before)
        chosen = [
            letter for letter in reversed(self._letters) if customer is None or letter.content["customer"] == customer
        ]
        groups = Counter(PLACE.sub("", letter.content["error"]) for letter in chosen)
        rest = [letter for letter in chosen if place is None or letter.rank < place]
        return {
            "data": [letter.content for letter in rest[:limit]],
            "groups": [{"error": error, "count": count} for error, count in groups.most_common(GROUPS_MAX)],
            "next": rank_text(rest[limit - 1].rank) if len(rest) > limit else None,
        }


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else -1


def _event_id(value: bytes | None) -> str | None:
    try:
        found = orjson.loads(value or b"")["id"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None
