"""What people see of the demo, on stderr: steps while things start, then one status that renews itself.

On a terminal the last lines are written over; elsewhere, and with NO_COLOR, there are plain lines, few enough to keep.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

T = TypeVar("T")

PLAIN_INTERVAL_S = 5.0
LIVELY_INTERVAL_S = 0.5
UP_AND_CLEAR = "\x1b[A\x1b[2K"
NAME_WIDTH = 9


class StepFailed(Exception):
    """A step of the demo could not be done; the message says what to set or install. `told`: it was shown already."""

    told = False


class Screen:
    """`lively`: a terminal that can be written over. `now_s`: monotonic seconds."""

    def __init__(self, stream: TextIO, *, lively: bool, now_s: Callable[[], float]) -> None:
        self._stream = stream
        self._lively = lively
        self._now_s = now_s
        self._shown = 0
        self._status: tuple[str, ...] = ()
        self._status_at_s: float | None = None
        self._running: dict[str, float] = {}

    def line(self, text: str = "") -> None:
        """A line that stays, above what renews itself."""
        self._clear()
        print(text, file=self._stream)
        self._draw()

    def status(self, *lines: str) -> None:
        """Replaces the last status; elsewhere than on a terminal only now and then."""
        if self._lively:
            self._clear()
            self._status = lines
            self._draw()
        elif self._status_at_s is None or self._now_s() - self._status_at_s >= PLAIN_INTERVAL_S:
            self._status_at_s = self._now_s()
            for text in lines:
                print(text, file=self._stream, flush=True)

    def end_status(self) -> None:
        """What renewed itself stays as it is."""
        self._status, self._shown = (), 0

    async def step(self, name: str, work: Awaitable[T], describe: Callable[[T], str]) -> T:
        """Shows the step with its seconds while `work` runs, and then what became of it.

        Raises:
            StepFailed: it raised one; said here already.
        """
        began_s = self._now_s()
        try:
            with self.running(name):
                result = await work
        except StepFailed as error:
            self.line(f"  ✗ {name.ljust(NAME_WIDTH)}{error}")
            error.told = True
            raise
        self.line(f"  ✓ {name.ljust(NAME_WIDTH)}{describe(result).ljust(34)}{self._now_s() - began_s:6.1f} s")
        return result

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Shows the seconds of what runs within, if it is slow."""
        self._running[name] = self._now_s()
        try:
            yield
        finally:
            del self._running[name]
            if not self._running and self._lively:
                self._clear()
                self._status = ()

    async def tick(self) -> None:
        """Shows the seconds of slow steps, for ever."""
        while True:
            await asyncio.sleep(LIVELY_INTERVAL_S if self._lively else PLAIN_INTERVAL_S)
            now_s = self._now_s()
            running = [f"{name} {now_s - began_s:.0f} s" for name, began_s in self._running.items()]
            if running:
                self.status("  … " + ", ".join(running))

    def _clear(self) -> None:
        if self._shown:
            self._stream.write("\r" + UP_AND_CLEAR * self._shown)
            self._shown = 0

    def _draw(self) -> None:
        if self._lively:
            columns = shutil.get_terminal_size().columns  # a line that wraps could not be written over
            for text in self._status:
                self._stream.write(text[: columns - 1] + "\n")
            self._shown = len(self._status)
        self._stream.flush()
