"""A simulated Redis behind the port: requests and answers get lost, late or doubled, and failovers lose newest writes.

The function library is `engine.sim.function`, which a differential test holds to the real one.
"""

from collections.abc import Mapping
from random import Random

import anyio

from engine.errors import Unanswered
from engine.sim.function import SimulatedFunctions

ANSWER_S = 0.2


class SimulatedServer:
    """One primary whose replica lags: `failover` keeps a prefix of its writes."""

    def __init__(self, random: Random, *, loss: float = 0.0) -> None:
        self.random = random
        self.loss = loss
        self.functions = SimulatedFunctions()
        self.calls = 0
        self.writes_lost = 0
        self.boards: dict[str, dict[str, bytes]] = {}

    async def call(self, function: str, payload: bytes, *, key: bytes, writes: bool) -> list[bytes]:
        await anyio.sleep(self.random.uniform(0.0005, 0.01))
        if self.random.random() < self.loss:
            await anyio.sleep(ANSWER_S)
            raise Unanswered("the simulated server lost the request")
        self.calls += 1
        reply = self.functions.call(function, payload)
        if self.random.random() < self.loss:  # a late copy of the same bytes, as a client's retry would send
            self.functions.call(function, payload)
        await anyio.sleep(self.random.uniform(0.0005, 0.01))
        if self.random.random() < self.loss:
            await anyio.sleep(ANSWER_S)
            raise Unanswered("the simulated server's answer was lost")
        return reply

    def failover(self, lost_max: int) -> None:
        """The replica takes over without the newest writes."""
        self.writes_lost += self.functions.lose(self.random.randrange(lost_max + 1))

    def wipe(self) -> None:
        """Comes back empty."""
        self.functions.clear()

    async def make_durable(self, level: str) -> None:
        await anyio.sleep(self.random.uniform(0.0005, 0.01))

    async def post(self, board: str, name: str, notice: bytes | None, *, lasts_s: int = 60) -> None:
        notices = self.boards.setdefault(board, {})
        if notice is None:
            notices.pop(name, None)
        else:
            notices[name] = notice

    async def posted(self, board: str) -> Mapping[str, bytes]:
        return dict(self.boards.get(board, {}))
