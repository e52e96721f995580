"""The servers of a run: started for it, or those of a given address."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

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
            redis = started.enter_context(EmbeddedRedis())
            redis_url, redis_pid = redis.url, redis.pid
        if kafka == "apache":
            apache = started.enter_context(ApacheKafka())
            bootstrap, broker_pid = apache.bootstrap, apache.pids[0]
        elif kafka == "embedded":
            embedded = started.enter_context(EmbeddedBroker())
            bootstrap, broker_pid = embedded.bootstrap, embedded.pid
        else:
            bootstrap = kafka
        yield Servers(kafka, bootstrap, redis_url, broker_pid, redis_pid)
