"""Identities that this process has counted of late, to leave out near duplicates without a round trip.

A table of one place an identity: a newer one takes the place of an older. It is believed by nobody: every verdict is
verified by the call that writes it, so what is forgotten here, or wrong, costs a call more and nothing else.
"""

from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from struct import Struct
from typing import Final

SEEN_BITS: Final = 22
"""So many identities are remembered at most, as a power of two: 8 bytes each for the whole process, 32 MiB."""

halves = Struct(">QQ").unpack_from
"""The two halves of an identity: their xor is its number here."""


class Seen:
    """`table[number & mask]` is the number that was entered there last, or 0.

    An epoch enters its identities' numbers xor its nonce, so it finds none of another epoch, whose writes may be lost.
    """

    def __init__(self, bits: int = SEEN_BITS) -> None:
        self.mask = 2**bits - 1
        # Pages that nobody touches take no memory.
        self.table = memoryview(mmap(-1, 8 * 2**bits, flags=MAP_PRIVATE | MAP_ANONYMOUS)).cast("Q")
