"""An engine with a plain handler inside the test's own process, watched by all checkers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from engine import Engine, EngineConfig, Event
from engine.adapters.kafka import KafkaLog, KafkaSender
from engine.adapters.redis import RedisServer
from engine.testing.guarantees import Guarantees, HashChain
from engine.testing.journal import Occurrence
from tests.chaos.topic import TestTopic, chain_of
from tests.chaos.worker import BUCKETS, Seen, Sums, WallClock

HANDLED_S = 30.0
STOPPED_S = 20.0


@dataclass
class Handled:
    """What one engine did. Also the record of its group's assignments."""

    engine: Engine | None = None
    log: KafkaLog | None = None
    guarantees: Guarantees = field(default_factory=Guarantees)
    chain: HashChain = field(default_factory=HashChain)
    values: list[bytes | None] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rounds: list[frozenset[int]] = field(default_factory=list)

    async def __call__(self, event: Event) -> None:
        self.guarantees.see(Occurrence.of("started", event, worker="here"))
        await asyncio.sleep(0)
        self.chain.apply(event.partition, event.key or b"", event.offset, event.value or b"")
        self.values.append(event.value)
        self.guarantees.see(Occurrence.of("done", event, worker="here"))

    def assigned(self, partitions: Iterable[int]) -> None:
        self.rounds.append(frozenset(partitions))
        self.guarantees.see(Occurrence(0.0, "here", "assigned", partitions=self.rounds[-1]))

    def revoked(self, partitions: Iterable[int]) -> None:
        """What is let go is in `rounds` of whoever gets it."""

    async def until(self, what: Callable[[], bool], within_s: float = HANDLED_S) -> None:
        async with asyncio.timeout(within_s):
            while not what():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def check(self, topic: TestTopic, group: str) -> list[Event]:
        """When the group lags no more: every promise against the log, whose events are returned."""
        await topic.until_settled(group)
        events = await topic.read()
        faults = self.guarantees.faults((event.partition, event.offset) for event in events)
        faults += chain_of(events).differences(self.chain.links)
        assert not faults, faults
        return events


class SeenLog(KafkaLog):
    def __init__(self, handled: Handled, bootstrap: str, **options: Any) -> None:
        super().__init__(bootstrap, **options)
        self._handled = handled

    async def start(self, listener: Any) -> None:
        await super().start(Seen(listener, self._handled))


@asynccontextmanager
async def handling(
    topic: TestTopic, sender: KafkaSender, group: str, *, redis_url: str | None = None, **options: Any
) -> AsyncIterator[Handled]:
    """Runs an engine on the topic until the block is left: a plain handler, or with `redis_url` the processor `Sums`.

    `options` go to its log.
    """
    handled = Handled()
    state = None if redis_url is None else RedisServer(redis_url)
    work: dict[str, Any] = {"handler": handled} if state is None else {"processor": Sums(), "state": state}
    common = {"topic": topic.name, "group": group, "session_s": 6.0, "rebalance_s": 10.0}
    handled.log = SeenLog(handled, topic.kafka, **common, **options)
    handled.engine = Engine(
        EngineConfig(**common, drain_s=3.0, commit_interval_s=0.2, retry_max=0, buckets=BUCKETS),  # type: ignore[arg-type]
        log=handled.log, sender=sender, clock=WallClock(), warn=handled.warnings.append, **work,
    )  # fmt: skip
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(handled.engine.run())
        try:
            yield handled
        except BaseException:
            print("\n".join(handled.warnings))
            raise
        finally:
            handled.engine.stop()
            await asyncio.wait([running], timeout=STOPPED_S)
            if state is not None:
                await state.close()
