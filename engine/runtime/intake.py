"""The way of an event in one epoch of a partition: read, its key's lane, the processor, the ledger.

`accept` is the hot path: it groups a fetch by key and, where the processor answers without awaiting, hands the answers
straight on. Everything that has to wait (an async processor, a dead letter, a retry, an event that arrived later than
the processor knows) goes through the key's lane and the scheduler.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random

import anyio

from engine.config import EngineConfig
from engine.core.lanes import Lane, LaneName, Lanes
from engine.core.limits import InFlight
from engine.core.retry import retry_delay_s
from engine.event import Counts, Dead, Event
from engine.ports import Sender
from engine.processor import Handler, Processor, waiting
from engine.runtime.dead_letters import dead_letter, send_dead_letters
from engine.runtime.deferred import Deferred
from engine.runtime.ledger import Ledger, PlainLedger
from engine.runtime.scheduler import Scheduler
from engine.state.slices import Prepared
from engine.telemetry import GROUP, OPERATION, PROCESS_DURATION, SENT, SYSTEM, TOPIC, Telemetry, sending

HANDLED = Counts(b"")
"""The answer of a plain handler that has returned."""

RECHECK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the user wrote, and whom it needs. Exactly one of `processor` and `handler` is given."""

    config: EngineConfig
    scheduler: Scheduler
    deferred: Deferred
    sender: Sender
    random: Random
    telemetry: Telemetry
    warn: Callable[[str], None]
    eased: Callable[[], None]
    """A partition that was full may be fetched again."""
    retried: Callable[[], None]
    processor: Processor | None = None
    handler: Handler | None = None

    @property
    def inline(self) -> bool:
        return (
            self.processor is not None
            and self.config.ordering == "key"
            and not inspect.iscoroutinefunction(self.processor.prepare)
        )

    def until_ms(self) -> int | None:
        waits = waiting(self.processor)
        return waits.handles_until_ms() if waits is not None else None


def payload_bytes(events: Sequence[Event]) -> int:
    return sum([len(event.value or b"") for event in events])


