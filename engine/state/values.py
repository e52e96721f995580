"""Values of cells and totals as bytes, both ways. All numbers are doubles that hold integers exactly.

COUNT and UNIQUE: a count. SUM: a count and a quantity. MIN, MAX: a quantity. LATEST: a rank of 28 bytes and a quantity.
A quantity is three limbs of 10**15, high, middle, low, in floor form: only the high one is signed.
"""

from collections.abc import Sequence
from functools import partial, reduce
from struct import Struct, unpack
from struct import error as struct_error
from typing import Final

from engine.aggregate import Aggregate, Reading, Series, merge, unpack_series
from engine.errors import StateDamaged
from engine.state.summing import Addition, Rank

LIMB: Final = 10**15
MOST: Final = 2**53
QUANTITY_MAX: Final = MOST * LIMB * LIMB
"""A sum's size stays below this."""
SIZES: Final = {1: 8, 2: 32, 3: 24, 4: 24, 5: 52, 6: 8}
DIGEST_BYTES: Final = 16
TOGETHER_MIN: Final = 4
"""Fewer values than these are read faster one by one."""
NOTHING: Final = Reading()

_COUNT = Struct(">d")
_SUM = Struct(">dddd")
_QUANTITY = Struct(">ddd")
_RANK = Struct(">QQIQ")
_LATEST = Struct(">QQIQddd")
_OFFSET = 2**63
_LENGTH = Struct(">I")


def pack_addition(aggregate: int, addition: Addition) -> bytes:
    """What a batch adds, as it travels: like a stored value, but UNIQUE as number of members u32 and the members.

    Raises:
        ValueError: a number, time or arrival is outside what can be kept.
    """
    if aggregate == 2:
        upper, low = divmod(addition.number, LIMB)
        high, middle = divmod(upper, LIMB)
        if not -MOST < high < MOST:
            raise ValueError(f"a sum of {addition.number} is outside ±10**30 * 2**53")
        return _SUM.pack(addition.count, high, middle, low)
    if aggregate == 1:
        return _COUNT.pack(addition.count)
    if aggregate == 6:
        members = addition.members
        assert members is not None
        return _LENGTH.pack(len(members)) + b"".join(sorted(members))
    upper, low = divmod(addition.number, LIMB)
    high, middle = divmod(upper, LIMB)
    if not -MOST < high < MOST:
        raise ValueError(f"a quantity of {addition.number} is outside ±10**30 * 2**53")
    quantity = _QUANTITY.pack(high, middle, low)
    return quantity if aggregate != 5 else pack_rank(addition.rank) + quantity


def pack_rank(rank: Rank) -> bytes:
    """28 bytes whose order is that of ranks. Times beyond 64 bits are kept at the edge."""
    time_us, arrival_ms, partition, offset = rank
    return _RANK.pack(_shift(time_us), _shift(arrival_ms), partition, offset)


def _shift(signed: int) -> int:
    return min(max(signed, -_OFFSET), _OFFSET - 1) + _OFFSET


def unpack_value(aggregate: int, packed: bytes) -> Reading:
    """A stored value; that of UNIQUE may be followed by its members.

    Raises:
        StateDamaged: not a value that the engine writes.
    """
    try:
        if aggregate == 2:
            count, high, middle, low = _SUM.unpack(packed)
            # `is_integer` also catches what is no number; a call of `_whole` for each takes twice the time.
            whole = count.is_integer() and high.is_integer() and middle.is_integer() and low.is_integer()
            if not (whole and count < MOST and -MOST < high < MOST):
                raise ValueError(f"{count}, {high}, {middle}, {low} are not integers that a double holds exactly")
            return Reading(int(count), (int(high) * LIMB + int(middle)) * LIMB + int(low))
        if aggregate == 1:
            return Reading(_whole(_COUNT.unpack(packed)[0]))
        if aggregate == 6:
            return _unique(packed)
        if aggregate == 5:
            time_us, arrival_ms, partition, offset, high, middle, low = _LATEST.unpack(packed)
            rank = (time_us - _OFFSET, arrival_ms - _OFFSET, partition, offset)
            return Reading(1, (_whole(high) * LIMB + _whole(middle)) * LIMB + _whole(low), rank)
        if aggregate in (3, 4):
            high, middle, low = _QUANTITY.unpack(packed)
            return Reading(1, (_whole(high) * LIMB + _whole(middle)) * LIMB + _whole(low))
    except (struct_error, ValueError, OverflowError) as error:
        raise StateDamaged(f"value of {len(packed)} bytes of aggregate {aggregate}: {error}") from error
    raise StateDamaged(f"value of an unknown aggregate {aggregate}")


def unpack_values(aggregate: int, packed: Sequence[bytes]) -> list[Reading]:
    """Stored values of one aggregate, as `unpack_value` reads each. Raises StateDamaged."""
    numbers = _numbers(aggregate, packed)
    if not numbers:
        return [unpack_value(aggregate, value) for value in packed]
    ints = map(int, numbers)
    if aggregate == 1:
        return list(map(Reading, ints))
    new, _, _, rank, members = tuple.__new__, *NOTHING  # cheaper than `Reading(count, number)`
    return [
        new(Reading, (count, (high * LIMB + middle) * LIMB + low, rank, members))
        for count, high, middle, low in zip(ints, ints, ints, ints, strict=True)
    ]


def unpack_together(aggregate: Aggregate, packed: Sequence[bytes]) -> Reading:
    """What stored values of one series hold together, at least one: `merge` of them all. Raises StateDamaged."""
    numbers = _numbers(aggregate, packed)
    if not numbers:
        return reduce(partial(merge, aggregate), [unpack_value(aggregate, value) for value in packed])
    if aggregate == 1:
        return Reading(sum(map(int, numbers)))
    count, high, middle, low = (sum(map(int, numbers[column::4])) for column in range(4))
    return Reading(count, (high * LIMB + middle) * LIMB + low)


def _numbers(aggregate: int, packed: Sequence[bytes]) -> tuple[float, ...]:
    """The numbers of many counts or sums, one after another; empty where one is not sound, or where it doesn't pay."""
    if aggregate not in (1, 2) or len(packed) < TOGETHER_MIN or set(map(len, packed)) != {SIZES[aggregate]}:
        return ()
    joined = b"".join(packed)
    numbers = unpack(f">{len(joined) // 8}d", joined)
    counts, highs = (numbers[0::4], numbers[1::4]) if aggregate == 2 else (numbers, numbers)
    sound = max(counts) < MOST and min(highs) > -MOST and max(highs) < MOST and all(map(float.is_integer, numbers))
    return numbers if sound else ()


def _whole(number: float) -> int:
    whole = int(number)
    if whole != number or not -MOST < whole < MOST:
        raise ValueError(f"{number} is not an integer that a double holds exactly")
    return whole


def _unique(packed: bytes) -> Reading:
    members = packed[8:]
    if len(members) % DIGEST_BYTES:
        raise ValueError("members of another length")
    digests = frozenset(members[at : at + DIGEST_BYTES] for at in range(0, len(members), DIGEST_BYTES))
    return Reading(_whole(_COUNT.unpack(packed[:8])[0]), members=digests)


def series_of(field: bytes) -> Series:
    """A field of a total: aggregate (1 byte) and name. Raises StateDamaged."""
    try:
        return unpack_series(field)
    except (IndexError, ValueError) as error:
        raise StateDamaged(f"field {field[:40]!r} of a total") from error
