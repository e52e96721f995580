"""A running system that has counted a world of which everything is known, and is at rest."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import aiokafka

from tests.browser.running import CAUGHT_UP_S, Running, running
from tests.browser.truth_world import ZONES, Customer, World, make_world

BATCH_EVENTS = 300
MIDNIGHT_APART = timedelta(minutes=2)
"""The days that are shown must not change while they are looked at."""


class Known:
    """The system, and what must be true of it. `now` lies behind all that was sent."""

    def __init__(self, system: Running, world: World) -> None:
        self.system = system
        self.world = world
        self.now = world.made + timedelta(minutes=1)

    def answer(self, customer: Customer, what: str, **parameters: str) -> dict[str, Any]:
        return self.system.get(path_of(customer, what), **parameters)


def path_of(customer: Customer, what: str) -> str:
    return f"/v1/customers/{quote(customer.name, safe='')}/{what}"


@contextmanager
def known_system(folder: Path) -> Iterator[Known]:
    """`folder`: for the catalog."""
    while any(map(_is_near_midnight, ZONES)):
        time.sleep(1)
    world = make_world(datetime.now(UTC))
    path = folder / "catalog.json"
    path.write_text(json.dumps(world.catalog()))
    with running(path, seed={}, load={}) as system:
        for first in range(0, len(world.sent), BATCH_EVENTS):
            system.post(world.sent[first : first + BATCH_EVENTS])
        asyncio.run(_produce(system.system.environment, world))
        wanted = sum(world.counts.values())
        _until(lambda: sum(system.get("/v1/pipeline")["counters"].values()) == wanted)
        _until(lambda: len(system.get("/v1/alerts", limit="100")["data"]) >= len(world.due()))
        _until(lambda: len(system.get("/v1/dead-letters")["data"]) >= len(world.rejected))
        yield Known(system, world)


async def _produce(settings: dict[str, str], world: World) -> None:
    """Straight into the log, where no door is."""
    async with aiokafka.AIOKafkaProducer(bootstrap_servers=settings["BILLING_KAFKA"]) as producer:
        for key, value in world.rejected:
            await producer.send_and_wait(settings["BILLING_TOPIC"], value, key=key)


def _is_near_midnight(zone: str) -> bool:
    now = datetime.now(UTC)
    return len({moment.astimezone(ZoneInfo(zone)).date() for moment in (now, now + MIDNIGHT_APART)}) > 1


def _until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + CAUGHT_UP_S
    while not holds():
        assert time.monotonic() < deadline_s, "it does not come to rest"
        time.sleep(0.05)
