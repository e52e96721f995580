"""The engine: one member of a group, its partitions, and the tasks that move events through them.

    fetch -> accept (lanes, processor) -> slices -> write -> reactions -> done -> commit

Everything runs in one task group; the first failure that is not expected ends all of it and is raised by `run`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from random import Random

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from engine import telemetry as catalogue
from engine.config import EngineConfig
from engine.core.phases import Phase
from engine.errors import ConfigError, Unanswered
from engine.ports import Clock, Log, OffsetOutOfRange, Sender, StateServer
from engine.processor import Handler, Processor, reacting
from engine.runtime.board import Notices
from engine.runtime.commit import Committer
from engine.runtime.deferred import Deferred
from engine.runtime.intake import Work
from engine.runtime.observed import observe
from engine.runtime.partition import Partition
from engine.runtime.scheduler import Scheduler
from engine.runtime.statistics import (
    Counters,
    Lanes,
    LatencySamples,
    PartitionStatistics,
    Statistics,
    describe_partition,
)  # fmt: skip
from engine.state.epoch import Epoch
from engine.state.writer import Writer
from engine.telemetry import Silence, Telemetry

FETCH_AGAIN_S = 0.2


def _silent(text: str) -> None:
    """Warnings go nowhere unless the composition root says where."""


class Engine:
    """Consumes one topic as a member of a group.

    Give it a `processor` with a `state` server, or a plain `handler` without. `name` is the worker's name for people.
    `deletes_identities`: the topic bounds its timestamps, so identities beyond the horizon may be forgotten.
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        log: Log,
        sender: Sender,
        clock: Clock,
        processor: Processor | None = None,
        handler: Handler | None = None,
        state: StateServer | None = None,
        name: str = "worker",
        random: Random | None = None,
        deletes_identities: bool = False,
        telemetry: Telemetry | None = None,
        warn: Callable[[str], None] = _silent,
    ) -> None:
        _check(config, processor, handler, state)
        self._config = config
        self._log = log
        self._clock = clock
        self._state = state
        self._name = name
        self._random = random or Random()
        self._warn = warn
        self._telemetry = telemetry or Silence()
        self._by_group = {catalogue.TOPIC: config.topic, catalogue.GROUP: config.group}
        self._polling = self._by_group | {catalogue.SYSTEM: "kafka", catalogue.OPERATION: "poll"}
        self._latency = LatencySamples(clock)
        self._scheduler = Scheduler(config.concurrency, self._run_lane)
        self._deferred = Deferred(self._requeue)
        self._writer: Writer | None = None
        self._notices: Notices | None = None
        if state is not None:
            self._writer = Writer(
                config, state, sender, reacts=reacting(processor), telemetry=self._telemetry, warn=warn,
                deletes_identities=deletes_identities, written=self._latency.add,
            )  # fmt: skip
            self._notices = Notices(state, config.group, name, config.status_interval_s)
        self._work = Work(
            config=config, scheduler=self._scheduler, deferred=self._deferred, sender=sender, random=self._random,
            telemetry=self._telemetry, warn=warn, eased=self._ring, retried=self._retried, processor=processor,
            handler=handler,
        )  # fmt: skip
        self._committer = Committer(config, log, state, self._telemetry, warn)
        self._partitions: dict[int, Partition] = {}
        self._seeking = anyio.Lock()
        self._bell = anyio.Event()
        self._stopping = anyio.Event()
        self._tasks: TaskGroup | None = None
        self._consumed = self._retries = self._rebalances = 0

    # ---------------------------------------------------------------- life
    async def run(self) -> None:
        """Run until `stop()`; then finish what is open within `drain_s`, commit, and leave the group."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            observe(self._telemetry, self._config.topic, self._config.group, self.statistics)
            if self._writer is not None:
                tasks.start_soon(self._writer.run, name="writer")
                tasks.start_soon(self._look_forever, self._writer, name="look")
            if self._notices is not None:
                tasks.start_soon(self._notices.post_forever, self.statistics, self._written, name="notices")
            tasks.start_soon(self._scheduler.run, name="scheduler")
            tasks.start_soon(self._deferred.run, name="deferred")
            tasks.start_soon(self._fetch_forever, name="fetch")
            tasks.start_soon(self._commit_forever, name="commit")
            await self._stopping.wait()
            await self._let_go(list(self._partitions.values()))
            async with self._seeking:  # no fetch is under way
                await self._log.stop()
            tasks.cancel_scope.cancel()
        if self._notices is not None:
            await self._notices.take_down(self._warn)

    def stop(self) -> None:
        """Begin to stop; safe to call from a signal handler of the loop, and twice."""
        self._stopping.set()
        self._ring()

    # ---------------------------------------------------------------- the group (told by the log)
    async def revoked(self, partitions: frozenset[int]) -> None:
        self._rebalances += 1
        with self._telemetry.span(catalogue.REBALANCE_SPAN, self._by_group):
            await self._let_go([each for number, each in self._partitions.items() if number in partitions])

    async def assigned(self, partitions: frozenset[int]) -> None:
        for number in self._partitions.keys() - partitions:
            self._partitions.pop(number).close()
        for number in sorted(partitions):
            old = self._partitions.get(number)
            if old is None or old.phase is Phase.CLOSED:
                self._adopt(number)
            elif old.phase in (Phase.RUNNING, Phase.RECOVERING):
                old.close()  # the client has forgotten its position: nothing that was read is known to continue
                self._adopt(number)

    def _adopt(self, number: int) -> None:
        if self._stopping.is_set() or self._tasks is None:
            return
        partition = self._partitions[number] = Partition(
            number, config=self._config, log=self._log, work=self._work, server=self._state, writer=self._writer,
            random=self._random, seeking=self._seeking, warn=self._warn,
        )  # fmt: skip
        self._tasks.start_soon(partition.run, name=f"partition {number}")

    async def _let_go(self, partitions: list[Partition]) -> None:
        async with anyio.create_task_group() as tasks:
            for partition in partitions:
                tasks.start_soon(partition.drain, self._config.drain_s, self._committer.commit_last)
        for partition in partitions:
            if self._partitions.get(partition.number) is partition:
                del self._partitions[partition.number]

    # ---------------------------------------------------------------- fetch
    async def _fetch_forever(self) -> None:
        await self._log.start(self)
        while not self._stopping.is_set():
            wanted = [each for each in self._partitions.values() if each.wants_events]
            if not wanted:
                await self._rung()
                continue
            try:
                async with self._seeking:
                    await self._fetch([each for each in wanted if each.wants_events and not self._stopping.is_set()])
            except OffsetOutOfRange as error:
                if (partition := self._partitions.get(error.partition)) is not None:
                    partition.halt_at_next_look(str(error))
            except Unanswered as error:
                self._warn(f"the log does not answer: {error}")
                await anyio.sleep(FETCH_AGAIN_S)
            await anyio.lowlevel.checkpoint()

    async def _fetch(self, wanted: list[Partition]) -> None:
        if not wanted:
            return
        clock_ms = self._clock.now_ms()
        room = min(each.intake.in_flight.room() for each in wanted if each.intake is not None)
        began_s = anyio.current_time()
        fetched = await self._log.fetch(
            [each.number for each in wanted],
            events_max=max(1, min(room, self._config.fetch_max)),
            wait_s=self._config.fetch_wait_s,
        )
        self._telemetry.record(catalogue.CLIENT_DURATION, anyio.current_time() - began_s, self._polling)
        for partition in wanted:
            intake = partition.intake
            if intake is None or partition.ledger is None or intake.ledger.ended:
                continue
            events = fetched.get(partition.number, ())
            try:
                position = self._log.position(partition.number)
            except LookupError:
                continue  # revoked meanwhile: nothing of it was delivered
            self._consumed += len(events)
            intake.accept(events, position)
            high_watermark = self._log.high_watermark(partition.number)
            if high_watermark is not None and position >= high_watermark:
                intake.ledger.at_end(clock_ms)
        self._scheduler.wake()

    def _retried(self) -> None:
        self._retries += 1

    def _ring(self) -> None:
        self._bell.set()

    async def _rung(self) -> None:
        if self._bell.is_set():
            self._bell = anyio.Event()
        with anyio.move_on_after(self._config.fetch_wait_s):
            await self._bell.wait()

    # ---------------------------------------------------------------- lanes
    async def _run_lane(self, lane: object) -> None:
        await lane.owner.run_lane(lane)  # type: ignore[attr-defined]

    def _requeue(self, lane: object) -> None:
        lane.owner.lanes.requeue(lane)  # type: ignore[attr-defined]
        self._scheduler.wake()

    # ---------------------------------------------------------------- commit and look
    async def _commit_forever(self) -> None:
        while True:
            await anyio.sleep(self._config.commit_interval_s)
            await self._committer.commit(list(self._partitions.values()))

    async def _look_forever(self, writer: Writer) -> None:
        """Slices in which nothing moves are looked at within `idle_write_s` of their last write or look."""
        while True:
            await anyio.sleep(self._config.idle_write_s / 4)
            not_since_s = anyio.current_time() - self._config.idle_write_s / 2
            for partition in self._partitions.values():
                if isinstance(partition.ledger, Epoch):
                    writer.look_at(partition.ledger.slices, not_since_s=not_since_s)

    # ---------------------------------------------------------------- statistics
    def _written(self) -> int:
        return self._writer.counts.events if self._writer is not None else self._consumed

    def statistics(self) -> Statistics:
        now_ms = self._clock.now_ms()
        partitions = [self._describe(each, now_ms) for each in self._partitions.values()]
        return Statistics(
            worker=self._name,
            time_ms=now_ms,
            durability=self._config.durability,
            counters=self._counters(),
            latency_ms=self._latency.summary(),
            lanes=Lanes(self._scheduler.running, len(self._scheduler.ready), self._scheduler.concurrency),
            partitions=partitions,
        )

    def _describe(self, partition: Partition, now_ms: int) -> PartitionStatistics:
        end = self._log.high_watermark(partition.number)
        return describe_partition(partition, self._config.topic, end, now_ms)

    def _counters(self) -> Counters:
        written: Mapping[str, object] = asdict(self._writer.counts) if self._writer is not None else {}
        names = Counters.__dataclass_fields__.keys()
        values = {name: written.get(name, 0) for name in names} | {
            "consumed": self._consumed,
            "refused": written.get("refused", {}),
            "retries": self._retries,
            "rebalances": self._rebalances,
        }
        return Counters(**values)  # type: ignore[arg-type]


def _check(
    config: EngineConfig, processor: Processor | None, handler: Handler | None, state: StateServer | None
) -> None:
    problems = []
    if (processor is None) == (handler is None):
        problems.append("give either a processor (with a state server) or a handler (without)")
    if (processor is None) != (state is None):
        problems.append("a processor needs a state server, and a handler must have none")
    if processor is not None and config.ordering == "none":
        problems.append("ordering is 'none': a processor with aggregates needs 'key' or 'partition'")
    if problems:
        raise ConfigError(problems)
