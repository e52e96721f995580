"""One core of a processor in virtual time: a worker process is busy for as long as its work would have taken.

What a process does in one round of its loop happens at once; then it stands still for what that costs, as after
SIGSTOP: nothing of it runs, its timers fall due, answers to it wait. So work is done in the order in which a loop does
it, and no process does more than a second's work in a second.
"""

import asyncio

from engine.sim.loop import WORLD, Process

SPAN_S = 0.001
"""Longer work gives way to what else is ready so often, as the steps of a loop do."""


class Core:
    """Of one process; charge only from within it."""

    def __init__(self, process: Process) -> None:
        self.busy_s = 0.0
        self._process = process
        self._free_s = 0.0
        self._charged = False

    def charge(self, work_s: float) -> None:
        """The process stands still for so long, after this round of its loop."""
        loop = asyncio.get_running_loop()
        if not self._charged:
            self._charged = True
            self._free_s = loop.time()
            loop.call_soon(self._stand_still, context=WORLD)
        self._free_s += work_s
        self.busy_s += work_s

    async def spend(self, work_s: float) -> None:
        """Returns when the work is done."""
        while work_s > 0:
            self.charge(min(work_s, SPAN_S))
            work_s -= SPAN_S
            await asyncio.sleep(0)

    def _stand_still(self) -> None:
        self._charged = False
        self._process.hold()
        asyncio.get_running_loop().call_at(self._free_s, self._process.go_on, context=WORLD)
