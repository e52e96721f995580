"""Slices that are ready for a call, and when the next call goes.

A call takes whole slices: one that is cut in two touches its keys twice. For the same reason a small call does not go
beside another: what gathers while one is under way shares the next, as bytes do with Nagle's algorithm (RFC 896).
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from engine.state.slices import Slice, Stage

CHECK_SLICES_MAX = 1_024
LEAST_SHARE = 4
"""A slice that would get less than this part of a call waits for the next, and a call of less for the one under way."""
PATIENCE_S = 0.02
"""It waits no longer: the one under way may never be answered."""


class Ready:
    """`call_events_max`: what a call may weigh (`weight.py`). `apart`: slices share no call, as in a cluster."""

    def __init__(self, call_events_max: int, *, apart: bool) -> None:
        self._room = call_events_max
        self._least = call_events_max // LEAST_SHARE
        self._apart = apart
        self._slices: deque[Slice] = deque()
        self._bell = anyio.Event()
        self._calls = 0
        self._took_s = float("-inf")

    def add(self, own: Slice) -> None:
        """Queues the slice for a write, or for a look."""
        own.stage = Stage.QUEUED
        self._slices.append(own)
        self._bell.set()

    def look_again(self) -> None:
        """Patience may have run out."""
        if self._slices:
            self._bell.set()

    async def next_call(self) -> tuple[list[Slice], list[Slice]]:
        """Waits for slices to be written and slices to be compared; not both are empty."""
        while True:
            if self._goes():
                writing, checking = self._take()
                if writing or checking:
                    return writing, checking
            if self._bell.is_set():
                self._bell = anyio.Event()
            await self._bell.wait()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """While what was taken is sent and answered."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    def _goes(self) -> bool:
        if not self._calls or self._apart or anyio.current_time() - self._took_s > PATIENCE_S:
            return True
        missing = self._least
        for own in self._slices:
            missing -= len(own.gathered) + len(own.batch)
            if missing <= 0:
                return True
        return False

    def _take(self) -> tuple[list[Slice], list[Slice]]:
        writing: list[Slice] = []
        checking: list[Slice] = []
        room = self._room
        now_s = anyio.current_time()
        while self._slices and room > self._least and len(checking) < CHECK_SLICES_MAX:
            own = self._slices.popleft()
            if own.epoch.ended:
                continue
            own.stage = Stage.IN_FLIGHT
            own.looked_s = self._took_s = now_s
            if own.has_work or own.owes or own.record_would_change():
                room -= max(1, own.take(room))
                writing.append(own)
            else:
                checking.append(own)
        return writing, checking
