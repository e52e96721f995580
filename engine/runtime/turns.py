"""One turn of a lane: its first events through the user's code, and what follows from the outcome.

A turn ends with the events done, or with the lane out of the way: deferred (retry, linger, facts that are behind, an
open breaker), waiting for the acknowledgement of its dead letter, or held until a command. None of these keeps a place
among the lanes that run.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from engine.core.lanes import ARRIVALS, Lane, Lanes
from engine.core.limits import InFlight
from engine.core.retry import retry_delay_s
from engine.errors import HandlerFailed
from engine.event import Counts, Dead, Event
from engine.notice import key_hash, notice, shortened
from engine.runtime.arrivals import Arrivals
from engine.runtime.attempts import UNBROKEN_MAX, Attempts, Failed
from engine.runtime.dead_letters import dead_letter
from engine.runtime.holds import PAUSED
from engine.runtime.ledger import Ledger, PlainLedger
from engine.runtime.work import Work

HANDLED = Counts(b"")
"""The answer of a plain handler that has returned."""

RECHECK_S = 0.1
TURN_S = 0.005
"""A key whose events are handled one by one makes room after this time, if others wait."""


class Turns:
    """Runs the lanes of one epoch. `run` never raises for a failure of user code."""

    ledger: Ledger

    def __init__(self, work: Work, lanes: Lanes, in_flight: InFlight) -> None:
        self._work = work
        self._lanes = lanes
        self._in_flight = in_flight
        self._attempts = Attempts(work)
        self._arrivals = Arrivals(work, lanes, self._attempts, handled=self._handled, failed=self._failed)
        self._draining = False
        self._returned: list[Event] = []
        """Plain handlers have returned for these, in this round of the event loop."""

    def run(self, lane: Lane) -> Coroutine[None, None, int] | None:
        """One turn, which says how many events it has handed over; None if nothing is to be awaited."""
        work, first = self._work, lane.events[0]
        if lane.name is ARRIVALS and work.handler is not None:
            return self._arrivals.turn(lane, work.handler)
        if lane.verdict is not None:
            self._bury(lane, lane.verdict)
            return None
        if work.holds.any and work.holds.holds(first.partition, first.key or b""):
            self._lanes.hold(lane, PAUSED)
            return None
        if work.handler is not None:
            return None if self._broken(lane) else self._handle_each(lane, work.handler)
        limit = work.until_ms()
        if limit is not None and first.timestamp > limit:
            work.deferred.push(lane, RECHECK_S, "it arrived later than the facts are known")
            return None
        events = lane.head(work.config.batch_max)
        if limit is not None:
            events = events[: _ascending(events, limit)]
        if self._lingers(lane, events) or self._broken(lane):
            return None
        if work.batch_handler is not None:
            return self._handle_batch(lane, events, work.batch_handler)
        return self._prepare(lane, events)

    def _lingers(self, lane: Lane, events: Sequence[Event]) -> bool:
        """A batch that is not full, and may grow, waits once for more."""
        work, config = self._work, self._work.config
        if not config.batch_linger_s or lane.lingered or lane.single:
            return False
        if self._draining or self._in_flight.full or config.ordering == "none":
            return False  # nothing more will come
        if len(events) >= config.batch_max or len(events) < len(lane.events):
            return False  # full, or cut by another key
        work.deferred.push(lane, config.batch_linger_s, "its batch waits for more")
        lane.lingered = lane.lingering = True
        return True

    def hurry(self) -> None:
        """Batches that wait for more go on: nothing more will come."""
        for lane in self._lanes.lingering:
            self._work.deferred.hasten(lane)

    def _broken(self, lane: Lane) -> bool:
        wait_s = self._work.circuit.admit(lane)
        if wait_s > 0:
            self._work.deferred.push(lane, wait_s, "the circuit breaker is open: the handlers of all keys fail")
        return wait_s > 0

    # ---------------------------------------------------------------- user code
    async def _handle_each(self, lane: Lane, handler: Callable[[Event], Awaitable[None]]) -> int:
        """Events one by one, until the turn has lasted long enough. Returns how many."""
        work, attempts, time, count = self._work, self._attempts, asyncio.get_running_loop().time, 0
        now_s, timeout_s = time(), work.config.handler_timeout_s
        until_s = now_s + TURN_S
        watch = attempts.watch()
        try:
            while lane.events and count < UNBROKEN_MAX:
                event = lane.events[0]
                count += 1
                watch.begin(now_s, timeout_s)
                try:
                    await (attempts.in_trace(handler, event, (event,)) if event.headers else handler(event))
                except BaseException as error:  # noqa: BLE001 - it is the user's
                    self._failed(lane, [event], attempts.failure(watch, error))
                    return count
                now_s = time()
                attempts.succeeded(watch, now_s)
                self._handled(lane, (event,))
                if lane.dropped or attempts.over or work.holds.any or (now_s >= until_s and work.ready):
                    break
        finally:
            attempts.release(watch)
        self._lanes.requeue(lane)
        return count

    def _handled(self, lane: Lane, events: Sequence[Event]) -> None:
        """A plain handler has returned for each of the lane's first events."""
        self._work.circuit.succeeded()
        self._lanes.advance(lane, len(events))
        if not self._returned:
            asyncio.get_running_loop().call_soon(self._settle_soon)
        self._returned += events

    def _settle(self) -> None:
        """What has returned is done: once for all of one round of the event loop."""
        returned, self._returned = self._returned, []
        assert isinstance(self.ledger, PlainLedger)
        self.ledger.handled(returned)

    def _settle_soon(self) -> None:
        try:
            self._settle()
        except BaseException as error:  # noqa: BLE001 - nobody waits for a callback: it ends the engine
            self._work.broken(error)

    async def _handle_batch(
        self, lane: Lane, events: Sequence[Event], handler: Callable[[Sequence[Event]], Awaitable[None]]
    ) -> int:
        try:
            await self._attempts.attempt(handler, events, events)
        except Failed as failure:
            self._failed(lane, events, failure)
        else:
            self._done(lane, events, [HANDLED] * len(events))
        return len(events)

    async def _prepare(self, lane: Lane, events: Sequence[Event]) -> int:
        processor = self._work.processor
        assert processor is not None

        async def prepare(events: Sequence[Event]) -> list[Counts | Dead]:
            answers = processor.prepare(events[0].key or b"", events)
            if isinstance(answers, Awaitable):
                answers = await answers
            answers = list(answers)
            if len(answers) != len(events):
                raise TypeError(f"prepare answered {len(answers)} of {len(events)} events")
            return answers

        try:
            answers = await self._attempts.attempt(prepare, events, events)
        except Failed as failure:
            self._failed(lane, events, failure)
        else:
            self._answered(lane, events, answers)
        return len(events)

    # ---------------------------------------------------------------- outcome
    def _answered(self, lane: Lane, events: Sequence[Event], answers: Sequence[Counts | Dead]) -> None:
        """Dead letters are acknowledged before their events are done."""
        attempts = lane.attempts + 1
        letters = [
            dead_letter(event, answer.reason, attempts)
            for event, answer in zip(events, answers, strict=True)
            if isinstance(answer, Dead)
        ]
        if letters:
            self._work.letters.push(lane, letters, lambda: self._buried(lane, events, answers))
            self._work.circuit.succeeded()
        else:
            self._done(lane, events, answers)

    def _done(self, lane: Lane, events: Sequence[Event], answers: Sequence[Counts | Dead]) -> None:
        self._work.circuit.succeeded()
        self.ledger.finish(events[0].key or b"", list(zip(events, answers, strict=True)), waited=True)
        self._lanes.finish(lane, len(events))

    def _bury(self, lane: Lane, cause: str) -> None:
        """The first event goes to the dead-letter topic."""
        events = lane.head(1)
        letter = dead_letter(events[0], cause, max(1, lane.attempts))
        self._work.letters.push(lane, [letter], lambda: self._buried(lane, events, [Dead(cause)]))

    def _buried(self, lane: Lane, events: Sequence[Event], answers: Sequence[Counts | Dead]) -> None:
        """What had to be sent to the dead-letter topic is acknowledged there."""
        self.ledger.finish(events[0].key or b"", list(zip(events, answers, strict=True)), waited=True)
        self._lanes.finish(lane, len(events))
        self._work.wake()

    def _failed(self, lane: Lane, events: Sequence[Event], failure: Failed) -> None:
        """A batch is taken apart first; a single event is retried with back-off, then it is given up."""
        work, config, first = self._work, self._work.config, events[0]
        if lane.dropped or self._attempts.over:
            work.circuit.abandoned(lane)
            return
        everybody = work.circuit.failed(lane)
        lane.failing, lane.single = True, max(lane.single, len(events))
        if len(events) > 1:
            self._lanes.requeue(lane)
            return
        if everybody:
            work.retried()
            self._lanes.requeue(lane)  # an attempt that says nothing of the event does not count
            return
        lane.attempts += 1
        if lane.attempts > config.retry_max:
            self._give_up(lane, first, str(failure))
            return
        work.retried()
        delay_s = retry_delay_s(
            lane.attempts, base_s=config.retry_base_s, cap_s=config.retry_cap_s, chance=work.random.random()
        )
        work.deferred.push(lane, delay_s, f"attempt {lane.attempts} failed: {shortened(str(failure))}")

    def _give_up(self, lane: Lane, event: Event, cause: str) -> None:
        lane.cause = cause
        match self._work.config.on_failure:
            case "dead_letter":
                lane.verdict = cause
                self._bury(lane, cause)
            case "park":
                self._lanes.hold(lane, f"parked after {lane.attempts} attempts: {shortened(cause)}", parked=True)
                self._say_parked(event, lane.attempts, cause)
            case "stop":
                self._lanes.hold(lane, f"the engine stops: {shortened(cause)}")
                self._work.fatal(HandlerFailed(event.partition, event.offset, cause))

    def _say_parked(self, event: Event, attempts: int, cause: str) -> None:
        text = f"partition {event.partition}, offset {event.offset}: its key is parked, {shortened(cause)}"
        self._work.tell(
            notice(
                "key.parked", text, partition=event.partition, offset=event.offset, key_hash=key_hash(event.key),
                attempts=attempts, cause=shortened(cause),
            )
        )  # fmt: skip

    # ---------------------------------------------------------------- the end
    def drain(self) -> None:
        """From now on what is there is all that comes."""
        self._draining = True
        self.hurry()

    async def cancel(self) -> None:
        """Ends the user code that runs.

        Call it once the lanes are closed or dropped: what is cancelled here is neither done nor failed.
        """
        await self._attempts.cancel()
        if self._returned:
            self._settle()

    # ---------------------------------------------------------------- commands
    def resume(self) -> None:
        """What was paused may have been resumed: lanes that are still paused are held again at their turn."""
        for lane in self._lanes.held:
            if not lane.parked:
                self._lanes.release(lane)
        self._work.wake()

    def release(self, key: bytes, *, bury: bool) -> bool:
        """Ends the parking of a key: its event is tried again, or goes to the dead-letter topic. False if none was."""
        parked = [lane for lane in self._lanes.held if lane.parked and (lane.events[0].key or b"") == key]
        for lane in parked:
            lane.verdict = lane.cause if bury else None
            lane.attempts = lane.attempts if bury else 0
            self._lanes.release(lane)
        self._work.wake()
        return bool(parked)


def _ascending(events: Sequence[Event], limit: int) -> int:
    """How many events from the first on arrived by `limit`: those behind a later one keep their order."""
    return next((index for index, event in enumerate(events) if event.timestamp > limit), len(events))
