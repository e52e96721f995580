"""What a simulated Redis holds, read field by field and without the function library."""

from collections.abc import Mapping
from struct import unpack

from engine.aggregate import QUARTER_S, Cell, Reading, Series
from engine.core.record import BEGINNING, Record
from engine.sim.identities import Meta, day_and_partition
from engine.sim.store import Value
from engine.state import keys
from engine.state.identity import bucket_of
from engine.state.packing import Counters
from engine.state.values import series_of, unpack_value

ARRIVAL = b"a"


class Stored:
    """Of one group. `state`: everything on all nodes."""

    def __init__(self, state: Mapping[bytes, Value], *, group: str, buckets: int) -> None:
        self._state = state
        self._group = group
        self.buckets = buckets

    # ---------------------------------------------------------------- slices
    def record(self, bucket: int, partition: int) -> Record:
        return Record.decode(self._slice(bucket, partition).get(b"r", b""))

    def owes(self, bucket: int, partition: int) -> bool:
        return bool(self._slice(bucket, partition).get(b"o"))

    def counters(self, bucket: int, partition: int) -> Counters:
        packed = self._slice(bucket, partition).get(b"c", bytes(32))
        return Counters(*map(int, unpack(">4d", packed)))

    def oldest_day(self, bucket: int, partitions: int) -> int:
        """The lowest day at `low` of the bucket's slices."""
        return min((self.record(bucket, number).day for number in range(partitions)), default=BEGINNING)

    # ---------------------------------------------------------------- keys
    def cells(self, key: bytes) -> dict[Cell, Reading]:
        """With members."""
        tag = self._tag(key)
        cells: dict[Cell, Reading] = {}
        for day in self._index(key)[0]:
            for field, value in self.hash(keys.page_key(tag, day, key)).items():
                if field != ARRIVAL:
                    sets = keys.cell_members_key(tag, key) + field
                    cells[Cell(field)] = self._reading(field[4], value, sets)
        return cells

    def periods(self, key: bytes) -> set[tuple[int, int]]:
        """Bounds, in seconds since 1970, of the totals that are kept."""
        return {(first * QUARTER_S, last * QUARTER_S) for first, last in self._index(key)[1]}

    def total(self, key: bytes, start_s: int, end_s: int) -> tuple[dict[Series, Reading], set[bytes]]:
        """The values, with members, and the effects that stand."""
        tag, first, last = self._tag(key), start_s // QUARTER_S, end_s // QUARTER_S
        values: dict[Series, Reading] = {}
        standing: set[bytes] = set()
        for field, value in self.hash(keys.total_key(tag, first, last, key)).items():
            if field[:1] == b"e":
                standing.add(field[1:])
            elif field != b"k":
                sets = keys.total_members_key(tag, first, last, key) + field
                values[series_of(field)] = self._reading(field[0], value, sets)
        return values, standing

    # ---------------------------------------------------------------- identities
    def entries(self, bucket: int) -> dict[bytes, list[tuple[int, int]]]:
        """By identity: arrival day and partition of each copy that is remembered."""
        tag = keys.tag(self._group, bucket)
        packed = self.hash(tag + b"m").get(b"i")
        if packed is None:
            return {}
        meta = Meta.unpack(packed)
        found: dict[bytes, list[tuple[int, int]]] = {}
        for number in range(2**meta.level + meta.split):
            low = number.to_bytes(16, "big")
            for field, texts in self.hash(b"%bx:%d" % (tag, number)).items():
                found[field + low[len(field) :]] = [day_and_partition(meta, text) for text in texts.split(b",")]
        return found

    # ---------------------------------------------------------------- values
    def hash(self, name: bytes) -> dict[bytes, bytes]:
        value = self._state.get(name, {})
        assert isinstance(value, dict)
        return value

    def _slice(self, bucket: int, partition: int) -> dict[bytes, bytes]:
        return self.hash(keys.slice_key(keys.tag(self._group, bucket), partition))

    def _index(self, key: bytes) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
        return keys.read_index(self.hash(keys.index_key(self._tag(key))).get(key, bytes(2)))

    def _tag(self, key: bytes) -> bytes:
        return keys.tag(self._group, bucket_of(key, self.buckets))

    def _reading(self, aggregate: int, value: bytes, sets: bytes) -> Reading:
        members = self._state.get(sets, set())
        assert isinstance(members, set)
        return unpack_value(aggregate, value + b"".join(sorted(members)))
