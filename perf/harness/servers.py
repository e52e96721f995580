"""The servers of a run: started for it, or those of a given address.

A Redis that is started here writes no files: ENGINE_DURABILITY is `memory` unless told otherwise, and asks for none.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from engine.embedded.apache import ApacheKafka
from engine.embedded.broker import EmbeddedBroker
from engine.embedded.redis import EmbeddedRedis


@dataclass(frozen=True, slots=True)
class Servers:
    """Where they are. Process ids only of those that were started here: the others' time cannot be read."""

    kafka: str
    """What was asked for: apache, embedded or an address."""
    bootstrap: str
    redis_url: str
    broker_pid: int | None
    redis_pid: int | None

    @property
    def session_s(self) -> float:
        """Of a member of a group. The embedded broker lets the first member of a group wait for half of it."""
        return 6.0 if self.kafka == "embedded" else 45.0

    @property
    def pids(self) -> dict[str, int]:
        """For `steady`."""
        found = {"broker": self.broker_pid, "redis": self.redis_pid}
        return {name: pid for name, pid in found.items() if pid is not None}


@contextmanager
def running(kafka: str, redis_url: str | None = None) -> Iterator[Servers]:
    """`kafka`: `apache`, `embedded` or host:port; `redis_url`: None for one that is started here."""
    with ExitStack() as started:
        redis_pid = broker_pid = None
        if redis_url is None:
            server = started.enter_context(EmbeddedRedis(append_only=False))
            redis_url, redis_pid = server.url, server.pid
        if kafka == "apache":
            apache = started.enter_context(ApacheKafka())
            bootstrap, broker_pid = apache.bootstrap, apache.pids[0]
        elif kafka == "embedded":
            embedded = started.enter_context(EmbeddedBroker())
            bootstrap, broker_pid = embedded.bootstrap, embedded.pid
        else:
            bootstrap = kafka
        yield Servers(kafka, bootstrap, redis_url, broker_pid, redis_pid)


@contextmanager
def append_only(redis_url: str) -> Iterator[None]:
    """Meanwhile the server appends what it writes to a file, and syncs that every second."""
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("appendonly", "yes")
        try:
            while _is_rewriting(client):
                time.sleep(0.05)
            yield
        finally:
            client.config_set("appendonly", "no")


def _is_rewriting(client: redis.Redis) -> bool:
    """Whether what was there before is still being written to the new file."""
    persistence: Any = client.info("persistence")
    return bool(persistence["aof_rewrite_scheduled"] or persistence["aof_rewrite_in_progress"])
