"""One plant for each rule of the protocol about progress.

The rule is left out, everything else stays as it is. Where the code keeps a rule twice, so that leaving out one guard
cannot fail, the plant says so and leaves out both.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from engine.core.record import Record, Stamp
from engine.sim import function
from engine.sim.patching import Named, Patch
from engine.sim.payload import Cursor, PackedSlice
from engine.sim.store import Transaction
from engine.state.epoch import Epoch, LogView
from engine.state.keys import slice_key
from engine.state.packing import Refused
from engine.state.slices import Prepared, Slice
from engine.state.writer import Writer

_rule = Named()
PROGRESS: Final = _rule.plants


def _stored_record(transaction: Transaction, part: PackedSlice) -> bytes:
    return transaction.hash(slice_key(part.tag, part.partition)).get(b"r", b"")


@_rule
def compare(patch: Patch) -> None:
    """`apply` and `check` take the stored record for the one that the call builds on."""
    whole = function._apply_slice

    def apply(transaction: Transaction, part: PackedSlice, *rest: Any) -> tuple[bytes, bool]:
        if _stored_record(transaction, part) != part.after:
            part.before = _stored_record(transaction, part)
        return whole(transaction, part, *rest)

    def check(transaction: Transaction, cursor: Cursor) -> list[bytes]:
        return [b"A0" + bytes(12) for _ in range(cursor.number("H"))]

    patch(function, "_apply_slice", apply)
    patch(function, "_check", check)


@_rule
def known(patch: Patch) -> None:
    """A call whose record is stored already is refused like any other."""
    whole = function._apply_slice

    def apply(transaction: Transaction, part: PackedSlice, *rest: Any) -> tuple[bytes, bool]:
        stored = _stored_record(transaction, part)
        return (b"R" + stored, False) if stored == part.after else whole(transaction, part, *rest)

    patch(function, "_apply_slice", apply)


@_rule
def rewind(patch: Patch) -> None:
    """A refusal does not end the epoch: the stored record is adopted."""

    def adopt(writer: Writer, own: Slice, answer: Refused) -> None:
        own.encoded, own.record = answer.stored, Record.decode(answer.stored)
        writer._settle(own)

    patch(Writer, "_refused", adopt)


@_rule
def start(patch: Patch) -> None:
    """An epoch starts at Kafka's committed offset."""

    def at_commit(epoch: Epoch, log: LogView, **settings: bool) -> int:
        return log.committed.offset if log.committed else 0

    patch(Epoch, "start_offset", at_commit)


@_rule
def skip(patch: Patch) -> None:
    """An epoch handles again what the records name as done."""
    patch(Slice, "is_done", lambda own, offset: False)


@_rule
def holes(patch: Patch) -> None:
    """A record does not name what is open."""
    complete = Slice._next_record
    patch(Slice, "_next_record", lambda own: dataclasses.replace(complete(own), holes=()))


@_rule
def one(patch: Patch) -> None:
    """Several writes of a slice in flight. Kept twice: a batch in flight is not taken anew either; both are out."""

    def queue(writer: Writer, own: Slice) -> None:
        if not own.epoch.ended:
            writer._ready.add(own)

    def take(own: Slice, room: int) -> int:
        own.batch, own.gathered = own.gathered[:room], own.gathered[room:]
        return len(own.batch)

    patch(Writer, "queue", queue)
    patch(Slice, "take", take)


@_rule
def idle(patch: Patch) -> None:
    """Slices in which nothing moves are neither compared nor written."""
    patch(Writer, "look_at", lambda writer, slices, not_since_s: None)


@_rule
def lane(patch: Patch) -> None:
    """The events of a key enter the record in another order."""
    whole = Epoch.finish

    def finish(epoch: Epoch, key: bytes, prepared: Sequence[Prepared], *, waited: bool) -> None:
        whole(epoch, key, list(reversed(prepared)), waited=waited)

    patch(Epoch, "finish", finish)


@_rule
def stamp(patch: Patch) -> None:
    """A record carries no stamp."""
    patch(Epoch, "next_stamp", lambda epoch: Stamp(0, 0))
