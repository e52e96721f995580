"""A dict as Redis: hashes and sets, changed as a whole or not at all, and able to lose its newest writes."""

from collections import deque
from dataclasses import dataclass
from typing import Final, TypeAlias

from engine.sim.payload import PackedSlice

Hash: TypeAlias = dict[bytes, bytes]
Value: TypeAlias = Hash | set[bytes]
Change: TypeAlias = dict[bytes, Value | None]
State: TypeAlias = dict[bytes, Value]

REMEMBERED_WRITES: Final = 4_096


class WrongType(Exception):
    """A value has a type or a length that the engine never writes."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """How remembered identities are laid out; the simulation makes everything small, so that all of it happens."""

    level_min: int = 8
    """Two to this power are the chunks that a bucket begins with."""
    chunk_load: int = 24
    floor_every: int = 16


class Transaction:
    """Reads through to a state that it does not change; what it wrote is in `changes` (None: the key is gone)."""

    def __init__(self, state: State, geometry: Geometry) -> None:
        self._state = state
        self.geometry = geometry
        self.changes: Change = {}
        self.written: list[PackedSlice] = []
        self._own: set[bytes] = set()

    def get(self, key: bytes) -> Value | None:
        return self.changes[key] if key in self.changes else self._state.get(key)

    def hash(self, key: bytes) -> Hash:
        """To read only. Raises WrongType."""
        value = self.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise WrongType(f"{key!r} is no hash")
        return value

    def members(self, key: bytes) -> set[bytes]:
        """To read only. Raises WrongType."""
        value = self.get(key)
        if value is None:
            return set()
        if not isinstance(value, set):
            raise WrongType(f"{key!r} is no set")
        return value

    def put(self, key: bytes, field: bytes, value: bytes) -> None:
        if self.hash(key).get(field) == value:
            return
        if key not in self._own:
            self.changes[key] = dict(self.hash(key))
            self._own.add(key)
        own = self.changes[key]
        assert isinstance(own, dict)
        own[field] = value

    def seal(self) -> None:
        """What was changed so far is copied before it is changed again, so that a copy of `changes` can be put back."""
        self._own.clear()

    def add(self, key: bytes, members: set[bytes]) -> int:
        """Returns the set's size."""
        whole = self.members(key) | members
        if whole:
            self.changes[key] = whole
        return len(whole)

    def replace(self, key: bytes, value: Value) -> None:
        """As in Redis, an empty hash or set does not exist."""
        self.changes[key] = value or None
        self._own.discard(key)


class Store:
    """A state, and how to take its newest writes back."""

    def __init__(self, state: State | None = None) -> None:
        self.state: State = {} if state is None else state
        self._undo: deque[tuple[float, Change]] = deque(maxlen=REMEMBERED_WRITES)

    def write(self, changes: Change, now_s: float) -> None:
        if not changes:
            return
        self._undo.append((now_s, {key: self.state.get(key) for key in changes}))
        self._set(changes)

    def written_since(self, since_s: float) -> int:
        return sum(written_s >= since_s for written_s, _ in self._undo)

    def lose(self, count: int) -> int:
        """Takes the last `count` writes back, at most all; returns how many."""
        lost = 0
        while lost < count and self._undo:
            self._set(self._undo.pop()[1])
            lost += 1
        return lost

    def clear(self) -> None:
        self.state.clear()
        self._undo.clear()

    def _set(self, changes: Change) -> None:
        for key, value in changes.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
