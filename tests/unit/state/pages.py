"""Stored pages that the tests fill value by value, and a reader of them: the simulated functions, without a network."""

import struct
from collections.abc import Callable
from random import Random
from typing import cast

from engine.aggregate import Aggregate, Cell
from engine.ports import StateServer
from engine.sim.function import SimulatedFunctions
from engine.sim.store import State
from engine.state import keys
from engine.state.identity import bucket_of, digest_of
from engine.state.reader import StateReader
from engine.state.summing import Addition
from engine.state.values import pack_addition

KEY, BUCKETS, DAY_S = b"acme", 4, 86_400
TAG = keys.tag("g", bucket_of(KEY, BUCKETS))
NUMBERS = (0, 1, -1, 10**15 - 1, -(10**15), 10**27 - 1, -(10**27) + 1)


class DirectServer:
    """Calls the functions; before each call, a test may change what is stored."""

    clustered = False

    def __init__(self) -> None:
        self.state: State = {}
        self.before: Callable[[], None] = lambda: None
        self.calls = 0
        self.reader = StateReader(cast("StateServer", self), group="g", buckets=BUCKETS)

    async def call(self, function: str, payload: bytes, *, key: bytes, writes: bool) -> list[bytes]:
        self.calls += 1
        self.before()
        return SimulatedFunctions(self.state).call(function, payload)

    def put(self, cell: Cell, value: bytes, members: frozenset[bytes] = frozenset()) -> None:
        day = cell.start_s // DAY_S
        self._hash(keys.page_key(TAG, day, KEY)).update({b"a": struct.pack(">d", 5), bytes(cell): value})
        if members:
            self.state[keys.cell_members_key(TAG, KEY) + cell] = set(members)
        index = self._hash(keys.index_key(TAG))
        days = keys.read_index(index.get(KEY, bytes(2)))[0]
        index[KEY] = keys.pack_index(sorted({*days, day}), ())

    def _hash(self, name: bytes) -> dict[bytes, bytes]:
        found = self.state.setdefault(name, {})
        assert isinstance(found, dict)
        return found


def any_value(chance: Random, aggregate: Aggregate) -> tuple[bytes, frozenset[bytes]]:
    """As it is stored, and the members of a set."""
    if aggregate is Aggregate.UNIQUE:
        members = frozenset(digest_of(b"%d" % chance.randrange(9)) for _ in range(chance.randrange(1, 5)))
        return struct.pack(">d", len(members)), members
    number = chance.choice((*NUMBERS, chance.randrange(-(10**20), 10**20)))
    rank = (chance.randrange(9), chance.randrange(9), 0, chance.randrange(2**40))
    return pack_addition(aggregate, Addition(chance.randrange(1, 9), number, 0, rank, None)), frozenset()
