"""Broker and Redis of the model. Redis is one core that takes requests one by one; the broker costs only its way."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

from engine.event import Event
from engine.sim.broker import SimulatedBroker, SimulatedLog
from engine.sim.loop import WORLD
from engine.sim.network import ANSWER_S, Network, Weather
from engine.sim.payload import PackedSlice
from engine.sim.server import SimulatedClient, SimulatedServer
from perf.model.core import Core
from perf.model.costs import US, Costs

T = TypeVar("T")
POLL_S = (0.001, 0.002)
"""How often a member asks again at the log's end: the real client is told."""


class Line(Network):
    """The way to a server of one core, and its queue. Nothing gets lost; the queue is bounded by who waits."""

    def __init__(self, round_trip_s: float, call_s: float) -> None:
        super().__init__(Random(0), Weather())
        self.busy_s = 0.0
        self.work_s = 0.0
        """Of what is being carried out, beside the call itself: known when it is done."""
        self._way_there_s = round_trip_s / 2
        self._call_s = call_s
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._busy = False

    async def ask(self, carry_out: Callable[[], T], *, what: str, answer_s: float = ANSWER_S) -> T:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        loop.call_later(self._way_there_s, self._arrived, carry_out, answer, context=WORLD)
        return await answer

    def _arrived(self, carry_out: Callable[[], Any], answer: "asyncio.Future[Any]") -> None:
        self._waiting.append((carry_out, answer))
        if not self._busy:
            self._next()

    def _next(self) -> None:
        self._busy = bool(self._waiting)
        if not self._busy:
            return
        carry_out, answer = self._waiting.popleft()
        self.work_s = self._call_s
        found = carry_out()
        work_s = self.work_s
        self.busy_s += work_s
        loop = asyncio.get_running_loop()
        loop.call_later(work_s, self._next, context=WORLD)
        loop.call_later(work_s + self._way_there_s, _answer, answer, found, context=WORLD)


def _answer(answer: "asyncio.Future[Any]", found: object) -> None:
    if not answer.done():
        answer.set_result(found)


class ModelRedis(SimulatedServer):
    """The simulated function library behind a line."""

    def __init__(self, costs: Costs, round_trip_s: float, wrote: Callable[[PackedSlice], None]) -> None:
        super().__init__(Random(0))
        self.network = self.line = Line(round_trip_s, costs.redis_call_us * US)
        self._costs = costs
        self._wrote = wrote
        for shard in self.shards:
            shard.functions.observe = self._written

    def _written(self, part: PackedSlice) -> None:
        self.line.work_s += (self._costs.redis_slice_us + sum(part.counters) * self._costs.redis_event_us) * US
        self._wrote(part)


class ModelClient(SimulatedClient):
    """A worker's connections: a call costs the worker too."""

    def __init__(self, server: SimulatedServer, number: int, core: Core, costs: Costs) -> None:
        super().__init__(server, number)
        self._core = core
        self._costs = costs

    async def call(self, function: str, payload: bytes, *, key: bytes, writes: bool) -> list[bytes]:
        await self._core.spend(self._costs.worker_call_us * US)
        reply = await super().call(function, payload, key=key, writes=writes)
        await self._core.spend(len(reply) * self._costs.worker_slice_us * US)
        return reply


class ModelLog(SimulatedLog):
    """A member of the group; all that an event costs its worker by itself is spent where it is read."""

    def __init__(self, broker: SimulatedBroker, number: int, core: Core, costs: Costs, *, ahead_max: int) -> None:
        super().__init__(broker, number)
        self.ahead_max, self.ask_again_s = ahead_max, POLL_S
        self._core = core
        self._event_s = costs.worker_event_us * US

    async def fetch(
        self, partitions: Sequence[int], *, events_max: int, wait_s: float, bytes_max: int | None = None
    ) -> Mapping[int, Sequence[Event]]:
        taken = await super().fetch(partitions, events_max=events_max, wait_s=wait_s, bytes_max=bytes_max)
        await self._core.spend(self._event_s * sum(map(len, taken.values())))
        return taken
