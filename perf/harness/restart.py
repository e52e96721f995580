"""How long a worker takes from the moment a partition is its own to the first commit that is new."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from statistics import median

from engine.adapters.kafka import KafkaLog
from engine.notice import Notice
from engine.ports import Committed
from perf.harness.produce import send_all
from perf.harness.resident import BUCKETS
from perf.harness.servers import Servers
from perf.harness.usage import TokenUsage, UsageLog
from perf.harness.worker import worker

COMMIT_INTERVAL_S = 0.02
"""Short, so that it hides nothing."""
WITHIN_S = 60.0


class RestartWatch:
    """Hears of the assignment and of commits, and knows when one is beyond what was committed before."""

    def __init__(self, committed: int) -> None:
        self._committed = committed
        self._assigned_s: float | None = None
        self._began_s = 0.0
        self._done_s: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def tell(self, notice: Notice) -> None:
        """The engine's notices go here."""
        now_s = time.perf_counter()
        if notice.name == "partition.assigned" and self._assigned_s is None:
            self._assigned_s = now_s
        elif notice.name == "epoch.began" and not self._began_s:
            self._began_s = now_s

    def committed(self, offset: int) -> None:
        """The group has committed this."""
        if offset > self._committed and not self._done_s.done():
            self._done_s.set_result(time.perf_counter())

    async def figures(self) -> dict[str, float]:
        """Milliseconds since the assignment until the first event is read, and until the new commit.

        Raises TimeoutError: there is none.
        """
        async with asyncio.timeout(WITHIN_S):
            done_s = await self._done_s
        assert self._assigned_s is not None, "a commit without an assignment"
        return {
            "begin_ms": (self._began_s - self._assigned_s) * 1e3,
            "commit_ms": (done_s - self._assigned_s) * 1e3,
        }


class WatchedLog(KafkaLog):
    """Tells of every commit that the group took."""

    def __init__(self, watch: RestartWatch, servers: Servers, topic: str, group: str) -> None:
        super().__init__(servers.bootstrap, topic=topic, group=group, session_s=servers.session_s)
        self._restart = watch

    async def commit(self, offsets: Mapping[int, Committed]) -> bool:
        taken = await super().commit(offsets)
        if taken:
            self._restart.committed(max(each.offset for each in offsets.values()))
        return taken


async def restarts(
    servers: Servers, topic: str, group: str, logs: Sequence[UsageLog], committed: int
) -> dict[str, float]:
    """Each of `logs` waits in the log when a worker starts; the median of the figures of all starts, for `isolated`."""
    found = []
    for log in logs:
        await send_all(servers.bootstrap, topic, log.records())
        found.append(await _restart(servers, topic, group, log, committed))
        committed += log.events
    return {name: median(each[name] for each in found) for name in found[0]}


async def _restart(servers: Servers, topic: str, group: str, log: UsageLog, committed: int) -> dict[str, float]:
    watch = RestartWatch(committed)
    async with worker(
        servers.bootstrap, topic, group, redis_url=servers.redis_url, processor=TokenUsage(log), buckets=BUCKETS,
        log=WatchedLog(watch, servers, topic, group), tell=watch.tell, commit_interval_s=COMMIT_INTERVAL_S,
    ):  # fmt: skip
        return await watch.figures()
