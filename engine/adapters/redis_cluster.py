"""Which node of a Redis Cluster answers for which slot, and the nodes.

redis-py's own cluster client is not used: whatever its retries are set to, it follows MOVED, ASK and TRYAGAIN by
itself up to 16 times, sleeps in between, and sends what it follows to a slot in migration, where a function that
touches several keys would find half of them. Here a node that does not answer for a slot leaves the call in doubt, the
map is read anew, and the protocol above sends the same bytes again.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, TypeAlias

import anyio
from redis.crc import key_slot

from engine.adapters.redis_node import Access, RedisNode
from engine.errors import ConfigError, StateDamaged, Unanswered

SLOTS: Final = 16_384
DURABLE_KEY: Final = b"keylane:durable"

Place: TypeAlias = tuple[str, int]
"""Host and port."""


class Nodes(Protocol):
    """Who answers for which key."""

    clustered: bool

    async def node_of(self, key: bytes, *, writes: bool) -> RedisNode:
        """The node that answers for a key, as far as is known. Raises Unanswered, ConfigError."""
        ...

    async def primaries(self) -> list[RedisNode]:
        """All that answer for any key, asked for now. Raises Unanswered, ConfigError."""
        ...

    async def written(self) -> list[tuple[RedisNode, bytes]]:
        """Those that answer for what was ever written from here, each with a key of its own. Raises Unanswered."""
        ...

    @property
    def version(self) -> int:
        """Of what is known."""
        ...

    async def in_doubt(self, version: int) -> None:
        """A call to a node was not answered: what was known at `version` may be wrong."""
        ...

    async def close(self) -> None: ...


class SingleNode:
    """One server answers for everything."""

    clustered = False
    version = 0

    def __init__(self, access: Access) -> None:
        self._node = RedisNode(access)

    async def node_of(self, key: bytes, *, writes: bool) -> RedisNode:
        return self._node

    async def primaries(self) -> list[RedisNode]:
        return [self._node]

    async def written(self) -> list[tuple[RedisNode, bytes]]:
        return [(self._node, DURABLE_KEY)]

    async def in_doubt(self, version: int) -> None:
        """There is no other to ask."""

    async def close(self) -> None:
        await self._node.close()


class RedisCluster:
    """The map of slots. It is asked of one node after another, so that one that is cut off misleads nobody for long."""

    clustered = True

    def __init__(self, seeds: Sequence[Place], access: Access) -> None:
        self.version = 0
        self._access = access
        self._seeds = frozenset(seeds)
        self._places = deque(seeds)
        self._nodes: dict[Place, RedisNode] = {}
        self._slots: list[Place | None] = []
        self._slots_written: set[int] = set()
        self._reading = anyio.Lock()

    async def close(self) -> None:
        nodes, self._nodes = self._nodes, {}
        for node in nodes.values():
            await node.close()

    async def node_of(self, key: bytes, *, writes: bool) -> RedisNode:
        """See `Nodes`. A slot is the bucket's: all keys of a bucket carry one hash tag."""
        slot = key_slot(key)
        if writes:
            self._slots_written.add(slot)
        if not self._slots:
            await self._read_map(self.version)
        return self._node_of_slot(slot)

    async def primaries(self) -> list[RedisNode]:
        """See `Nodes`. Raises Unanswered also where some slots have no primary."""
        await self._read_map(self.version)
        if None in self._slots:
            raise Unanswered(f"{self._slots.count(None)} of {SLOTS} slots of the cluster have no primary")
        return list(dict.fromkeys(map(self._node_of_slot, range(SLOTS))))

    async def written(self) -> list[tuple[RedisNode, bytes]]:
        """See `Nodes`. A node that lost a slot to another with its data is not among them any more."""
        nodes = dict.fromkeys(self._node_of_slot(slot) for slot in self._slots_written)
        return [(node, self._own_key(node)) for node in nodes]

    async def in_doubt(self, version: int) -> None:
        """See `Nodes`."""
        with suppress(Unanswered):  # then the old map stays, and whoever is in doubt comes again
            await self._read_map(version)

    def _own_key(self, node: RedisNode) -> bytes:
        number = 0
        while self._node_of_slot(key_slot(b"%b:%d" % (DURABLE_KEY, number))) is not node:
            number += 1
        return b"%b:%d" % (DURABLE_KEY, number)

    def _node_of_slot(self, slot: int) -> RedisNode:
        place = self._slots[slot]
        if place is None:
            raise Unanswered(f"no node of the cluster answers for slot {slot}")
        return self._node(place)

    def _node(self, place: Place) -> RedisNode:
        node = self._nodes.get(place)
        if node is None:
            node = self._nodes[place] = RedisNode(self._access.at(*place))
        return node

    async def _read_map(self, known: int) -> None:
        """Reads the map anew, unless somebody else has since `known`. Raises Unanswered, ConfigError."""
        async with self._reading:
            reasons = []
            for place in list(self._places):
                if self.version != known:
                    return
                self._places.rotate(-1)
                try:
                    ranges = await self._node(place).ask("CLUSTER SLOTS")
                except Unanswered as error:
                    reasons.append(str(error))
                except StateDamaged as error:
                    if "cluster support disabled" not in str(error):
                        raise
                    wrong = f"{place[0]}:{place[1]} is no cluster: the URL must begin with redis:// or rediss://"
                    raise ConfigError([wrong]) from error
                else:
                    if ranges:
                        await self._take_map(place, ranges)
                    else:
                        reasons.append(f"{place[0]}:{place[1]} knows of no slots yet")
            if self.version == known:
                raise Unanswered(f"no node of the cluster can be asked for its slots: {'; '.join(reasons)}")

    async def _take_map(self, asked: Place, ranges: list[Any]) -> None:
        """A range: first and last slot, then its primary and its replicas, each host and port first.

        A host may be missing: then it is the one that was asked. Replicas are remembered as places to ask.
        """
        slots: list[Place | None] = [None] * SLOTS
        known: set[Place] = set()
        for first, last, *nodes in ranges:
            places = [((host or asked[0].encode()).decode(), port) for host, port, *_ in nodes]
            slots[first : last + 1] = [places[0]] * (last + 1 - first)
            known.update(places)
        self._slots = slots
        self.version += 1
        known |= self._seeds
        self._places = deque([*known.difference(self._places), *(place for place in self._places if place in known)])
        primaries = set(slots)
        for place in [place for place in self._nodes if place not in primaries]:
            await self._nodes.pop(place).close()
