"""Reads packed calls, front to back: the counterpart of `engine.state.packing`, written apart from it."""

from dataclasses import dataclass, field
from struct import unpack_from
from typing import Any

from engine.state.values import DIGEST_BYTES, SIZES


class Cursor:
    """A position in packed bytes. Numbers are big-endian."""

    def __init__(self, packed: bytes, at: int = 0) -> None:
        self.packed = packed
        self.at = at

    @property
    def ended(self) -> bool:
        return self.at >= len(self.packed)

    def number(self, code: str) -> Any:
        (value,) = unpack_from(f">{code}", self.packed, self.at)
        self.at += {"B": 1, "H": 2, "I": 4, "i": 4, "d": 8}[code]
        return value

    def numbers(self, codes: str) -> list[Any]:
        return [self.number(code) for code in codes]

    def take(self, count: int) -> bytes:
        taken = self.packed[self.at : self.at + count]
        if len(taken) < count:
            raise ValueError("the payload is too short")
        self.at += count
        return taken

    def text(self, length: str = "H") -> bytes:
        return self.take(self.number(length))


@dataclass(slots=True)
class Page:
    day: int
    arrival_ms: float
    cells: list[tuple[bytes, bytes]]


@dataclass(slots=True)
class RaisedTotal:
    period: bytes
    series: list[tuple[bytes, bytes]]


@dataclass(slots=True)
class PackedSlice:
    """One slice of an `apply` call. Identities come with their arrival days."""

    tag: bytes
    partition: int
    partitions: int
    before: bytes
    after: bytes
    counters: list[int]
    reacted: bytes
    effects: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    judged: list[tuple[bytes, int]] = field(default_factory=list)
    left_out: set[int] = field(default_factory=set)
    asked: list[tuple[bytes, int]] = field(default_factory=list)
    keys: list[tuple[bytes, list[Page], list[RaisedTotal]]] = field(default_factory=list)


def read_slice(cursor: Cursor) -> PackedSlice:
    tag = cursor.text()
    partition, partitions = cursor.numbers("II")
    before, after = cursor.text("I"), cursor.text("I")
    found = PackedSlice(tag, partition, partitions, before, after, cursor.numbers("IIII"), cursor.text("B"))
    for _ in range(cursor.number("I")):
        found.effects.append((cursor.text(), cursor.take(9), cursor.text()))
    judged, left_out = cursor.numbers("II")
    found.judged = _identities(cursor, judged)
    found.left_out = {cursor.number("I") for _ in range(left_out)}
    found.asked = _identities(cursor, cursor.number("I"))
    for _ in range(cursor.number("I")):
        key = cursor.text()
        pages, totals = cursor.numbers("HH")
        found.keys.append((key, [_page(cursor) for _ in range(pages)], [_total(cursor) for _ in range(totals)]))
    return found


def _identities(cursor: Cursor, count: int) -> list[tuple[bytes, int]]:
    identities = [cursor.take(16) for _ in range(count)]
    same = cursor.number("B")
    days = [cursor.number("i")] * count if same else [cursor.number("i") for _ in range(count)]
    return list(zip(identities, days, strict=True))


def _page(cursor: Cursor) -> Page:
    day, arrival_ms, count = cursor.numbers("IdH")
    return Page(day, arrival_ms, [_addition(cursor, 4) for _ in range(count)])


def _total(cursor: Cursor) -> RaisedTotal:
    period = cursor.take(9)
    return RaisedTotal(period, [_addition(cursor, 0) for _ in range(cursor.number("H"))])


def _addition(cursor: Cursor, aggregate_at: int) -> tuple[bytes, bytes]:
    name = cursor.text()
    aggregate = name[aggregate_at]
    size = cursor.number("I") * DIGEST_BYTES if aggregate == 6 else SIZES[aggregate]
    return name, cursor.take(size)
