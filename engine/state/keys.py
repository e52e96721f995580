"""Names of the keys in Redis.

All of a bucket carries one hash tag made of namespace, group and bucket, so that one function call sees all of it and
two groups never meet. A lane key comes last in a name, or with its length before it: names are never ambiguous.
"""

from collections.abc import Sequence
from functools import lru_cache
from struct import error, iter_unpack, pack, unpack_from

from engine.aggregate import DAY_QUARTERS
from engine.errors import StateDamaged

TENANT = b"default"
"""The place of the tenant in key names; there is one so far."""


@lru_cache(maxsize=65_536)
def tag(group: str, bucket: int) -> bytes:
    """What every key of a bucket begins with."""
    return b"{keylane:%b:%d}" % (escape(group), bucket)


def escape(group: str) -> bytes:
    """Percent-encodes what would end or imitate a hash tag."""
    return group.replace("%", "%25").replace("{", "%7B").replace("}", "%7D").replace(":", "%3A").encode()


def slice_key(bucket_tag: bytes, partition: int) -> bytes:
    return b"%bs:%d" % (bucket_tag, partition)


def index_key(bucket_tag: bytes) -> bytes:
    return bucket_tag + b"i"


def page_key(bucket_tag: bytes, day: int, key: bytes) -> bytes:
    """The cells of `key` that start in UTC day `day`."""
    return b"%bd:%d:%b:%b" % (bucket_tag, day, TENANT, key)


def total_key(bucket_tag: bytes, first: int, last: int, key: bytes) -> bytes:
    """`first`, `last`: the half-open period in quarters of an hour."""
    return b"%bt:%d:%d:%b:%b" % (bucket_tag, first, last, TENANT, key)


def cell_members_key(bucket_tag: bytes, key: bytes) -> bytes:
    """What the set of a UNIQUE cell is named, before the cell."""
    return b"%bu:c:%b:%d:%b:" % (bucket_tag, TENANT, len(key), key)


def total_members_key(bucket_tag: bytes, first: int, last: int, key: bytes) -> bytes:
    """What the set of a UNIQUE series of a total is named, before the field."""
    return b"%bu:%d:%d:%b:%d:%b:" % (bucket_tag, first, last, TENANT, len(key), key)


def days_of(first: int, last: int) -> range:
    """The UTC days that the quarters [first, last) touch."""
    return range(first // DAY_QUARTERS, (last - 1) // DAY_QUARTERS + 1) if last > first else range(0)


def read_index(entry: bytes) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """The UTC days that a key has cells in, ascending, and its totals as (first, last) quarters.

    Raises StateDamaged.
    """
    try:
        (count,) = unpack_from(">H", entry)
        days = unpack_from(f">{count}I", entry, 2)
        totals = tuple(iter_unpack(">II", entry[2 + 4 * count :]))
    except error as problem:
        raise StateDamaged(f"index entry of {len(entry)} bytes") from problem
    return days, totals


def pack_index(days: Sequence[int], totals: Sequence[tuple[int, int]]) -> bytes:
    return pack(f">H{len(days)}I", len(days), *days) + b"".join(pack(">II", *total) for total in totals)
