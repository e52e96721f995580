"""The engine: one member of a group, its partitions, and the tasks that move events through them.

    fetch -> accept (lanes, processor) -> slices -> write -> reactions -> done -> commit

Everything runs in one task group; the first failure that is not expected ends all of it and is raised by `run`.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from random import Random

import anyio
from anyio.abc import TaskGroup

from engine import telemetry as catalogue
from engine.config import EngineConfig
from engine.core.lanes import Lane
from engine.core.phases import Phase
from engine.errors import HandlerFailed
from engine.notice import Tell, commanded, notice, telling
from engine.ports import Clock, Log, Sender, StateServer
from engine.processor import BatchHandler, Handler, Processor, reacting, waiting
from engine.runtime.board import Notices
from engine.runtime.circuit import Circuit
from engine.runtime.commit import Committer
from engine.runtime.dead_letters import DeadLetters
from engine.runtime.deferred import Deferred
from engine.runtime.faults import Faults
from engine.runtime.fetch import Fetcher
from engine.runtime.held_back import HeldBackWatch
from engine.runtime.holds import Holds
from engine.runtime.log_end import LogEnd
from engine.runtime.observed import observe
from engine.runtime.partition import Partition
from engine.runtime.scheduler import Scheduler
from engine.runtime.settings import Settings
from engine.runtime.statistics import (
    Counters,
    Lanes,
    LatencySamples,
    PartitionStatistics,
    Statistics,
    describe_partition,
)
from engine.runtime.work import Work, check_given
from engine.state.epoch import Epoch
from engine.state.writer import Writer
from engine.telemetry import Silence, Telemetry


class Engine:
    """Consumes one topic as a member of a group.

    Give it a `processor` with a `state` server, or without one a plain `handler` (one event) or `batch_handler`
    (consecutive events of one key). `name` is the worker's name for people. `deletes_identities`: the topic bounds its
    timestamps, so identities beyond the horizon may be forgotten. `tell` gets every notice of the engine's life, `warn`
    the text of those that somebody should read; without both they go nowhere.
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
        batch_handler: BatchHandler | None = None,
        state: StateServer | None = None,
        name: str = "worker",
        random: Random | None = None,
        deletes_identities: bool = False,
        telemetry: Telemetry | None = None,
        tell: Tell | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        check_given(config, [processor, handler, batch_handler], state)
        self._config = config
        self._log = log
        self._clock = clock
        self._state = state
        self._name = name
        self._random = random or Random()
        self._tell = tell = telling(tell, warn)
        self._telemetry = telemetry or Silence()
        self._by_group = {catalogue.TOPIC: config.topic, catalogue.GROUP: config.group}
        self._settings = Settings(config)
        self._latency = LatencySamples(clock)
        self._scheduler = Scheduler(self._settings, self._run_lane)
        self._deferred = Deferred(self._requeue)
        self._letters = DeadLetters(sender, self._telemetry, tell)
        self._holds, self._faults = Holds(self._resumed), Faults()
        self._writer = self._new_writer(state, sender, processor, deletes_identities) if state is not None else None
        self._notices = Notices(state, config.group, name, config.status_interval_s) if state is not None else None
        self._partitions: dict[int, Partition] = {}
        self._seeking = anyio.Lock()
        self._fetcher = Fetcher(
            config, log, self._partitions, self._telemetry, seeking=self._seeking,
            accepted=self._scheduler.wake, tell=tell,
        )  # fmt: skip
        self._work = self._new_work(processor, handler, batch_handler)
        self._log_end = LogEnd(log, clock, self._partitions, interval_s=config.idle_write_s, tell=tell)
        self._committer = Committer(config, log, state, self._telemetry, tell)
        self._held_back = HeldBackWatch(self._settings, self.statistics, tell)
        self._stopping = anyio.Event()
        self._tasks: TaskGroup | None = None
        self._failure: HandlerFailed | None = None
        self._retries = self._rebalances = 0

    def _new_writer(
        self, state: StateServer, sender: Sender, processor: Processor | None, deletes_identities: bool
    ) -> Writer:
        return Writer(
            self._config, state, sender, reacts=reacting(processor), telemetry=self._telemetry, tell=self._tell,
            deletes_identities=deletes_identities, written=self._latency.add,
        )  # fmt: skip

    def _new_work(
        self, processor: Processor | None, handler: Handler | None, batch_handler: BatchHandler | None
    ) -> Work:
        return Work(
            settings=self._settings, ready=self._scheduler.ready, deferred=self._deferred, letters=self._letters,
            holds=self._holds, circuit=Circuit(self._settings, self._tell), random=self._random,
            telemetry=self._telemetry, tell=self._tell, eased=self._fetcher.ring, wake=self._scheduler.wake,
            retried=self._retried, handled=self._scheduler.observe, broken=self._faults.tell, fatal=self._fatal,
            processor=processor, handler=handler, batch_handler=batch_handler, waits=waiting(processor),
        )  # fmt: skip

    # ---------------------------------------------------------------- life
    async def run(self) -> None:
        """Run until `stop()`; then finish what is open within `drain_s`, commit, and leave the group.

        Raises:
            HandlerFailed: a handler failed for the last time, and `on_failure` is `stop`.
        """
        config = self._config
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            text = f"worker {self._name} joins group {config.group} on topic {config.topic}"
            self._tell(notice("engine.started", text, worker=self._name))
            observe(self._telemetry, self._config.topic, self._config.group, self.statistics)
            if self._writer is not None:
                tasks.start_soon(self._writer.run, name="writer")
                tasks.start_soon(self._look_forever, self._writer, name="look")
                tasks.start_soon(self._log_end.run, name="log end")
            if self._notices is not None:
                tasks.start_soon(self._notices.post_forever, self.statistics, self._written, name="notices")
            tasks.start_soon(self._scheduler.run, name="scheduler")
            tasks.start_soon(self._deferred.run, name="deferred")
            tasks.start_soon(self._letters.run, name="dead letters")
            tasks.start_soon(self._join_and_fetch, name="fetch")
            tasks.start_soon(self._commit_forever, name="commit")
            tasks.start_soon(self._faults.run, name="faults")
            tasks.start_soon(self._held_back.run, name="held back")
            await self._stopping.wait()
            await self._let_go(list(self._partitions.values()))
            async with self._seeking:  # no fetch is under way
                await self._log.stop()
            tasks.cancel_scope.cancel()
        if self._notices is not None:
            await self._notices.take_down(self._tell)
        text = f"worker {self._name} has left group {config.group} on topic {config.topic}"
        self._tell(notice("engine.stopped", text, worker=self._name))
        if self._failure is not None:
            raise self._failure

    async def _join_and_fetch(self) -> None:
        await self._log.start(self)
        await self._fetcher.run()

    def stop(self) -> None:
        """Begin to stop; safe to call from a signal handler of the loop, and twice."""
        self._stopping.set()
        self._fetcher.stop()

    # ---------------------------------------------------------------- commands
    @property
    def config(self) -> EngineConfig:
        """The settings in force now."""
        return self._settings.config

    def change(self, changes: Mapping[str, object]) -> Mapping[str, tuple[object, object]]:
        """Other values for settings that need no restart, by field or `ENGINE_*` name; all of them or none.

        Returns what is different now: the values before and after, by field.

        Raises:
            ConfigError: a name or value is not valid, or needs a restart; nothing was changed.
        """
        changed = self._settings.change(changes)
        if changed:
            text = ", ".join(f"{name} from {was} to {now}" for name, (was, now) in changed.items())
            self._tell(
                notice("settings.changed", f"changed: {text}", **{name: str(now) for name, (_, now) in changed.items()})
            )
        return changed

    def pause(self, *, partition: int | None = None, key: bytes | None = None) -> None:
        """Hand nothing out of the partition, of the key, or without both of the topic. What runs already ends.

        Holds for this process, through rebalances, until `resume` with the same arguments. Raises ValueError: both.
        """
        self._holds.pause(partition, key)
        self._tell(commanded("paused", partition, key))

    def resume(self, *, partition: int | None = None, key: bytes | None = None) -> None:
        """Take a pause back."""
        self._holds.resume(partition, key)
        self._tell(commanded("resumed", partition, key))

    def release(self, key: bytes, *, bury: bool = False) -> None:
        """End the parking of a key: its event is tried again, or with `bury` goes to the dead-letter topic.

        Raises:
            LookupError: no partition of this process has parked the key.
        """
        intakes = [each.intake for each in self._partitions.values() if each.intake is not None]
        if not sum(intake.turns.release(key, bury=bury) for intake in intakes):
            raise LookupError(f"key {key!r} is not parked here")
        text = "its event goes to the dead-letter topic" if bury else "its event is tried again"
        self._tell(commanded("key.released", None, key, f": {text}"))

    def _resumed(self) -> None:
        for partition in self._partitions.values():
            if partition.intake is not None:
                partition.intake.turns.resume()
        self._fetcher.ring()

    # ---------------------------------------------------------------- the group (told by the log)
    async def revoked(self, partitions: frozenset[int]) -> None:
        self._rebalances += 1
        with self._telemetry.span(catalogue.REBALANCE_SPAN, self._by_group):
            await self._let_go([each for number, each in self._partitions.items() if number in partitions])

    async def assigned(self, partitions: frozenset[int]) -> None:
        gone = [self._partitions.pop(number) for number in self._partitions.keys() - partitions]
        for number in sorted(partitions):
            old = self._partitions.get(number)
            if old is not None and old.phase in (Phase.RUNNING, Phase.RECOVERING):
                gone.append(old)  # the client has forgotten its position: nothing that was read is known to continue
            elif old is not None and old.phase is not Phase.CLOSED:
                partitions -= {number}
        async with anyio.create_task_group() as tasks:
            for each in gone:
                each.close()
                tasks.start_soon(each.cancel_calls)
        for number in sorted(partitions):
            self._adopt(number)

    def _adopt(self, number: int) -> None:
        if self._stopping.is_set() or self._tasks is None:
            return
        partition = self._partitions[number] = Partition(
            number, config=self._config, log=self._log, work=self._work, server=self._state, writer=self._writer,
            random=self._random, seeking=self._seeking, tell=self._tell,
        )  # fmt: skip
        self._tell(notice("partition.assigned", f"partition {number}: assigned", partition=number))
        self._tasks.start_soon(partition.run, name=f"partition {number}")

    async def _let_go(self, partitions: list[Partition]) -> None:
        async with anyio.create_task_group() as tasks:
            for partition in partitions:
                tasks.start_soon(partition.drain, self._config.drain_s, self._committer.commit_last)
        for partition in partitions:
            if self._partitions.get(partition.number) is partition:
                del self._partitions[partition.number]

    # ---------------------------------------------------------------- lanes
    def _run_lane(self, lane: Lane) -> Coroutine[None, None, int] | None:
        return lane.owner.turns.run(lane)  # type: ignore[attr-defined, no-any-return]

    def _requeue(self, lane: Lane) -> None:
        lane.owner.lanes.requeue(lane)  # type: ignore[attr-defined]
        self._scheduler.wake()

    def _retried(self) -> None:
        self._retries += 1

    def _fatal(self, failure: HandlerFailed) -> None:
        self._failure = self._failure or failure
        self.stop()

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
        return self._writer.counts.events if self._writer is not None else self._fetcher.consumed

    def statistics(self) -> Statistics:
        now_ms = self._clock.now_ms()
        partitions = [self._describe(each, now_ms) for each in self._partitions.values()]
        return Statistics(
            worker=self._name,
            time_ms=now_ms,
            durability=self._config.durability,
            counters=self.counters(),
            latency_ms=self._latency.summary(),
            lanes=Lanes(
                self._scheduler.running,
                len(self._scheduler.ready),
                self._scheduler.limit,
                len(self._deferred),
                self._work.circuit.is_open,
            ),
            partitions=partitions,
        )

    def _describe(self, partition: Partition, now_ms: int) -> PartitionStatistics:
        end = self._log.high_watermark(partition.number)
        return describe_partition(partition, self._config.topic, end, now_ms)

    def counters(self) -> Counters:
        """What `statistics` has of them, without looking at a single event: for who asks often."""
        written: Mapping[str, object] = asdict(self._writer.counts) if self._writer is not None else {}
        names = Counters.__dataclass_fields__.keys()
        values = {name: written.get(name, 0) for name in names} | {
            "consumed": self._fetcher.consumed,
            "refused": written.get("refused", {}),
            "retries": self._retries,
            "rebalances": self._rebalances,
        }
        return Counters(**values)  # type: ignore[arg-type]
