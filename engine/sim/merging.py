"""How two packed values come together, in floats as in Lua: the counterpart of `engine/state/lua/values.lua`."""

from struct import pack, unpack

from engine.sim.store import WrongType
from engine.state.values import LIMB, MOST, SIZES


def merge_packed(aggregate: int, old: bytes | None, new: bytes) -> bytes:
    """Raises WrongType where the old value cannot be updated. Sets are not merged here: `new` stands for their size."""
    if old is None:
        return new
    if len(old) != SIZES[aggregate]:
        raise WrongType(f"a value of {len(old)} bytes")
    if aggregate == 1:
        return pack(">d", _countable(unpack(">d", old)[0] + unpack(">d", new)[0]))
    if aggregate == 2:
        return _sum(old, new)
    if aggregate == 6:
        _countable(unpack(">d", old)[0])
        return new
    if aggregate == 5:
        _quantity(old[28:])
        return new if new[:28] > old[:28] else old
    left, right = _quantity(old), _quantity(new)
    if aggregate == 3:
        return new if right < left else old
    return new if right > left else old


def _sum(old: bytes, new: bytes) -> bytes:
    _quantity(old[8:])
    count, high, middle, low = (
        left + right for left, right in zip(unpack(">4d", old), unpack(">4d", new), strict=True)
    )
    _countable(unpack(">d", old[:8])[0])
    if low >= LIMB:
        low, middle = low - LIMB, middle + 1
    if middle >= LIMB:
        middle, high = middle - LIMB, high + 1
    _quantity(pack(">3d", high, middle, low))
    return pack(">4d", _countable(count), high, middle, low)


def _countable(count: float) -> float:
    if not 0 <= count < MOST:
        raise WrongType(f"a count of {count}")
    return count


def _quantity(limbs: bytes) -> tuple[float, float, float]:
    high, middle, low = unpack(">3d", limbs)
    if not (0 <= low < LIMB and 0 <= middle < LIMB and -MOST < high < MOST):
        raise WrongType(f"limbs {high}, {middle}, {low}")
    return high, middle, low
