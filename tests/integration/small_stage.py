"""A stage for scenarios at a tiny size, in this process, on servers that the test brings; and what damages a state."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any

import redis
from rich.console import Console
from rich.progress import Progress

from engine.state import keys
from engine.state.identity import bucket_of
from perf.harness.servers import Servers
from perf.harness.stage import Stage

CELL_BYTES_MIN = 5


class SmallServers(Servers):
    """Members of groups wait less than in a run."""

    @property
    def session_s(self) -> float:
        return 2.0


class SmallStage(Stage):
    """Quick, one round, without processes of its own."""

    def isolated(self, function: Callable[..., Awaitable[Any]], **arguments: object) -> Any:
        return in_process(function, **arguments)


def in_process(function: Callable[..., Awaitable[Any]], **arguments: object) -> Any:
    """As `isolated`, in this process."""

    async def run() -> Any:
        return await function(**arguments)

    return asyncio.run(run())


def small_stage(kafka: str, redis_url: str, scenario: str) -> SmallStage:
    servers = SmallServers("embedded", kafka, redis_url, None, None)
    return SmallStage(servers, True, 1, Progress(console=Console(file=io.StringIO())), scenario)


def lose_a_cell(redis_url: str, group: str, key: bytes, buckets: int) -> None:
    """As nobody but a person with a client would do."""
    tag = keys.tag(group, bucket_of(key, buckets))
    with redis.Redis.from_url(redis_url) as client:
        (page, *_) = client.keys(tag + b"d:*:" + key)
        cells = [field for field in client.hkeys(page) if len(field) >= CELL_BYTES_MIN]
        assert client.hdel(page, cells[0]) == 1
