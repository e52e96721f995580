"""One member of the simulated group, and a producer. The member behaves as the real client where that hurts.

It reads ahead, so the end of the log that it knows may be as old as a pause; a rebalance forgets positions; evicted, it
goes on until it is told; what it may commit is decided by the coordinator.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.errors import Unanswered
from engine.event import Event, Message, memory_bytes
from engine.ports import Committed, OffsetOutOfRange, RebalanceListener
from engine.sim.group import Assignment, Heard

if TYPE_CHECKING:
    from engine.sim.broker import FetchAnswer, SimulatedBroker

HEARTBEAT_S = 0.1
ASK_AGAIN_S = (0.01, 0.05)
AHEAD_MAX = 500
JOIN_S = 0.05
"""What is known of the topic is no longer believed after this: it may be from before a pause of this process."""


@dataclass(slots=True)
class _Place:
    """Where the member is in a partition. `position` None: not sought yet."""

    position: int | None = None
    high_watermark: int | None = None
    ahead: list[Event] = field(default_factory=list)
    following: int = 0
    """The position when all that was read ahead is taken."""
    turn: int = 0
    """Rises with every seek: answers to what was asked before are thrown away."""


class SimulatedLog:
    """Implements `engine.ports.Log`. Like the real client it has tasks of its own, which end with `stop`."""

    _numbers = itertools.count()

    def __init__(self, broker: "SimulatedBroker", number: int | None = None) -> None:
        self._broker = broker
        self.number = next(self._numbers) if number is None else number
        self.ahead_max = AHEAD_MAX
        """Events of a partition that are read ahead."""
        self.ask_again_s = ASK_AGAIN_S
        """How long it waits before it asks for news again where there were none, at least and at most."""
        self._listener: RebalanceListener | None = None
        self._places: dict[int, _Place] = {}
        self._generation = 0
        self._left = asyncio.Event()
        self._rejoin = asyncio.Event()
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._problem: OffsetOutOfRange | None = None

    # ---------------------------------------------------------------- the group
    async def start(self, listener: RebalanceListener) -> None:
        self._listener = listener
        begin = asyncio.get_running_loop().create_task  # as the real client does: nobody waits for these but `stop`
        self._tasks = [begin(each) for each in (self._belong(), self._beat(), self._read_ahead())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._left.set()
        try:
            await self._broker.network.ask(lambda: self._broker.group.leave(self.number), what="leaving")
        except Unanswered:
            return  # the session runs out

    async def _belong(self) -> None:
        assert self._listener is not None
        while not self._left.is_set():
            assignment = await self._join()
            self._rejoin.clear()
            self._generation = assignment.generation
            self._places = {number: _Place() for number in sorted(assignment.partitions)}
            self._news.set()
            await self._listener.assigned(assignment.partitions)
            await self._rejoin.wait()
            await self._listener.revoked(assignment.partitions)

    async def _join(self) -> Assignment:
        group = self._broker.group
        while True:
            try:
                joined = await self._broker.network.ask(lambda: group.join(self.number, self._generation), what="join")
            except Unanswered:
                continue
            if joined is not None and joined.generation > self._generation:
                return joined
            await asyncio.sleep(JOIN_S)

    async def _beat(self) -> None:
        """Also while the listener drains."""
        group = self._broker.group
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                heard = await self._broker.network.ask(
                    lambda: group.heartbeat(self.number, self._generation), what="heartbeat"
                )
            except Unanswered:
                continue
            if heard is not Heard.FINE:
                self._rejoin.set()

    # ---------------------------------------------------------------- reading
    async def _read_ahead(self) -> None:
        while True:
            wanted = {
                number: (place.position, place.turn)
                for number, place in self._places.items()
                if place.position is not None and not place.ahead
            }
            arrived = await self._ask_for(wanted) if wanted else False
            if not arrived:
                await self._until_news(self._broker.random.uniform(*self.ask_again_s))

    async def _until_news(self, longest_s: float) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(longest_s):
                await self._news.wait()
        except TimeoutError:
            return

    async def _ask_for(self, wanted: Mapping[int, tuple[int, int]]) -> bool:
        broker = self._broker
        try:
            answers = await broker.network.ask(
                lambda: {
                    number: broker.read(number, position, self.ahead_max) for number, (position, _) in wanted.items()
                },
                what="fetch",
            )
        except Unanswered:
            return False
        except OffsetOutOfRange as error:
            self._problem = error
            self._news.set()
            return False
        moved = [self._take_in(number, answers[number], turn) for number, (_, turn) in wanted.items()]
        return any(moved)

    def _take_in(self, number: int, answer: "FetchAnswer | None", turn: int) -> bool:
        place = self._places.get(number)
        if answer is None or place is None or place.turn != turn or place.ahead:
            return False
        place.high_watermark = answer.high_watermark
        moved = bool(answer.events) or answer.position != place.position
        if answer.events:
            place.ahead, place.following = list(answer.events), answer.position
        else:
            place.position = answer.position
        if moved:
            self._news.set()
        return moved

    async def fetch(
        self, partitions: Sequence[int], *, events_max: int, wait_s: float, bytes_max: int | None = None
    ) -> Mapping[int, Sequence[Event]]:
        if self._broker.random.random() < self._broker.loss:
            raise Unanswered("the simulated broker lost a request")
        if (problem := self._problem) is not None:
            self._problem = None
            raise problem
        taken = self._take(partitions, events_max, bytes_max)
        if not taken:
            await self._until_news(wait_s)
            taken = self._take(partitions, events_max, bytes_max)
        return taken

    def _take(self, partitions: Sequence[int], events_max: int, bytes_max: int | None) -> dict[int, Sequence[Event]]:
        """What is there now."""
        if self._rejoin.is_set():
            return {}
        taken: dict[int, Sequence[Event]] = {}
        for number in partitions:
            place = self._places.get(number)
            if place is None or not place.ahead or events_max == 0:
                continue
            count = _fitting(place.ahead[:events_max], bytes_max)
            events, place.ahead = place.ahead[:count], place.ahead[count:]
            place.position = events[-1].offset + 1 if place.ahead else place.following
            taken[number] = events
            events_max -= len(events)
            if bytes_max is not None:
                bytes_max -= sum(map(memory_bytes, events))
                if bytes_max <= 0:
                    break
        return taken

    def position(self, partition: int) -> int:
        place = self._places.get(partition)
        if place is None or place.position is None:
            raise LookupError(f"partition {partition} has no position")
        return place.position

    def high_watermark(self, partition: int) -> int | None:
        place = self._places.get(partition)
        return None if place is None else place.high_watermark

    async def seek(self, partition: int, offset: int) -> None:
        place = self._places.get(partition)
        if place is None:
            raise Unanswered(f"partition {partition} is not assigned")
        self._places[partition] = _Place(offset, turn=place.turn + 1)
        self._news.set()

    async def beginning(self, partition: int) -> int:
        return await self._asked(partition, lambda: self._broker.beginnings.get(partition, 0))

    async def end(self, partition: int) -> int:
        return await self._asked(partition, lambda: self._broker.end(partition))

    async def _asked(self, partition: int, find: Callable[[], int]) -> int:
        def carry_out() -> int:
            self._broker.answering(partition)
            return find()

        return await self._broker.network.ask(carry_out, what=f"partition {partition}")

    # ---------------------------------------------------------------- the coordinator
    async def committed(self, partition: int) -> Committed | None:
        return await self._broker.network.ask(lambda: self._broker.committed.get(partition), what="committed")

    async def commit(self, offsets: Mapping[int, Committed]) -> bool:
        generation, wanted = self._generation, dict(offsets)
        if not wanted.keys() <= self._places.keys():
            return False
        return await self._broker.network.ask(
            lambda: self._broker.commit(self.number, generation, wanted), what="commit"
        )

    async def confirm_ownership(self, partition: int) -> bool:
        generation = self._generation
        return await self._broker.network.ask(
            lambda: self._broker.group.owns(self.number, generation, partition), what="ownership"
        )

    async def count_partitions(self) -> int:
        return await self._broker.network.ask(lambda: self._broker.partitions, what="metadata")


def _fitting(events: Sequence[Event], bytes_max: int | None) -> int:
    """How many of the events, the last of them being the one that reaches `bytes_max`."""
    if bytes_max is not None:
        for count, event in enumerate(events, 1):
            bytes_max -= memory_bytes(event)
            if bytes_max <= 0:
                return count
    return len(events)


class SimulatedSender:
    """Produces to the simulated broker; what was sent may stand though the answer is lost."""

    def __init__(self, broker: "SimulatedBroker") -> None:
        self._broker = broker

    async def send(self, messages: Sequence[Message]) -> None:
        def append() -> None:
            self._broker.take_messages()
            for message in messages:
                self._broker.append(message.topic, 0, message.key, message.value, headers=message.headers)

        await self._broker.network.ask(append, what="produce")
