"""One node of the simulated Redis: a primary whose replica lags, and what may happen to both."""

import asyncio
from random import Random
from typing import Final

from engine.sim.function import SimulatedFunctions
from engine.sim.network import Silence
from engine.sim.plan import Fault
from engine.sim.store import Geometry

SPITE: Final = 0.03
"""Of a node's spite: how often a plain answer is taken back, against one that says what is remembered."""


class FunctionMissing(Exception):
    """The node came back without the function library."""


class Shard:
    """`spite` is the chance that a failover takes back what an answer just said."""

    def __init__(self, dice: Random, geometry: Geometry, *, spite: float = 0.0) -> None:
        self.dice = dice
        self.spite = spite
        self.functions = SimulatedFunctions(geometry=geometry)
        self.has_library = True
        self.generation = 0
        self.failovers = self.writes_lost = self.written_in_vain = self.loads = 0
        self._demoted = SimulatedFunctions(geometry=geometry)
        self._demoted_until_s = 0.0
        self._cut_off: frozenset[int] = frozenset()
        self._away_until_s = 0.0

    def carry_out(self, client: int, function: str, payload: bytes, now_s: float) -> list[bytes]:
        """Raises FunctionMissing, StateDamaged, Silence (it is away)."""
        if now_s < self._away_until_s:
            raise Silence
        if now_s < self._demoted_until_s and client in self._cut_off:
            self.written_in_vain += function == "apply"
            return self._demoted.call(function, payload)
        if not self.has_library:
            raise FunctionMissing(function)
        return self.functions.call(function, payload, now_s=now_s)

    def load(self) -> None:
        self.loads += not self.has_library
        self.has_library = True

    # ---------------------------------------------------------------- faults
    def lose_since(self, since_s: float) -> None:
        """The replica takes over without what was written since."""
        self._fail_over(self.functions.written_since(since_s))

    def lose_newest(self, count: int) -> None:
        self._fail_over(count)

    def _fail_over(self, count: int) -> None:
        self.failovers += 1
        self.generation += 1
        self.writes_lost += self.functions.lose(count)

    def demote(self, clients: frozenset[int], until_s: float) -> None:
        """The primary of now goes on answering some clients, while a replica takes over for the others."""
        self._demoted = self.functions.copy()
        self._demoted_until_s, self._cut_off = until_s, clients

    def wipe(self, *, library: bool) -> None:
        """Comes back empty."""
        self.generation += 1
        self.functions.clear()
        self.has_library = library

    def go_away(self, until_s: float) -> None:
        self._away_until_s = until_s

    def calm_down(self) -> None:
        """From now on nothing more goes wrong."""
        self.spite = self._demoted_until_s = self._away_until_s = 0.0

    def takes_back(self, function: str, reply: list[bytes]) -> bool:
        """Whether this answer is to be followed by a failover that loses what it speaks of."""
        if self.spite == 0.0:
            return False
        telling = any(answer[:1] == b"V" or answer[:2] == b"A1" for answer in reply)
        return self.dice.random() < self.spite * (1.0 if telling else SPITE)


def harm_node(shard: Shard, fault: Fault, workers: int, dice: Random) -> bool:
    """Whether its primary goes on for some of the workers, numbered from 0."""
    now_s = asyncio.get_running_loop().time()
    if fault.kind == "wipe":
        shard.wipe(library=fault.chance < 0.5)
    elif fault.kind == "node away":
        shard.go_away(now_s + fault.for_s)
    else:
        demoted = fault.chance < 0.3
        if demoted:
            cut_off = frozenset(number for number in range(workers) if dice.random() < 0.5)
            shard.demote(cut_off, now_s + fault.for_s)
        shard.lose_since(now_s - fault.for_s * (0.6 if fault.chance < 0.9 else 3.0))
        return demoted
    return False
