"""The calls of the function library as bytes, both ways. One payload a call, one bytes a slice in the reply.

`lua/slices.lua` reads the same layout. Integers are big-endian; `text` is a length (u16 unless said otherwise) and
bytes; `days` are flag u8 = 1 and one i32 for all, or 0 and an i32 each.

apply: horizon u16, deletes u8, slices u16; for each slice its length u32 and: tag text, partition u32, partitions u32,
before and after text (u32), what four counters rise by (u32), digest reacted to (u8 text), effects u32 of (key text,
period 9, name text), judged u32, left out u32, identities 16 each, days, indexes u32 of those left out,
asked u32, identities, days, keys u32 of (key text, pages u16, totals u16; pages: day u32, arrival f64, cells u16 of
(cell text, value); totals: period 9, series u16 of (series text, value)).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha1
from struct import Struct, error, pack, unpack_from
from typing import Final, NamedTuple, TypeAlias

from engine.aggregate import Period
from engine.errors import StateDamaged
from engine.event import Totals
from engine.state import keys
from engine.state.fetching import Item
from engine.state.summing import Updates
from engine.state.updates import pack_updates
from engine.state.values import series_of, unpack_value

PERIOD_BYTES: Final = 9
STAMP_BYTES: Final = 16

_CALL = Struct(">HBH")
_U16 = Struct(">H")
_U32 = Struct(">I")
_COUNTERS = Struct(">dddd")
_NOTHING: Final[frozenset[bytes]] = frozenset()


@dataclass(slots=True)
class SliceWrite:
    """One write of one slice: what `apply` gets."""

    bucket: int
    partition: int
    before: bytes
    """The record that must be stored; b"" = none."""
    after: bytes
    judged: list[tuple[bytes, int, bool]]
    """(identity, arrival day, left out as a duplicate) of every event of the batch that is not dead, in their order."""
    updates: Updates
    """What the events add that are judged to count."""
    counted: int
    """The counters rise by these four; events of no series are in `unmetered` and not in `counted`."""
    unmetered: int
    duplicate: int
    dead: int
    ask: list[tuple[bytes, int]]
    """(identity, arrival day) of the slice's next batch."""
    reacted: bytes
    """Digest of the owing set that was reacted to: all of it is cleared. b"" = none."""
    effects: list[tuple[bytes, Period, bytes]]
    """(key, period, name) of what that reaction is due to insert."""
    partitions: int
    """How many partitions the topic has."""


@dataclass(frozen=True, slots=True)
class Owed:
    """The watched totals that a slice owes a reaction to, as the slice's own last writes left them.

    `digest` names them by their content. The stamp of the write that left them would not do: the same write may have
    been carried out on a demoted primary and, a late copy of it, on the new one, where the totals are others.
    """

    digest: bytes
    totals: list[Totals]


@dataclass(frozen=True, slots=True)
class Applied:
    """The write is in the state, now or (`repeated`) since an earlier copy of the call."""

    repeated: bool
    owed: Owed | None
    remembered: list[bool]
    """One a member of `ask`; empty when repeated."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Nothing was written, because a verdict was wrong. These are right."""

    duplicates: list[bool]
    """One a member of `judged`."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was written: another record is stored."""

    stored: bytes


@dataclass(frozen=True, slots=True)
class Damaged:
    """Nothing was written for this slice: a value in Redis is of the wrong type or length, or has no room."""

    reason: str


class Counters(NamedTuple):
    """Events of a slice by what became of them: together, all below its position less its holes."""

    counted: int = 0
    unmetered: int = 0
    duplicate: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """What Redis holds of a slice."""

    record: bytes
    counters: Counters
    owed: Owed | None


Answer: TypeAlias = Applied | Verdicts | Refused | Damaged


def pack_apply(group: str, buckets: int, horizon_d: int, deletes: bool, writes: Sequence[SliceWrite]) -> bytes:
    """`deletes`: whether identities beyond the horizon may be forgotten (timestamps of the topic allow it)."""
    parts = [_CALL.pack(horizon_d, deletes, len(writes))]
    for write in writes:
        assert 0 <= write.bucket < buckets
        part = _pack_slice(keys.tag(group, write.bucket), write)
        parts += (_U32.pack(len(part)), part)
    return b"".join(parts)


