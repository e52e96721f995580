"""`billing-facts`: what is true and is not usage. Registered before it counts, read from its start by everybody.

So far one kind: versions of the catalog. A record `catalog/<version>` holds `{"version","valid_from_ms","catalog"}`.
The first record of a version that follows on what is registered counts, any other is passed over: two who register at
once get one answer, the same everywhere. What a version says of meters holds from its `valid_from_ms`, yet never
earlier than SLACK_MS after it was registered: by then nobody handles an event without knowing of it.
"""

import asyncio
import logging
from typing import Any

import orjson

from billing.catalog import Catalog, CatalogHistory, parse_catalog
from billing.domain.problems import Invalid, InvalidCatalog, Problem
from billing.following import Follower, TopicReader
from engine import Clock, Event, Message, Sender, Unanswered

SLACK_MS = 30_000
"""An event that arrived longer than this after the facts were last known to their end waits."""
AHEAD_MS = 60_000
"""From when an applied version counts, if nobody says otherwise."""
AGAIN_S = 1.0

logger = logging.getLogger("billing.facts")


class OvertakenError(Exception):
    """Somebody else registered another catalog as this version at the same moment."""


class Facts:
    """Everything registered so far. `run` follows the topic; the rest answers from memory."""

    def __init__(self, reader: TopicReader, clock: Clock, *, wait_s: float = 1.0) -> None:
        self._clock = clock
        self._follower = Follower(reader, self.take, clock, wait_s=wait_s)
        self._registered = asyncio.Event()
        self._latest = 0
        self.history = CatalogHistory()
        self.registered: dict[int, bytes] = {}
        """version -> the catalog as it was registered."""
        self.registered_ms = 0
        """When the newest catalog was."""

    async def run(self) -> None:
        await self._follower.run()

    async def reach_end(self) -> None:
        """Returns when everything that was registered before this call is known."""
        await self._follower.reach_end()

    async def wait_for_catalog(self) -> None:
        """Returns when a catalog is registered."""
        await self._registered.wait()

    @property
    def version(self) -> int:
        """Of the newest catalog; 0 if there is none."""
        return self._latest

    @property
    def catalog(self) -> Catalog:
        """The newest one: prices, limits and thresholds. Only after `wait_for_catalog`."""
        return self.history.newest

    def handles_until_ms(self) -> int:
        """Events that arrived later must wait."""
        return self._follower.known_until_ms + SLACK_MS if self._latest else 0

    @property
    def read(self) -> bool:
        """Whether the topic's end was seen at all: before that nobody can say what is registered."""
        return self._follower.known_until_ms > 0

    def is_current(self, now_ms: int) -> bool:
        return self._latest > 0 and now_ms <= self.handles_until_ms()

    def take(self, event: Event) -> None:
        """One record of the topic."""
        kind, _, _ = (event.key or b"").partition(b"/")
        if kind != b"catalog":
            return  # a kind of a later release
        try:
            fact = orjson.loads(event.value or b"")
            version, valid_from_ms = int(fact["version"]), int(fact["valid_from_ms"])
            raw = orjson.dumps(fact["catalog"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            logger.warning("facts: the record at offset %s cannot be read and is passed over", event.offset)
            return
        if version != self._latest + 1:
            return
        valid_from_ms = 0 if version == 1 else max(valid_from_ms, event.timestamp + SLACK_MS)
        try:
            self.history = self.history.with_version(parse_catalog(raw, json=True), valid_from_ms)
        except Invalid as error:
            logger.error("facts: catalog version %s cannot take effect and is passed over: %s", version, error)
            return
        self._latest = version
        self.registered[version] = raw
        self.registered_ms = event.timestamp
        self._registered.set()


def encode_catalog(topic: str, version: int, valid_from_ms: int, catalog: Catalog) -> Message:
    """The record that registers a version."""
    fact = {"version": version, "valid_from_ms": valid_from_ms, "catalog": orjson.loads(catalog.to_json())}
    return Message(topic, b"catalog/%d" % version, orjson.dumps(fact))


async def register_first(facts: Facts, sender: Sender, topic: str, catalog: Catalog) -> None:
    """Registers `catalog` as version 1 if nothing is registered; returns when a catalog is."""
    await facts.reach_end()
    while not facts.version:
        try:
            await sender.send([encode_catalog(topic, 1, 0, catalog)])
        except Unanswered as error:
            logger.warning("the first catalog is not registered yet: %s", error)
            await asyncio.sleep(AGAIN_S)
        else:
            await facts.wait_for_catalog()


async def apply_catalog(
    facts: Facts, sender: Sender, topic: str, catalog: Catalog, *, from_ms: int | None, now_ms: int
) -> dict[str, Any] | None:
    """Registers the next version and returns `{"version","valid_from_ms"}`; None if it says what is registered.

    Raises:
        InvalidCatalog: it cannot follow on what is registered, or would count from a moment that is too near.
        OvertakenError: somebody else was first.
        Unanswered: perhaps registered; look before you apply again.
    """
    await facts.reach_end()
    version = facts.version + 1
    if facts.version and facts.catalog.to_json() == catalog.to_json():
        return None
    valid_from_ms = 0 if version == 1 else now_ms + AHEAD_MS if from_ms is None else from_ms
    if version > 1 and valid_from_ms < now_ms + SLACK_MS:
        text = f"must be at least {SLACK_MS // 1000} s ahead: what arrives until then may be counted already"
        raise InvalidCatalog([Problem("--from", text)])
    facts.history.with_version(catalog, valid_from_ms)
    message = encode_catalog(topic, version, valid_from_ms, catalog)
    await sender.send([message])
    while facts.version < version:  # noqa: ASYNC110 - the reader of the topic tells nobody
        await asyncio.sleep(0.05)
    if facts.registered[version] != orjson.dumps(orjson.loads(message.value or b"")["catalog"]):
        raise OvertakenError(f"version {version} was registered by somebody else at this moment: look, and apply again")
    return {"version": version, "valid_from_ms": valid_from_ms}
