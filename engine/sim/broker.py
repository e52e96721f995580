"""A simulated Kafka: logs with gaps, and one consumer group (`group`) whose members (`member`) behave as real ones."""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from engine.ports import Committed, OffsetOutOfRange
from engine.sim.group import Group
from engine.sim.loop import WORLD, SimulatedClock
from engine.sim.member import SimulatedLog, SimulatedSender
from engine.sim.network import Digest, Network, Silence, Weather

__all__ = ["SimulatedBroker", "SimulatedEvent", "SimulatedLog", "SimulatedSender"]


class SimulatedEvent(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class FetchAnswer(NamedTuple):
    """Of one partition: its events from the position asked for on, where to go on, and the end of the log."""

    events: Sequence[SimulatedEvent]
    position: int
    high_watermark: int


class SimulatedBroker:
    """Topics of partitions; each partition is a list of events with ascending offsets."""

    def __init__(
        self, random: Random, topic: str, partitions: int, *, loss: float = 0.0, session_s: float = 45.0,
        rebalance_s: float = 60.0, weather: Weather | None = None, clock: SimulatedClock | None = None,
        digest: Digest | None = None,
    ) -> None:  # fmt: skip
        self.random = random
        self.topic = topic
        self.network = Network(random, weather or Weather(lost=loss, longest_s=0.02))
        self.clock = clock or SimulatedClock()
        self.digest = digest or Digest()
        self.logs: dict[tuple[str, int], list[SimulatedEvent]] = {(topic, number): [] for number in range(partitions)}
        self.ends: dict[tuple[str, int], int] = {}
        self.beginnings: dict[int, int] = {}
        self.committed: dict[int, Committed] = {}
        self.group = Group(random, lambda: self.partitions, session_s=session_s, rebalance_s=rebalance_s)
        self.observe: Callable[[Mapping[int, Committed]], None] | None = None
        """Told of every commit that was taken."""
        self._away_until_s: dict[int, float] = {}
        self._refused_until_s = 0.0

    @property
    def partitions(self) -> int:
        return sum(topic == self.topic for topic, _ in self.logs)

    @property
    def loss(self) -> float:
        return self.network.weather.lost

    @loss.setter
    def loss(self, chance: float) -> None:
        self.network.weather.lost = chance

    # ---------------------------------------------------------------- the log
    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, *, gap: int = 0,
               timestamp: int | None = None, headers: Sequence[tuple[str, bytes]] = ()) -> int:  # fmt: skip
        """Returns the offset; `gap` offsets before it never arrive."""
        place = (topic, partition)
        offset = self.ends.get(place, 0) + gap
        arrival = self.clock.now_ms() if timestamp is None else timestamp
        self.logs.setdefault(place, []).append(SimulatedEvent(topic, partition, offset, arrival, key, value, headers))
        self.ends[place] = offset + 1
        self.digest.note(b"append %b/%d %d %d" % (topic.encode(), partition, offset, arrival), key or b"", value or b"")
        return offset

    def append_gap(self, partition: int, offsets: int) -> None:
        """Offsets at the log's end that never arrive, as of an aborted transaction."""
        self.ends[self.topic, partition] = self.end(partition) + offsets

    def add_partition(self, noticed_after_s: float = 0.0) -> None:
        """Producers know it at once; members hear of it later, and the group is dealt anew."""
        self.logs[self.topic, self.partitions] = []
        asyncio.get_running_loop().call_later(noticed_after_s, self.group.rebalance, context=WORLD)

    def end(self, partition: int) -> int:
        return self.ends.get((self.topic, partition), 0)

    # ---------------------------------------------------------------- requests
    def read(self, partition: int, position: int, events_max: int) -> FetchAnswer | None:
        """None while its leader is away. Raises OffsetOutOfRange."""
        if self.is_away(partition):
            return None
        end = self.end(partition)
        if position > end or position < self.beginnings.get(partition, 0):
            raise OffsetOutOfRange(partition, position)
        log = self.logs[self.topic, partition]
        first = bisect_left(log, position, key=lambda event: event.offset)
        events = log[first : first + events_max]
        following = log[first + events_max].offset if len(log) > first + events_max else end
        return FetchAnswer(events, following, end)

    def answering(self, partition: int) -> None:
        """Raises Silence while the partition's leader is away."""
        if self.is_away(partition):
            raise Silence

    def is_away(self, partition: int) -> bool:
        return asyncio.get_running_loop().time() < self._away_until_s.get(partition, 0.0)

    def commit(self, member: int, generation: int, offsets: dict[int, Committed]) -> bool:
        if not self.group.is_current(member, generation):
            return False
        self.committed.update(offsets)
        if self.observe is not None:
            self.observe(offsets)
        self.digest.note(b"commit", repr(sorted(offsets.items())).encode())
        return True

    # ---------------------------------------------------------------- faults
    def send_away(self, partition: int, until_s: float) -> None:
        """Nobody can read the partition until then; producers, who sit elsewhere, can write."""
        self._away_until_s[partition] = max(until_s, self._away_until_s.get(partition, 0.0))

    def refuse_messages(self, until_s: float) -> None:
        """What workers produce is not taken until then."""
        self._refused_until_s = until_s

    def take_messages(self) -> None:
        """Raises Silence while messages are refused."""
        if asyncio.get_running_loop().time() < self._refused_until_s:
            raise Silence

    def calm_down(self) -> None:
        self.network.weather.clear_up()
        self._away_until_s.clear()
        self._refused_until_s = 0.0

    async def rebalance(self) -> None:
        """Returns when the group is dealt anew."""
        generation = self.group.generation
        self.group.rebalance()
        while self.group.generation == generation and self.group.members:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def pause(self) -> None:
        """A round trip. Raises Unanswered."""
        await self.network.ask(lambda: None, what="a round trip")
