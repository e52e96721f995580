"""The handler of the lift: read the event, wait as if something answered, be done. Every Python peer calls it."""

import asyncio

import orjson

from perf.peers.program import Tally, Work

LOOK_S = 0.25


class Lift:
    """One run. `finished` is set when every event is done, or nothing has moved for too long."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.tally = Tally(work)
        self.finished = asyncio.Event()

    async def handle(self, key: bytes, offset: int, value: bytes) -> None:
        tally = self.tally
        tally.begin(key, offset)
        if orjson.loads(value)["tokens"] < 1:
            raise ValueError(f"offset {offset}: no tokens")
        await asyncio.sleep(self.work.wait_s)
        if tally.end(key):
            self.finished.set()

    async def watch(self) -> None:
        """Returns when it is finished."""
        newest, still_s = -1, 0.0
        while not self.finished.is_set():
            await asyncio.sleep(LOOK_S)
            still_s = still_s + LOOK_S if self.tally.done == newest else 0.0
            newest = self.tally.done
            if still_s >= self.work.patience_s(self.tally.done):
                self.finished.set()