def _pack_slice(tag: bytes, write: SliceWrite) -> bytes:
    before, after, reacted, judged = write.before, write.after, write.reacted, write.judged
    parts = [
        _U16.pack(len(tag)), tag,
        pack(">III", write.partition, write.partitions, len(before)), before,
        _U32.pack(len(after)), after,
        pack(">IIIIB", write.counted, write.unmetered, write.duplicate, write.dead, len(reacted)), reacted,
        _U32.pack(len(write.effects)),
    ]  # fmt: skip
    for key, period, name in write.effects:
        parts += (_U16.pack(len(key)), key, period, _U16.pack(len(name)), name)
    identities = [identity for identity, _, _ in judged]
    left_out = [index for index, (_, _, out) in enumerate(judged) if out]
    parts.append(pack(">II", len(judged), len(left_out)))
    parts += identities
    parts.append(_pack_days([day for _, day, _ in judged]))
    parts.append(pack(f">{len(left_out)}I", *left_out))
    parts.append(_U32.pack(len(write.ask)))
    parts += [identity for identity, _ in write.ask]
    parts.append(_pack_days([day for _, day in write.ask]))
    pack_updates(parts, write.updates)
    return b"".join(parts)


def _pack_days(days: list[int]) -> bytes:
    different = set(days)
    if len(different) > 1:
        return pack(f">B{len(days)}i", 0, *days)
    return pack(">Bi", 1, different.pop() if different else 0)


