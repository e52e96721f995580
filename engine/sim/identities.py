"""Remembered identities as the function library keeps them: linear hashing over small hashes, chunk for chunk the same.

Written apart from `engine/state/lua/identities.lua`; a differential test holds both to the same bytes.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from struct import Struct
from typing import Final

from engine.core.record import BEGINNING
from engine.sim.store import Geometry, Hash, Transaction, WrongType

LEVEL_MAX: Final = 23
SPLIT_EVERY: Final = 8
PARTITION_BITS_MAX: Final = 12
FIELD: Final = b"i"

_META: Final = Struct(">BBIdiiiII")


@dataclass(slots=True)
class Meta:
    """The book-keeping of a bucket, in the order in which it is stored."""

    level: int
    bits: int
    split: int
    entries: float
    base: int
    floor: int
    target: int
    pointer: int
    writes: int

    @classmethod
    def unpack(cls, packed: bytes) -> "Meta":
        return cls(*_META.unpack(packed))


def _is_sound(meta: Meta, geometry: Geometry) -> bool:
    in_range = geometry.level_min <= meta.level <= LEVEL_MAX and meta.bits <= PARTITION_BITS_MAX
    return in_range and meta.split < 2**meta.level and 0 <= meta.entries < 2**53


def day_and_partition(meta: Meta, text: bytes) -> tuple[int, int]:
    """What an entry says: the day in which a copy arrived, and where."""
    since, _, partition = text.partition(b"/")
    if partition:
        return meta.base + int(since), int(partition)
    return meta.base + (int(since) >> meta.bits), int(since) & (2**meta.bits - 1)


def field_bytes(size: int) -> int:
    """How much of an identity is told by no chunk's number, where there are `size` chunks."""
    return 16 if size < 256 else 15 if size < 65_536 else 14


class Identities:
    """Of one bucket, within one transaction."""

    def __init__(self, transaction: Transaction, tag: bytes, partitions: int, day: int) -> None:
        """`day`: what days are counted from where nothing is remembered yet. Raises WrongType."""
        self._transaction = transaction
        self._tag = tag
        self._geometry = transaction.geometry
        stored = transaction.hash(tag + b"m").get(FIELD)
        self.new = stored is None
        if stored is None:
            bits = min((partitions - 1).bit_length() if partitions > 1 else 0, PARTITION_BITS_MAX)
            self._meta = Meta(self._geometry.level_min, bits, 0, 0.0, day, day, BEGINNING, 0, 0)
        elif len(stored) == _META.size:
            self._meta = Meta.unpack(stored)
            if not _is_sound(self._meta, self._geometry):
                raise WrongType("book-keeping of identities")
        else:
            raise WrongType("book-keeping of identities")

    def close(self) -> None:
        self._meta.writes %= 2**32
        self._transaction.put(self._tag + b"m", FIELD, _META.pack(*astuple(self._meta)))

    # ------------------------------------------------------------ one identity
    def remembers(self, identity: bytes, day: int, horizon: int) -> bool:
        """Raises WrongType."""
        chunk, field = self._place(identity)
        entries = self._transaction.hash(chunk).get(field)
        return entries is not None and any(abs(entry - day) <= horizon for entry in self._days(entries))

    def remember(self, identity: bytes, day: int, partition: int) -> None:
        chunk, field = self._place(identity)
        entries = self._transaction.hash(chunk).get(field)
        text = self._text(day, partition)
        self._transaction.put(chunk, field, text if entries is None else entries + b"," + text)
        if entries is None:
            self._meta.entries += 1
        self._meta.floor = min(self._meta.floor, day)
        if day < self._meta.target:
            self._meta.pointer = 0

    def _place(self, identity: bytes) -> tuple[bytes, bytes]:
        number = int.from_bytes(identity[13:16], "big")
        size = 2**self._meta.level
        if number % size < self._meta.split:
            size *= 2
        return self._chunk(number % size), identity[: field_bytes(size)]

    def _chunk(self, number: int) -> bytes:
        return b"%bx:%d" % (self._tag, number)

    def _text(self, day: int, partition: int) -> bytes:
        since = day - self._meta.base
        if partition < 2**self._meta.bits:
            return b"%d" % (since * 2**self._meta.bits + partition)
        return b"%d/%d" % (since, partition)

    def _days(self, entries: bytes) -> Sequence[int]:
        return [self._day(text) for text in entries.split(b",")]

    def _day(self, text: bytes) -> int:
        return day_and_partition(self._meta, text)[0]

    # ------------------------------------------------------------ growing
    def grow(self, judged: int) -> None:
        meta = self._meta
        for _ in range(1 + judged // SPLIT_EVERY):
            if meta.level >= LEVEL_MAX or meta.entries <= self._geometry.chunk_load * (2**meta.level + meta.split):
                return
            try:
                self._split()
            except WrongType:
                return

    def _split(self) -> None:
        meta = self._meta
        size, number = 2**meta.level, meta.split
        source, target = self._chunk(number), self._chunk(number + size)
        stay: Hash = {}
        move = dict(self._transaction.hash(target))
        low = number.to_bytes(4, "big")
        for field, entries in self._transaction.hash(source).items():
            identity = field + low[len(low) - 16 + len(field) :]
            address = int.from_bytes(identity[13:16], "big") % (size * 2)
            (stay if address == number else move)[identity[: field_bytes(size * 2)]] = entries
        self._transaction.replace(source, stay)
        self._transaction.replace(target, move)
        meta.split += 1
        if meta.split >= size:
            meta.level, meta.split = meta.level + 1, 0

    # ------------------------------------------------------------ forgetting
    def sweep(self, oldest: int, day: int, horizon: int) -> None:
        """`oldest`: the lowest day at `low` of all slices of the bucket; `day`: that of the slice being written."""
        meta = self._meta
        meta.writes += 1
        if meta.target <= meta.floor:
            if (
                meta.writes % self._geometry.floor_every
                or day - horizon - 1 <= meta.floor
                or oldest - horizon - 1 <= meta.floor
            ):
                return
            meta.target, meta.pointer = oldest - horizon - 1, 0
        self._drop(self._chunk(meta.pointer))
        meta.pointer += 1
        if meta.pointer >= 2**meta.level + meta.split:
            meta.floor, meta.pointer = meta.target, 0

    def _drop(self, chunk: bytes) -> None:
        try:
            found = self._transaction.hash(chunk)
        except WrongType:
            return
        kept: Hash = {}
        for field, entries in found.items():
            texts = [text for text in entries.split(b",") if self._day(text) >= self._meta.target]
            if texts:
                kept[field] = b",".join(texts)
        if kept != found:
            self._meta.entries -= len(found) - len(kept)
            self._transaction.replace(chunk, kept)
