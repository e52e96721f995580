"""An attempt: user code is called, and fails in one way only, whatever it raises, and however it is ended."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from engine.event import Event, trace_headers
from engine.notice import notice
from engine.runtime.calls import Calls, Watch
from engine.runtime.work import Work
from engine.telemetry import ERROR, GROUP, OPERATION, PROCESS_DURATION, PROCESS_SPAN, SYSTEM, TOPIC

Given = TypeVar("Given")
Result = TypeVar("Result")

UNBROKEN_MAX = 256
"""Events that are handed over at most before everything else in the process goes on, where no handler waits."""
CANCEL_S = 5.0
"""How long cancelled user code may take to end."""


class Failed(Exception):
    """User code raised, timed out, or cancelled itself."""


class Attempts:
    """Those of one epoch."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._calls = Calls()
        self._attributes = {TOPIC: work.config.topic, GROUP: work.config.group, OPERATION: "process", SYSTEM: "kafka"}
        self._took = work.telemetry.recorder(PROCESS_DURATION, self._attributes)
        self.watch, self.release = self._calls.watch, self._calls.release
        self.over = False
        """The epoch has ended: what fails now says nothing."""

    async def attempt(
        self, handle: Callable[[Given], Awaitable[Result]], given: Given, events: Sequence[Event]
    ) -> Result:
        """The answer of `handle(given)`; `events` are what it is given.

        Raises:
            Failed: whatever it raised, except what asks the whole process to end.
        """
        watch = self.watch()
        watch.begin(asyncio.get_running_loop().time(), self._work.config.handler_timeout_s)
        try:
            result = await self.in_trace(handle, given, events)
        except BaseException as error:
            raise self.failure(watch, error) from error
        finally:
            self.release(watch)
        self.succeeded(watch, asyncio.get_running_loop().time())
        return result

    async def in_trace(
        self, handle: Callable[[Given], Awaitable[Result]], given: Given, events: Sequence[Event]
    ) -> Result:
        """The answer of `handle(given)`, within the trace that the events name, if they do. Raises what it raises."""
        named = [event.headers for event in events if event.headers and trace_headers(event.headers)]
        if not named:
            return await handle(given)
        with self._work.telemetry.continued(PROCESS_SPAN, named, self._attributes):
            return await handle(given)

    def succeeded(self, watch: Watch, now_s: float) -> None:
        """The call has returned."""
        watch.ended()
        seconds = now_s - watch.began_s
        if seconds:  # else it has not waited
            self._work.handled(seconds)
            self._took(seconds)

    def failure(self, watch: Watch, error: BaseException) -> Failed:
        """The call has raised this. Raises it too, where it asks the process or the task to end."""
        if watch.ended() and isinstance(error, asyncio.CancelledError):
            error = TimeoutError()
        ends = isinstance(error, asyncio.CancelledError) and watch.task_ends
        if ends or isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        if not self.over:
            self._failed_after(asyncio.get_running_loop().time() - watch.began_s, error)
        return Failed(f"{type(error).__name__}: {error}")

    def _failed_after(self, seconds: float, error: BaseException) -> None:
        """What fails at once says nothing of how many calls may run; what times out does."""
        if isinstance(error, TimeoutError):
            self._work.handled(seconds)
        attributes = self._attributes | {ERROR: type(error).__name__}
        self._work.telemetry.record(PROCESS_DURATION, seconds, attributes)

    async def cancel(self) -> None:
        """Cancels the user code that runs, and returns when it has ended: nothing runs beside the next owner.

        Code that refuses to end is left behind after a while, with a warning.
        """
        self.over = True
        self._calls.cancel_all()
        with anyio.move_on_after(CANCEL_S) as waiting:
            await self._calls.all_ended()
        if waiting.cancelled_caught:
            text = f"{len(self._calls)} handlers do not end though they were cancelled {CANCEL_S:g} s ago"
            self._work.tell(notice("handler.left_running", text, handlers=len(self._calls)))
