"""What has arrived while nothing of its partition runs or waits is handed over as it came, before any lane is made.

Where handlers end without waiting, that is all there is to do: order is kept, and nobody is held up. The first event
that has headers (perhaps a trace), or whose handler waits or fails, gets its lane, and so does everything behind it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from itertools import islice
from types import coroutine
from typing import Any

from engine.core.lanes import Lane, Lanes
from engine.event import Event
from engine.runtime.attempts import UNBROKEN_MAX, Attempts, Failed
from engine.runtime.calls import Watch
from engine.runtime.holds import Holds
from engine.runtime.work import Work


class Walk:
    """Hands events over in their order, up to one whose handler waits."""

    __slots__ = ("_code", "_handler", "_holds", "_stop", "_waits", "done")

    def __init__(self, handler: Callable[[Event], Awaitable[None]], events: Sequence[Event], holds: Holds) -> None:
        self._handler = handler
        self._holds = holds
        self._code: Coroutine[Any, Any, None] = self._over(events)
        self._stop: Any = None
        """What the handler that waits has yielded: None too, where it only lets others go on."""
        self._waits = False
        self.done = 0

    def begin(self) -> bool:
        """Whether a handler waits; else all are done, or the next is for its lane. Raises what they raise.

        This drives a coroutine by hand, in the task whose turn it is. Who waits must go on with `rest` in that task.
        """
        try:
            self._stop = self._code.send(None)
        except StopIteration:
            return False
        self._waits = True
        return True

    @coroutine
    def rest(self) -> Generator[Any, Any, None]:
        """To the end of the handler that waits; none follows. Raises what it raises."""
        thrown: BaseException | None
        while True:
            try:
                yield self._stop
            except GeneratorExit:
                self._code.close()
                raise
            except BaseException as error:  # noqa: BLE001 - what it waits for failed, or it is cancelled: it decides
                thrown = error
            else:
                thrown = None
            try:
                self._stop = self._code.send(None) if thrown is None else self._code.throw(thrown)
            except StopIteration:
                return

    async def _over(self, events: Sequence[Event]) -> None:
        handler, holds = self._handler, self._holds
        for event in events:
            if event.headers or holds.any:
                return
            await handler(event)
            self.done += 1
            if self._waits:
                return


class Arrivals:
    """The turns of the lane ARRIVALS of one epoch."""

    def __init__(
        self,
        work: Work,
        lanes: Lanes,
        attempts: Attempts,
        *,
        handled: Callable[[Lane, Sequence[Event]], None],
        failed: Callable[[Lane, Sequence[Event], Failed], None],
    ) -> None:
        """`handled` and `failed` are told how the first events of a lane ended."""
        self._work = work
        self._handled = handled
        self._lanes = lanes
        self._attempts = attempts
        self._failed = failed

    async def turn(self, lane: Lane, handler: Callable[[Event], Awaitable[None]]) -> int:
        """Hands over what ends without waiting. Returns how many events."""
        if self._work.holds.any or self._work.circuit.is_open:
            self._disperse(lane)
            return 0
        events = list(islice(lane.events, UNBROKEN_MAX))
        walk, watch = Walk(handler, events, self._work.holds), self._attempts.watch()
        watch.begin(asyncio.get_running_loop().time(), self._work.config.handler_timeout_s)
        try:
            await self._over(walk, watch, lane, events)
        finally:
            self._attempts.release(watch)
        return walk.done

    async def _over(self, walk: Walk, watch: Watch, lane: Lane, events: Sequence[Event]) -> None:
        waits, failure = False, None
        try:
            waits = walk.begin()
        except BaseException as error:  # noqa: BLE001 - it is the user's
            watch.began_s = asyncio.get_running_loop().time()  # the time until now was that of the events before it
            failure = self._attempts.failure(watch, error)
        done = walk.done
        if done:
            self._handled(lane, events[:done])
        if failure is not None:
            self._failed(self._first(lane), [events[done]], failure)
        elif waits:
            await self._wait(walk, watch, self._first(lane), events[done])
        elif done < len(events):
            self._disperse(lane)
        else:
            self._lanes.requeue(lane)

    async def _wait(self, walk: Walk, watch: Watch, lane: Lane, event: Event) -> None:
        """For the handler of one event, in its own lane."""
        watch.begin(asyncio.get_running_loop().time(), self._work.config.handler_timeout_s)  # others came before it
        try:
            await walk.rest()
        except BaseException as error:  # noqa: BLE001 - the same
            self._failed(lane, [event], self._attempts.failure(watch, error))
            return
        self._attempts.succeeded(watch, asyncio.get_running_loop().time())
        self._handled(lane, [event])
        self._lanes.requeue(lane)

    def _first(self, lane: Lane) -> Lane:
        """The first event's own lane, which runs. The others are dispersed."""
        event = lane.events.popleft()
        own = self._lanes.begin(self._work.lane_name(event), event)
        self._disperse(lane)
        return own

    def _disperse(self, lane: Lane) -> None:
        """Each event to the lane of its key."""
        self._lanes.remove(lane)
        for event in lane.events:
            self._lanes.push(self._work.lane_name(event), (event,))
        self._work.wake()
