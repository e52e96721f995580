"""The progress record of a slice: which events of it are in the state.

`Record(position, holes, ...)` says: every event of the slice below `position` is in the state, except those whose
offsets are in `holes`. Redis compares the encoded bytes as a whole, and reads the first twelve of them: `low` (the
lowest hole, or else the position) and the arrival day at `low`, both big-endian. The stamp makes the record of every
write unique. Source: `engine/README.md`, the protocol.

Layout: low u64, day i32 (offset by 2**31), format u8, buckets u16, horizon u16, position u64, width u8, holes (each
`width` bytes above `low`, ascending), stamp 16 bytes.
"""

import struct
from dataclasses import dataclass

from engine.errors import StateDamaged, StateMismatch

FORMAT = 1
STAMP_BYTES = 16
BEGINNING = -(2**31)
"""The day of a slice without a record: before all days."""
DAY_MAX = 2**31 - 1

_HEAD = struct.Struct(">QIBHHQB")
_TAIL = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True)
class Stamp:
    """An epoch's 64-bit nonce and the serial number of the write in it."""

    nonce: int
    serial: int


@dataclass(frozen=True, slots=True)
class Record:
    """What a slice's state holds. Compare records by their encoded bytes."""

    position: int = 0
    holes: tuple[int, ...] = ()
    """Ascending, all below `position`."""
    day: int = BEGINNING
    """Arrival day (since 1970, UTC) at `low`: what is not in the state arrived no earlier than a day before it."""
    buckets: int = 0
    horizon_d: int = 0
    stamp: Stamp | None = None

    @property
    def low(self) -> int:
        """The lowest offset that is not known to be in the state."""
        return self.holes[0] if self.holes else self.position

    def encode(self) -> bytes:
        assert self.stamp is not None, "only records with a stamp are ever stored"
        low = self.low
        width = 8 if self.holes and self.holes[-1] - low >= 2**32 else 4
        head = _HEAD.pack(low, self.day + 2**31, FORMAT, self.buckets, self.horizon_d, self.position, width)
        code = "I" if width == 4 else "Q"
        holes = struct.pack(f">{len(self.holes)}{code}", *[hole - low for hole in self.holes])
        return head + holes + _TAIL.pack(self.stamp.nonce, self.stamp.serial)

    @classmethod
    def decode(cls, encoded: bytes) -> "Record":
        """The empty string is the record of a slice that was never written.

        Raises:
            StateDamaged: not a record of this format.
        """
        if not encoded:
            return cls()
        try:
            low, day, form, buckets, horizon_d, position, width = _HEAD.unpack_from(encoded)
            count, rest = divmod(len(encoded) - _HEAD.size - _TAIL.size, width)
            if form != FORMAT or width not in (4, 8) or rest or count < 0:
                raise StateDamaged(
                    f"progress record of format {form} and {len(encoded)} bytes: format {FORMAT} was expected"
                )
            offsets = struct.unpack_from(f">{count}{'I' if width == 4 else 'Q'}", encoded, _HEAD.size)
            nonce, serial = _TAIL.unpack_from(encoded, len(encoded) - _TAIL.size)
        except (struct.error, ZeroDivisionError) as error:
            raise StateDamaged(f"progress record of {len(encoded)} bytes cannot be read: {error}") from error
        holes = tuple(low + offset for offset in offsets)
        return cls(position, holes, day - 2**31, buckets, horizon_d, Stamp(nonce, serial))

    def holds(self, offset: int) -> bool:
        """Whether the event at `offset` (of this slice) is in the state."""
        return offset < self.position and offset not in self.holes

    def require(self, *, buckets: int, horizon_d: int) -> None:
        """Raises StateMismatch if the record was written under other settings."""
        if self.stamp is not None and (self.buckets, self.horizon_d) != (buckets, horizon_d):
            raise StateMismatch(
                f"the state was written with ENGINE_BUCKETS={self.buckets} and a horizon of {self.horizon_d} days, "
                f"but {buckets} and {horizon_d} are configured: nothing was written; restore the settings"
            )
