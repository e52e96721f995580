"""What a slice owes, as bytes: the counterpart of `engine/state/lua/owing.lua`."""

from struct import error, pack, unpack_from
from typing import NamedTuple

from engine.sim.payload import Cursor
from engine.sim.store import Transaction, WrongType
from engine.state import keys


class Entry(NamedTuple):
    """One watched total, as the slice's own last write to it left it."""

    key: bytes
    period: bytes
    packed: bytes


def make_entry(key: bytes, period: bytes, values: list[tuple[bytes, bytes]]) -> Entry:
    body = pack(">H", len(key)) + key + period + pack(">H", len(values))
    for field, value in values:
        body += pack(">H", len(field)) + field + pack(">H", len(value)) + value
    return Entry(key, period, pack(">I", len(body)) + body)


def read_entries(owing: bytes) -> list[Entry]:
    """Raises WrongType."""
    entries = []
    cursor = Cursor(owing, 16)
    try:
        while not cursor.ended:
            start = cursor.at
            size = cursor.number("I")
            key = cursor.text()
            entries.append(Entry(key, cursor.take(9), owing[start : start + 4 + size]))
            cursor.at = start + 4 + size
    except (error, ValueError) as problem:
        raise WrongType("what the slice owes") from problem
    return entries


def owed_reply(transaction: Transaction, tag: bytes, owing: bytes) -> bytes:
    """With the effects that stand now."""
    standing = []
    for index, entry in enumerate(read_entries(owing)):
        first, last = unpack_from(">II", entry.period)
        try:
            fields = list(transaction.hash(keys.total_key(tag, first, last, entry.key)))
        except WrongType:
            continue
        standing += [
            pack(">IH", index, len(field) - 1) + field[1:] for field in fields if field[:1] == b"e"
        ]  # fmt: skip
    return pack(">I", len(owing)) + owing + pack(">I", len(standing)) + b"".join(standing)
