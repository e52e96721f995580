"""One sample of a group that changes under load: what its partitions' events wait for meanwhile, seen from outside."""

import asyncio
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

from aiokafka.partitioner import murmur2

from engine import StateReader, bucket_of
from engine.adapters.kafka_topics import TopicSpec, ensure_topics
from engine.adapters.redis import RedisServer
from perf.harness.checks import check_cells
from perf.harness.figures import latencies
from perf.harness.fleet import Fleet, fleet
from perf.harness.member import Membership
from perf.harness.open_loop import Schedule, now_us, send_at_rate, sleep_until
from perf.harness.pauses import Slice, Turn, latencies_before_s, pauses
from perf.harness.servers import Servers
from perf.harness.sightings import Sightings
from perf.harness.usage import UsageLog
from perf.harness.visible import watch

KEYS = 600
PARTITIONS = 6
BUCKETS = 4
"""Few, so that all records are read in one short call."""
WORKERS = ("worker-1", "worker-2", "worker-3")
EVENTS_MAX = 1_000_000
LEAD_S, WARM_S, STEADY_S = 1.0, 2.0, 2.0
AFTER_S = 2.0
"""How long a turn goes on once the group has agreed: what was held up is caught up with meanwhile."""
LEAVE, JOIN, CRASH, RESTART = "leave", "join", "crash", "restart"


async def regroup(
    *, servers: Servers, name: str, events_per_s: int, turns: Sequence[str], session_s: float, static: bool = False
) -> dict[str, float]:
    """Three workers, and one of them leaves, joins, crashes or is restarted while the load goes on.

    Raises:
        CheckFailed: an event was lost or counted twice.
        NotSteady: the group did not come to terms.
    """
    await ensure_topics(servers.bootstrap, [TopicSpec(name, PARTITIONS, 1, {})])
    membership = Membership(
        bootstrap=servers.bootstrap, redis_url=servers.redis_url, topic=name, group=name, name=WORKERS[0],
        buckets=BUCKETS, session_s=session_s, static=static,
    )  # fmt: skip
    async with fleet(membership, list(WORKERS), partitions=PARTITIONS) as workers:
        schedule = Schedule.soon(events_per_s, lead_s=LEAD_S, warm_s=WARM_S)
        load = StoppableLoad(UsageLog(EVENTS_MAX, KEYS), schedule)
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(send_at_rate(servers.bootstrap, name, load.records(), schedule))
            tasks.create_task(_watch(servers.redis_url, name, load.sightings, sending.done))
            await sleep_until(schedule.judged_from_us + round(STEADY_S * 1e6))
            taken = [await _turn(workers, kind) for kind in turns]
            load.stop()
    sent = load.log._replace(events=int(sending.result()["sent"]))
    await check_cells(servers.redis_url, name, [sent], buckets=BUCKETS, partitions=PARTITIONS)
    before_s = latencies_before_s(load.sightings.found, taken[0], from_us=schedule.judged_from_us)
    return latencies(before_s, prefix="steady_") | pauses(load.sightings.found, taken) | sending.result()


class StoppableLoad:
    """Records until `stop`; knows when each was due, by the slice that counts it."""

    def __init__(self, log: UsageLog, schedule: Schedule) -> None:
        self.log = log
        self._schedule = schedule
        self._stopped = False
        self._due_us: dict[Slice, list[int]] = defaultdict(list)
        self.sightings: Sightings[Slice] = Sightings(self._due_us)

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        for number, (key, value) in enumerate(self.log.records()):
            if self._stopped:
                return
            self._due_us[slice_of(key)].append(self._schedule.intended_us(number))
            yield key, value

    def stop(self) -> None:
        self._stopped = True


@cache
def slice_of(key: bytes) -> Slice:
    """Bucket and partition of a key: our producers partition as Java's does."""
    return bucket_of(key, BUCKETS), (int(murmur2(key)) & 0x7FFFFFFF) % PARTITIONS


async def _watch(redis_url: str, group: str, sightings: Sightings[Slice], all_sent: Callable[[], bool]) -> None:
    server = RedisServer(redis_url, writers=1)
    reader = StateReader(server, group=group, buckets=BUCKETS)

    async def count() -> Mapping[Slice, int]:
        return {(each.bucket, each.partition): sum(each.counters) for each in await reader.progress(PARTITIONS)}

    try:
        await watch(sightings, count, all_sent)
    finally:
        await server.close()


async def _turn(workers: Fleet, kind: str) -> Turn:
    """The last worker does what `kind` says; the turn is over when the group has agreed, and a little later."""
    before = await workers.settled()
    began_us, name = now_us(), WORKERS[-1]
    if kind in {LEAVE, RESTART}:
        await workers.end(name, signal.SIGTERM)
    if kind == CRASH:
        await workers.end(name, signal.SIGKILL)
    if kind in {JOIN, RESTART}:
        workers.start(name)
    after = await workers.settled()
    await asyncio.sleep(AFTER_S)
    return Turn(kind, name, began_us, now_us(), before, after)
