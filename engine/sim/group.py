"""The group's coordinator: eager rebalances, sessions, generations.

Who does not join within the rebalance's time is out, and so is who was not heard of for a session. Both learn of it
when they ask next; until then they believe that their partitions are theirs.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from random import Random

from engine.sim.loop import WORLD


class Heard(Enum):
    """What a heartbeat is answered."""

    FINE = auto()
    REBALANCE = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Assignment:
    generation: int
    partitions: frozenset[int]


@dataclass(slots=True)
class _Membership:
    heard_s: float
    joined: bool = False


class Group:
    """Everything here happens in the world, in no time."""

    def __init__(self, dice: Random, partitions: Callable[[], int], *, session_s: float, rebalance_s: float) -> None:
        self.members: dict[int, _Membership] = {}
        self.generation = 0
        self.rebalances = 0
        self.owners: dict[int, int] = {}
        self._dice = dice
        self._partitions = partitions
        self._session_s = session_s
        self._rebalance_s = rebalance_s
        self._balancing = False
        self._generations: dict[int, int] = {}
        """By member: the generation that it last belonged to."""

    # ---------------------------------------------------------------- what members ask
    def heartbeat(self, member: int, generation: int) -> Heard:
        self._look()
        if member not in self.members:
            return Heard.UNKNOWN
        self.members[member].heard_s = _now_s()
        current = self._generations.get(member) == generation == self.generation and not self._balancing
        return Heard.FINE if current else Heard.REBALANCE

    def join(self, member: int, after: int) -> Assignment | None:
        """The member has let everything go. None until all have; `after`: the generation that it knows of."""
        self._look()
        own = self.members.get(member)
        if own is None:
            own = self.members[member] = _Membership(_now_s())
            self.rebalance()
        own.heard_s = _now_s()
        if self._balancing:
            own.joined = True
            if all(each.joined for each in self.members.values()):
                self._deal()
        if not self._balancing and self._generations.get(member) == self.generation > after:
            mine = frozenset(number for number, owner in self.owners.items() if owner == member)
            return Assignment(self.generation, mine)
        if not self._balancing:
            self.rebalance()
        return None

    def leave(self, member: int) -> None:
        if self.members.pop(member, None) is not None:
            self.rebalance()

    def is_current(self, member: int, generation: int) -> bool:
        """Whether the coordinator takes a commit: also while a rebalance gathers, from who has not joined yet."""
        self._look()
        known = member in self.members and generation == self.generation == self._generations.get(member)
        if known:
            self.members[member].heard_s = _now_s()
        return known

    def owns(self, member: int, generation: int, partition: int) -> bool:
        return self.heartbeat(member, generation) is Heard.FINE and self.owners.get(partition) == member

    # ---------------------------------------------------------------- rebalances
    def rebalance(self) -> None:
        """Everybody has to join again."""
        if self._balancing or not self.members:
            return
        self._balancing = True
        self.rebalances += 1
        for each in self.members.values():
            each.joined = False
        asyncio.get_running_loop().call_later(
            self._rebalance_s, self._deal_without_the_late, self.generation, context=WORLD
        )

    def _deal_without_the_late(self, generation: int) -> None:
        if not self._balancing or self.generation != generation:
            return
        for number in [number for number, each in self.members.items() if not each.joined]:
            del self.members[number]
        self._deal()

    def _deal(self) -> None:
        self._balancing = False
        self.generation += 1
        members = sorted(self.members)
        self._dice.shuffle(members)
        self._generations = dict.fromkeys(members, self.generation)
        count = self._partitions()
        self.owners = {number: members[number % len(members)] for number in range(count)} if members else {}

    def evict(self, member: int) -> None:
        """As if its session had run out."""
        if self.members.pop(member, None) is not None:
            self.rebalance()
            self._deal_if_complete()

    def _look(self) -> None:
        """Sessions run out whenever anybody asks: nobody notices a moment earlier."""
        now_s = _now_s()
        for number in [number for number, each in self.members.items() if now_s - each.heard_s > self._session_s]:
            self.evict(number)

    def _deal_if_complete(self) -> None:
        if self._balancing and self.members and all(each.joined for each in self.members.values()):
            self._deal()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
