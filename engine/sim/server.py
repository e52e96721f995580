"""A simulated Redis behind the port: one node or several, with the function library of `engine.sim.function`.

The library is held to the real one by a differential test. What an adapter does is done here as an adapter does it: an
unknown outcome is `Unanswered`, and a library that is missing is loaded and the same bytes are sent again.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random

from engine.errors import StateDamaged, Unanswered
from engine.ports import Answer, Call
from engine.sim.loop import WORLD
from engine.sim.network import Digest, Network, Silence, Weather
from engine.sim.shard import FunctionMissing, Shard
from engine.sim.store import Geometry

NOBODY = -1

Observer = Callable[[str, bytes, list[bytes]], None]


def _unobserved(function: str, payload: bytes, reply: list[bytes]) -> None:
    """Nobody looks."""


def bucket_of_name(name: bytes) -> int:
    """The bucket that a state key's hash tag names."""
    return int(name[: name.index(b"}")].rpartition(b":")[2])


class SimulatedServer:
    """All nodes. A `StateServer` by itself; `client` gives each worker one that it may be cut off with."""

    def __init__(
        self, random: Random, *, loss: float = 0.0, nodes: int = 1, weather: Weather | None = None,
        geometry: Geometry | None = None, spite: float = 0.0, digest: Digest | None = None,
    ) -> None:  # fmt: skip
        self.dice = random
        self.network = Network(random, weather or Weather(lost=loss))
        shape = geometry or Geometry()
        self.shards = [Shard(random, shape, spite=spite) for _ in range(nodes)]
        self.digest = digest or Digest()
        self.calls = 0
        self.observe: Observer = _unobserved
        self.boards: dict[str, dict[str, bytes]] = {}
        self._own = SimulatedClient(self, NOBODY)

    @property
    def clustered(self) -> bool:
        return len(self.shards) > 1

    @property
    def state(self) -> dict[bytes, object]:
        """What all nodes hold."""
        return {name: value for shard in self.shards for name, value in shard.functions.state.items()}

    def client(self, number: int) -> "SimulatedClient":
        return SimulatedClient(self, number)

    def shard_of(self, key: bytes) -> Shard:
        return self.shards[bucket_of_name(key) % len(self.shards)] if self.clustered else self.shards[0]

    def carry_out(self, client: int, shard: Shard, function: str, payload: bytes, born: int) -> list[bytes]:
        """A request arrives. Raises what a node answers, and Silence."""
        loop, dice = asyncio.get_running_loop(), self.dice
        if shard.generation != born and dice.random() < 0.6:
            raise Silence  # its connection is gone
        reply = shard.carry_out(client, function, payload, loop.time())
        self.calls += 1
        self.digest.note(function.encode(), payload, *reply)
        self.observe(function, payload, reply)
        if shard.takes_back(function, reply):
            loop.call_later(dice.uniform(0, 0.02), shard.lose_newest, dice.randrange(1, 4), context=WORLD)
            if dice.random() < 0.5:
                again = (client, shard, function, payload)
                loop.call_later(dice.uniform(0.02, 0.08), self._once_more, *again, context=WORLD)
        return reply

    def _once_more(self, client: int, shard: Shard, function: str, payload: bytes) -> None:
        """A copy that was still on its way when the node failed over."""
        try:
            self.carry_out(client, shard, function, payload, shard.generation)
        except (Silence, FunctionMissing):
            return

    def calm_down(self) -> None:
        self.network.weather.clear_up()
        for shard in self.shards:
            shard.calm_down()

    async def call(self, function: str, payload: bytes, *, key: bytes, writes: bool) -> list[bytes]:
        return await self._own.call(function, payload, key=key, writes=writes)

    async def call_many(
        self, function: str, calls: Sequence[Call], *, writes: bool, answered: Callable[[int, Answer], None]
    ) -> None:
        await self._own.call_many(function, calls, writes=writes, answered=answered)

    async def make_durable(self, level: str) -> None:
        await self._own.make_durable(level)

    async def post(self, board: str, name: str, notice: bytes | None, *, lasts_s: int = 60) -> None:
        await self._own.post(board, name, notice, lasts_s=lasts_s)

    async def posted(self, board: str) -> Mapping[str, bytes]:
        return await self._own.posted(board)


class SimulatedClient:
    """One worker's connections. Implements `engine.ports.StateServer`."""

    def __init__(self, server: SimulatedServer, number: int) -> None:
        self._server = server
        self._number = number

    @property
    def clustered(self) -> bool:
        return self._server.clustered

    async def call(self, function: str, payload: bytes, *, key: bytes, writes: bool) -> list[bytes]:
        shard = self._server.shard_of(key)
        try:
            return await self._ask(shard, function, payload)
        except FunctionMissing:
            await self.load(shard)
        try:
            return await self._ask(shard, function, payload)
        except FunctionMissing as error:
            raise Unanswered("the function library went away again") from error

    async def load(self, shard: Shard) -> None:
        await self._server.network.ask(shard.load, what="loading the function library")

    async def _ask(self, shard: Shard, function: str, payload: bytes) -> list[bytes]:
        server, born = self._server, shard.generation
        return await server.network.ask(
            lambda: server.carry_out(self._number, shard, function, payload, born), what=function
        )

    async def call_many(
        self, function: str, calls: Sequence[Call], *, writes: bool, answered: Callable[[int, Answer], None]
    ) -> None:
        """Each goes its own way, though a real client sends those for one node together."""

        async def one(place: int, call: Call) -> None:
            answer: Answer
            try:
                answer = await self.call(function, call.payload, key=call.key, writes=writes)
            except (Unanswered, StateDamaged) as error:
                answer = error
            answered(place, answer)

        async with asyncio.TaskGroup() as tasks:
            for place, call in enumerate(calls):
                tasks.create_task(one(place, call))

    async def make_durable(self, level: str) -> None:
        await self._server.network.ask(lambda: None, what=f"durability {level}")

    async def post(self, board: str, name: str, notice: bytes | None, *, lasts_s: int = 60) -> None:
        def write() -> None:
            notices = self._server.boards.setdefault(board, {})
            if notice is None:
                notices.pop(name, None)
            else:
                notices[name] = notice

        await self._server.network.ask(write, what="a notice")

    async def posted(self, board: str) -> Mapping[str, bytes]:
        return dict(self._server.boards.get(board, {}))
