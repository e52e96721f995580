"""A simulated Kafka: logs with gaps, one consumer group with eager rebalances, and requests that get lost.

It behaves as the real client does where that hurts: a rebalance forgets positions, a member that was evicted goes on
reading until it is told, and a commit in an old generation is refused.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

import anyio

from engine.errors import Unanswered
from engine.event import Event, Message
from engine.ports import Committed, OffsetOutOfRange, RebalanceListener
from engine.sim.loop import SimulatedClock


class SimulatedEvent(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class SimulatedBroker:
    """Topics of partitions; each partition is a list of events with ascending offsets."""

    def __init__(self, random: Random, topic: str, partitions: int, *, loss: float = 0.0) -> None:
        self.random = random
        self.topic = topic
        self.loss = loss
        self.clock = SimulatedClock()
        self.logs: dict[tuple[str, int], list[SimulatedEvent]] = {(topic, number): [] for number in range(partitions)}
        self.ends: dict[tuple[str, int], int] = {}
        self.beginnings: dict[int, int] = {}
        self.committed: dict[int, Committed] = {}
        self.generation = 0
        self.owners: dict[int, SimulatedLog] = {}
        self.members: list[SimulatedLog] = []
        self._balancing = anyio.Lock()

    @property
    def partitions(self) -> int:
        return sum(topic == self.topic for topic, _ in self.logs)

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, *, gap: int = 0,
               timestamp: int | None = None, headers: Sequence[tuple[str, bytes]] = ()) -> int:  # fmt: skip
        """Returns the offset; `gap` offsets before it never arrive."""
        place = (topic, partition)
        offset = self.ends.get(place, 0) + gap
        arrival = self.clock.now_ms() if timestamp is None else timestamp
        self.logs.setdefault(place, []).append(SimulatedEvent(topic, partition, offset, arrival, key, value, headers))
        self.ends[place] = offset + 1
        return offset

    async def pause(self, longest_s: float = 0.02) -> None:
        """A round trip, whose request or answer may be lost."""
        await anyio.sleep(self.random.uniform(0.0005, longest_s))
        if self.random.random() < self.loss:
            raise Unanswered("the simulated broker lost a request")

    async def rebalance(self) -> None:
        """Eager: everybody lets everything go, then the partitions are dealt anew."""
        async with self._balancing:
            self.generation += 1
            old = dict(self.owners)
            async with anyio.create_task_group() as tasks:
                for member in list(self.members):
                    mine = frozenset(number for number, owner in old.items() if owner is member)
                    if mine and not member.evicted:
                        tasks.start_soon(member.revoke, mine)
            members = [member for member in self.members if not member.evicted]
            self.random.shuffle(members)
            self.owners = (
                {number: members[number % len(members)] for number in range(self.partitions)} if members else {}
            )
            for member in members:
                await member.assign(frozenset(number for number, owner in self.owners.items() if owner is member))

    async def leave(self, member: "SimulatedLog") -> None:
        if member in self.members:
            self.members.remove(member)
            self.owners = {number: owner for number, owner in self.owners.items() if owner is not member}
            await self.rebalance()


class SimulatedLog:
    """One member. Implements `engine.ports.Log`."""

    def __init__(self, broker: SimulatedBroker) -> None:
        self._broker = broker
        self._listener: RebalanceListener | None = None
        self._positions: dict[int, int | None] = {}
        self._generation = -1
        self.evicted = False
        self._crashed = False

    async def start(self, listener: RebalanceListener) -> None:
        self._listener = listener
        self._broker.members.append(self)
        await self._broker.rebalance()

    async def stop(self) -> None:
        await self._broker.leave(self)

    def crash(self) -> None:
        """The process is gone; the group learns of it at the next rebalance."""
        self._crashed = True
        if self in self._broker.members:
            self._broker.members.remove(self)

    async def revoke(self, partitions: frozenset[int]) -> None:
        assert self._listener is not None
        if not self._crashed:
            await self._listener.revoked(partitions)

    async def assign(self, partitions: frozenset[int]) -> None:
        assert self._listener is not None
        self._positions = dict.fromkeys(partitions)
        self._generation = self._broker.generation
        if not self._crashed:
            await self._listener.assigned(partitions)

    async def fetch(
        self, partitions: Sequence[int], *, events_max: int, wait_s: float
    ) -> Mapping[int, Sequence[Event]]:
        await self._broker.pause()
        found: dict[int, Sequence[Event]] = {}
        for number in partitions:
            position = self._positions.get(number)
            if position is None:
                continue
            if position > self._broker.ends.get((self._broker.topic, number), 0):
                raise OffsetOutOfRange(number, position)
            events = [event for event in self._broker.logs[self._broker.topic, number] if event.offset >= position]
            if events := events[:events_max]:
                found[number] = events
                self._positions[number] = events[-1].offset + 1
        if not found:
            await anyio.sleep(wait_s * self._broker.random.random())
        return found

    def position(self, partition: int) -> int:
        return self._positions.get(partition) or 0

    def high_watermark(self, partition: int) -> int | None:
        return self._broker.ends.get((self._broker.topic, partition), 0)

    async def seek(self, partition: int, offset: int) -> None:
        if partition in self._positions:
            self._positions[partition] = offset

    async def beginning(self, partition: int) -> int:
        await self._broker.pause()
        return self._broker.beginnings.get(partition, 0)

    async def end(self, partition: int) -> int:
        await self._broker.pause()
        return self._broker.ends.get((self._broker.topic, partition), 0)

    async def committed(self, partition: int) -> Committed | None:
        await self._broker.pause()
        return self._broker.committed.get(partition)

    async def commit(self, offsets: Mapping[int, Committed]) -> bool:
        await self._broker.pause()
        if self.evicted or self._generation != self._broker.generation:
            return False
        self._broker.committed.update(offsets)
        return True

    async def confirm_ownership(self, partition: int) -> bool:
        await self._broker.pause()
        return not self.evicted and self._broker.owners.get(partition) is self

    def partition_count(self) -> int:
        return self._broker.partitions


class SimulatedSender:
    """Produces to the simulated broker; what was sent may stand though the answer is lost."""

    def __init__(self, broker: SimulatedBroker) -> None:
        self._broker = broker

    async def send(self, messages: Sequence[Message]) -> None:
        await self._broker.pause()
        for message in messages:
            self._broker.append(message.topic, 0, message.key, message.value, headers=message.headers)
        await self._broker.pause()
