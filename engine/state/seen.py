"""Identities that this process has counted of late, to leave out near duplicates without a round trip.

A table of one place an identity: a newer one takes the place of an older. It is believed by nobody: every verdict is
verified by the call that writes it, so what is forgotten here, or wrong (a copy from beyond the horizon), costs a call
more and nothing else.
"""

from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Final

import xxhash

SEEN_BITS: Final = 22
"""So many identities are remembered at most, as a power of two: 8 bytes each for the whole process, 32 MiB."""

number_of: Final = xxhash.xxh3_64_intdigest
"""Of an identity and an epoch's nonce: what is entered."""


class Seen:
    """`table[number & mask]` is the number that was entered there last, or 0.

    An epoch's nonce goes into the numbers, so it finds none of another epoch, whose writes may be lost.
    """

    def __init__(self, bits: int = SEEN_BITS) -> None:
        self.mask = 2**bits - 1
        # Pages that nobody touches take no memory.
        self.table = memoryview(mmap(-1, 8 * 2**bits, flags=MAP_PRIVATE | MAP_ANONYMOUS)).cast("Q")
