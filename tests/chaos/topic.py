"""A topic of a chaos test as its test sees it: what is produced, what the log holds, and where the groups stand."""

from collections import defaultdict
from collections.abc import Sequence

import anyio
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from engine import Event, Message, Unanswered
from engine.adapters.kafka import KafkaSender, LogReader
from engine.adapters.kafka_topics import admin
from engine.testing.guarantees import HashChain

LOOK_S = 0.2
SETTLED_S = 60.0


class TestTopic:
    """Events `identity number` with keys of a fixed set."""

    __test__ = False

    def __init__(self, kafka: str, name: str, sender: KafkaSender, *, keys: int = 30) -> None:
        self.kafka = kafka
        self.name = name
        self._sender = sender
        self._keys = keys
        self.produced = 0

    async def produce(self, count: int) -> None:
        """Returns when all are acknowledged; a batch whose fate is unknown is sent again, so it may stand twice."""
        messages = [
            Message(self.name, b"key-%d" % (number * 7 % self._keys), b"%d %d" % (number, number % 10))
            for number in range(self.produced, self.produced + count)
        ]
        while True:
            try:
                await self._sender.send(messages)
                break
            except Unanswered:
                await anyio.sleep(LOOK_S)
        self.produced += count

    async def produce_forever(self, per_s: int) -> None:
        """Until cancelled: what is under way then may stand or not."""
        while True:
            await self.produce(per_s // 10)
            await anyio.sleep(0.1)

    async def read(self) -> list[Event]:
        """All events that can be read, by partition and offset."""
        reader = LogReader(self.kafka, topic=self.name)
        await reader.start()
        events: list[Event] = []
        try:
            for partition in reader.partitions:
                first, end = await reader.beginning(partition), await reader.end(partition)
                async for batch in reader.read(partition, first, end):
                    events += batch
        finally:
            await reader.stop()
        return events

    async def lag(self, group: str) -> int:
        """Offsets between what the group has committed and the ends. Raises Unanswered, KafkaError."""
        reader = LogReader(self.kafka, topic=self.name)
        await reader.start()
        try:
            ends = {partition: await reader.end(partition) for partition in reader.partitions}
        finally:
            await reader.stop()
        async with admin(self.kafka) as client:
            stored = await client.list_consumer_group_offsets(group)
        committed = {place.partition: each.offset for place, each in stored.items() if place.topic == self.name}
        return sum(end - committed.get(partition, 0) for partition, end in ends.items())

    async def until_settled(self, *groups: str, within_s: float = SETTLED_S) -> None:
        """Returns when no group lags. Raises TimeoutError, which says by how much they do."""
        lags: dict[str, int] = {}
        with anyio.move_on_after(within_s):
            while True:
                try:
                    lags = {group: await self.lag(group) for group in groups}
                except (KafkaError, Unanswered):
                    await anyio.sleep(LOOK_S)
                    continue
                if not any(lags.values()):
                    return
                await anyio.sleep(LOOK_S)
        raise TimeoutError(f"after {within_s:g} s the groups lag: {lags}")

    async def until_in_sync(self, replicas: int, *, within_s: float = SETTLED_S) -> None:
        """Returns when so many replicas of every partition hold all that was acknowledged."""
        with anyio.fail_after(within_s):
            while True:
                async with admin(self.kafka) as client:
                    (found,) = await client.describe_topics([self.name])
                if all(len(partition["isr"]) >= replicas for partition in found["partitions"]):
                    return
                await anyio.sleep(LOOK_S)


async def group_view(kafka: str, group: str) -> dict[str, frozenset[int]]:
    """What the coordinator says: the partitions of each member, by its client id. Empty while nobody can say."""
    try:
        async with admin(kafka) as client:
            (response,) = await client.describe_consumer_groups([group])
    except (KafkaError, Unanswered):
        return {}
    (_, _, state, _, _, members, *_) = response.groups[0]
    if state != "Stable":
        return {}
    return {
        client_id: frozenset(
            place.partition for place in ConsumerProtocolMemberAssignment.decode(assignment).partitions()
        )
        for _, client_id, _, _, assignment, *_ in (tuple(member) for member in members)
    }


async def coordinator_of(kafka: str, group: str) -> int:
    """The node that coordinates the group now. Raises KafkaError, Unanswered."""
    async with admin(kafka) as client:
        return int(await client.find_coordinator(group))


def chain_of(events: Sequence[Event]) -> HashChain:
    """The chain that a handler must have built from these events of a log."""
    chain = HashChain()
    for event in events:
        chain.apply(event.partition, event.key or b"", event.offset, event.value or b"")
    return chain


def sums_of(events: Sequence[Event]) -> tuple[dict[bytes, int], int]:
    """The sums that aggregates must hold, each identity counted once, and how many events were copies."""
    sums: dict[bytes, int] = defaultdict(int)
    counted: set[bytes] = set()
    for event in events:
        identity, number = (event.value or b"").split()
        if identity not in counted:
            counted.add(identity)
            sums[event.key or b""] += int(number)
    return dict(sums), len(events) - len(counted)