class Intake:
    """Open events of one epoch. Its lanes end with it; completions that arrive later change nothing."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._inline = work.inline
        self.in_flight = InFlight(work.config.in_flight_max, work.config.in_flight_bytes_max)
        self.lanes = Lanes(work.scheduler.ready, self)
        self._attributes = {TOPIC: work.config.topic, GROUP: work.config.group, OPERATION: "process", SYSTEM: "kafka"}
        self._ledger: Ledger | None = None

    @property
    def ledger(self) -> Ledger:
        assert self._ledger is not None, "the epoch has begun"
        return self._ledger

    def begin(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def released(self, prepared: Sequence[Prepared]) -> None:
        """These events are done with: they leave the partition's limits."""
        size = sum([len(event.value or b"") for event, _ in prepared])
        if self.in_flight.remove(len(prepared), size):
            self._work.eased()

    # ---------------------------------------------------------------- reading
    def accept(self, events: Sequence[Event], position: int) -> None:
        """Events of a fetch, ascending; `position` is where the next fetch starts."""
        ledger = self.ledger
        newest = max([event.timestamp for event in events], default=None)
        ledger.read_to(position, newest)
        if isinstance(ledger, PlainLedger):
            ledger.opened_in_order(events)
        limit = self._work.until_ms()
        inline = self._inline and (limit is None or newest is None or newest <= limit)
        if self._work.config.ordering == "key":
            groups: dict[bytes, list[Event]] = {}
            for event in events:
                key = event.key or b""
                group = groups.get(key)
                if group is None:
                    groups[key] = [event]
                else:
                    group.append(event)
            for key, group in groups.items():
                self._accept_key(key, group, key, inline=inline)
            return
        alone = self._work.config.ordering == "none"
        for event in events:
            self._accept_key(event.key or b"", [event], event.offset if alone else "partition", inline=False)

    def _accept_key(self, key: bytes, events: Sequence[Event], name: LaneName, *, inline: bool) -> None:
        ledger = self.ledger
        events = ledger.undone(key, events)
        if not events:
            return
        self.in_flight.add(len(events), payload_bytes(events))
        if inline and name not in self.lanes:
            answers = self._answers_now(key, events)
            if answers is not None:
                ledger.finish(key, list(zip(events, answers, strict=True)), waited=False)
                return
        ledger.open(key, events)
        self.lanes.push(name, events)

    def _answers_now(self, key: bytes, events: Sequence[Event]) -> Sequence[Counts | Dead] | None:
        """The answers, if they are there without waiting and let every event count; else the lane asks again."""
        assert self._work.processor is not None
        size = self._work.config.batch_max
        answers: list[Counts | Dead] = []
        try:
            for start in range(0, len(events), size):
                part = events if len(events) <= size else events[start : start + size]
                some = self._work.processor.prepare(key, part)
                if isinstance(some, Awaitable):
                    _discard(some)
                    return None
                answers += some
        except Exception:  # noqa: BLE001 - the lane meets it again, counts it and reports it
            return None
        if len(answers) != len(events) or Dead in map(type, answers):
            return None
        return answers

    # ---------------------------------------------------------------- lanes
    async def run_lane(self, lane: Lane) -> None:
        """One turn of a lane. Failures of user code end in a retry or a dead letter, never here."""
        work = self._work
        events = lane.head(work.config.batch_max)
        limit = work.until_ms()
        if limit is not None and events[0].timestamp > limit:
            work.deferred.push(lane, RECHECK_S, "it arrived later than the facts are known")
            return
        if limit is not None:
            events = events[: _ascending(events, limit)]
        if work.handler is not None:
            await self._handle(lane, events, work.handler)
        else:
            await self._prepare(lane, events)

    async def _handle(self, lane: Lane, events: Sequence[Event], handler: Handler) -> None:
        for index, event in enumerate(events):
            try:
                async with asyncio.timeout(self._work.config.handler_timeout_s):
                    await handler(event)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever user code raises
                _reraise_own_cancellation(error)
                for _ in range(index):
                    lane.events.popleft()
                await self._failed(lane, [event], error)
                return
            self.ledger.finish(event.key or b"", ((event, HANDLED),), waited=True)
        self._finish(lane, len(events))

    async def _prepare(self, lane: Lane, events: Sequence[Event]) -> None:
        assert self._work.processor is not None
        key = events[0].key or b""
        try:
            async with asyncio.timeout(self._work.config.handler_timeout_s):
                answers = self._work.processor.prepare(key, events)
                if isinstance(answers, Awaitable):
                    began_s = anyio.current_time()
                    answers = await answers
                    self._work.telemetry.record(PROCESS_DURATION, anyio.current_time() - began_s, self._attributes)
                answers = list(answers)
            if len(answers) != len(events):
                raise TypeError(f"prepare answered {len(answers)} of {len(events)} events")
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever user code raises
            _reraise_own_cancellation(error)
            await self._failed(lane, events, error)
            return
        await self._answered(lane, events, answers, attempts=lane.attempts + 1)

    async def _answered(
        self, lane: Lane, events: Sequence[Event], answers: Sequence[Counts | Dead], *, attempts: int
    ) -> None:
        letters = [
            dead_letter(event, answer.reason, attempts)
            for event, answer in zip(events, answers, strict=True)
            if isinstance(answer, Dead)
        ]
        if letters:
            lane.reason = "its dead letter is not acknowledged yet"
            await send_dead_letters(self._work.sender, letters, self._work.warn)
            self._work.telemetry.add(SENT, len(letters), sending(letters[0].topic))
        if not self.ledger.ended:
            self.ledger.finish(events[0].key or b"", list(zip(events, answers, strict=True)), waited=True)
        self._finish(lane, len(events))

    def _finish(self, lane: Lane, count: int) -> None:
        if not lane.dropped:
            self.lanes.finish(lane, count)

    async def _failed(self, lane: Lane, events: Sequence[Event], error: BaseException) -> None:
        """A batch is taken apart first; a single event is retried with back-off, then dead-lettered."""
        if lane.dropped:
            return
        config = self._work.config
        if len(events) > 1:
            lane.single = True
            self.lanes.requeue(lane)
            return
        lane.attempts += 1
        self._work.retried()
        cause = f"{type(error).__name__}: {error}"
        if lane.attempts > config.retry_max:
            await self._answered(lane, events, [Dead(cause)], attempts=lane.attempts)
            return
        delay_s = retry_delay_s(
            lane.attempts, base_s=config.retry_base_s, cap_s=config.retry_cap_s, chance=self._work.random.random()
        )
        self._work.deferred.push(lane, delay_s, f"attempt {lane.attempts} failed: {cause}")

    def drop(self) -> None:
        self.lanes.drop()


def _ascending(events: Sequence[Event], limit: int) -> int:
    """How many events from the first on arrived by `limit`: those behind a later one keep their order."""
    return next((index for index, event in enumerate(events) if event.timestamp > limit), len(events))


def _discard(awaitable: Awaitable[object]) -> None:
    if inspect.iscoroutine(awaitable):
        awaitable.close()


def _reraise_own_cancellation(error: BaseException) -> None:
    """A handler that cancels itself has failed; a task that is being cancelled ends."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