def pack_check(group: str, slices: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Slices as (bucket, partition, before): only compared. The reply is read by `unpack_apply`."""
    parts = [_U16.pack(len(slices))]
    for bucket, partition, before in slices:
        tag = keys.tag(group, bucket)
        parts += (_U16.pack(len(tag)), tag, pack(">II", partition, len(before)), before)
    return b"".join(parts)


def pack_read(group: str, slices: Sequence[tuple[int, int]]) -> bytes:
    """Slices as (bucket, partition)."""
    parts = [_U16.pack(len(slices))]
    for bucket, partition in slices:
        tag = keys.tag(group, bucket)
        parts += (_U16.pack(len(tag)), tag, _U32.pack(partition))
    return b"".join(parts)


def pack_fetch(group: str, slices: Sequence[tuple[int, int]], items: Sequence[Item]) -> bytes:
    """Slices as (bucket, partition), and items of the same bucket: all at one moment."""
    parts = [pack_read(group, slices), _U32.pack(len(items))]
    for aggregate_at, name, detail in items:
        parts += (pack(">BI", aggregate_at, len(name)), name, _U32.pack(len(detail)), detail)
    return b"".join(parts)


def pack_scan(tag: bytes, cursor: bytes, count: int) -> bytes:
    """A part of a bucket's index. The reply: the next cursor (b"0" at the end), then keys and entries by turns."""
    return b"".join((_U16.pack(len(tag)), tag, pack(">B", len(cursor)), cursor, _U32.pack(count)))


def pack_list(tag: bytes, first: bytes, beyond: bytes, limit: int) -> bytes:
    """Members of a bucket's index of totals in order; `first` begins with ( or [, `beyond` with (."""
    return b"".join(
        (_U16.pack(len(tag)), tag, _U32.pack(len(first)), first, _U32.pack(len(beyond)), beyond, _U32.pack(limit))
    )


def unpack_fetch(reply: Sequence[bytes], slices: int) -> tuple[list[Stored], list[bytes]]:
    """What is stored of the slices, and one packed answer an item. Raises StateDamaged."""
    answers = []
    for answer in reply[slices:]:
        if answer[:1] == b"D":
            raise StateDamaged(answer[1:].decode("utf-8", "replace"))
        answers.append(answer[1:])
    return unpack_read(reply[:slices]), answers


def unpack_apply(reply: Sequence[bytes]) -> list[Answer]:
    """One answer a slice, in the order of the call. Raises StateDamaged if a total that is owed cannot be read."""
    return [_unpack_answer(answer) for answer in reply]


def _unpack_answer(answer: bytes) -> Answer:
    match answer[:1]:
        case b"A":
            owed, at = _unpack_owed(answer, 2)
            return Applied(answer[1:2] == b"1", owed, _unpack_marks(answer, at))
        case b"V":
            return Verdicts(_unpack_marks(answer, 1))
        case b"R":
            return Refused(answer[1:])
        case b"D":
            return Damaged(answer[1:].decode("utf-8", "replace"))
    raise StateDamaged(f"an answer begins with {answer[:1]!r}")


def _unpack_marks(answer: bytes, at: int) -> list[bool]:
    """A number of flags u32, then the indexes of those that are set."""
    (count,) = _U32.unpack_from(answer, at)
    marks = [False] * count
    for index in unpack_from(f">{(len(answer) - at - 4) // 4}I", answer, at + 4):
        marks[index] = True
    return marks


def unpack_read(reply: Sequence[bytes]) -> list[Stored]:
    """Raises StateDamaged: a slice is not what the engine writes."""
    return [_unpack_stored(stored) for stored in reply]


def _unpack_stored(stored: bytes) -> Stored:
    if stored[:1] != b"S":
        raise StateDamaged(stored[1:].decode("utf-8", "replace"))
    record, at = _text(stored, 1, _U32)
    counters, at = _text(stored, at, _U16)
    if len(counters) not in (0, _COUNTERS.size):
        raise StateDamaged(f"counters of {len(counters)} bytes")
    try:
        risen = Counters(*map(int, _COUNTERS.unpack(counters))) if counters else Counters()
    except (ValueError, OverflowError) as problem:
        raise StateDamaged("counters that are no numbers") from problem
    return Stored(record, risen, _unpack_owed(stored, at)[0])


def _text(packed: bytes, at: int, length: Struct) -> tuple[bytes, int]:
    """Bytes with their length before them, and the position after them."""
    start = at + length.size
    end = start + length.unpack_from(packed, at)[0]
    return packed[start:end], end


def _unpack_owed(answer: bytes, at: int) -> tuple[Owed | None, int]:
    """Length u32 and owing text, number u32 of standing effects, each: index of its total u32, name text."""
    owing, at = _text(answer, at, _U32)
    (count,) = _U32.unpack_from(answer, at)
    at += 4
    standing: dict[int, list[bytes]] = {}
    for _ in range(count):
        (index,) = _U32.unpack_from(answer, at)
        name, at = _text(answer, at + 4, _U16)
        standing.setdefault(index, []).append(name)
    if not owing:
        return None, at
    try:
        return Owed(sha1_hex(owing), _unpack_entries(owing, standing)), at
    except (error, IndexError) as problem:
        raise StateDamaged(f"what a slice owes: {problem}") from problem


def sha1_hex(owing: bytes) -> bytes:
    """As `redis.sha1hex` gives it: names content, secures nothing."""
    return sha1(owing, usedforsecurity=False).hexdigest().encode()


def _unpack_entries(owing: bytes, standing: dict[int, list[bytes]]) -> list[Totals]:
    totals: list[Totals] = []
    at, end = STAMP_BYTES, len(owing)
    while at < end:
        start = at + 6
        at = start + _U16.unpack_from(owing, start - 2)[0]
        key, period = owing[start:at], owing[at : at + PERIOD_BYTES]
        at += PERIOD_BYTES + 2
        values = {}
        for _ in range(_U16.unpack_from(owing, at - 2)[0]):
            start = at + 2
            at = start + _U16.unpack_from(owing, at)[0]
            field = owing[start:at]
            start = at + 2
            at = start + _U16.unpack_from(owing, at)[0]
            values[series_of(field)] = unpack_value(field[0], owing[start:at])
        names = standing.get(len(totals)) if standing else None
        totals.append(Totals(key, _period(period), values, frozenset(names) if names else _NOTHING))
    return totals


@lru_cache(maxsize=4_096)
def _period(packed: bytes) -> Period:
    return Period(packed)
