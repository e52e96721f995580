"""One plant for each rule of the protocol about cells, reactions and dead letters (see `plants_of_progress`)."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import anyio

from engine.errors import Unanswered
from engine.event import Effect, Message, Totals
from engine.runtime.dead_letters import DeadLetters
from engine.sim import function, updates
from engine.sim.patching import Named, Patch
from engine.sim.store import Transaction
from engine.state import packing
from engine.state.packing import Owed
from engine.state.slices import Slice
from engine.state.writer import Writer

_rule = Named()
REACTIONS: Final = _rule.plants


@_rule
def latest_key(patch: Patch) -> None:
    """Of two values of one time the latest is the one that came last."""
    merge: Callable[[int, bytes | None, bytes], bytes] = vars(updates)["merge_packed"]

    def by_time(aggregate: int, old: bytes | None, new: bytes) -> bytes:
        if aggregate == 5 and old is not None and old[:8] == new[:8]:
            return new
        return merge(aggregate, old, new)

    patch(updates, "merge_packed", by_time)


@_rule
def owe(patch: Patch) -> None:
    """What a slice owes is told in the reply, and not kept."""
    put = Transaction.put
    patch(Transaction, "put", lambda own, key, field, value: put(own, key, field, b"" if field == b"o" else value))


@_rule
def seen(patch: Patch) -> None:
    """A reaction is known by the write that left the totals, not by the totals themselves.

    Kept twice in most histories: a worker reacts to its newest reply. What is left needs one write carried out on two
    primaries: the history does it by hand.
    """
    _seen_by_stamp(patch)


def _seen_by_stamp(patch: Patch) -> None:
    patch(function, "sha1_hex", lambda owing: owing[:16])
    patch(packing, "sha1_hex", lambda owing: owing[:16])


@_rule
def all_effects(patch: Patch) -> None:
    """A reaction leaves out the effects that an earlier reply saw standing.

    Kept twice: totals count their events, so that an effect which stood and is lost is due again to whoever raises the
    total again, or else the totals are others than those reacted to. `seen` is left out too.
    """
    react = Slice.react

    def fresh(own: Slice, owed: Owed, effects: Sequence[tuple[Totals, Effect]], *rest: Any, **named: Any) -> None:
        due = [(totals, effect) for totals, effect in effects if effect.name not in totals.standing]
        react(own, owed, due, *rest, **named)

    patch(Slice, "react", fresh)
    _seen_by_stamp(patch)


@_rule
def insert_effects(patch: Patch) -> None:
    """An effect that stands is inserted once more, beside the other."""

    def insert(transaction: Transaction, total: bytes, name: bytes) -> None:
        again = b"'" if b"e" + name in transaction.hash(total) else b""
        transaction.put(total, b"e" + name + again, b"1")

    patch(function, "_insert_effect", insert)


@_rule
def publish_first(patch: Patch) -> None:
    """The write that inserts the effects does not wait for their messages."""

    async def later(writer: Writer, own: Slice, messages: list[Message]) -> None:
        writer._settle(own)
        while True:
            try:
                await writer._sender.send(messages)
            except Unanswered:
                await anyio.sleep(0.1)
            else:
                return

    patch(Writer, "_publish", later)


@_rule
def dead_first(patch: Patch) -> None:
    """An event is done before its dead letter is acknowledged."""
    push = DeadLetters.push

    def hasty(letters: DeadLetters, lane: Any, messages: list[Message], acknowledged: Any) -> None:
        push(letters, lane, messages, lambda: None)
        acknowledged()

    patch(DeadLetters, "push", hasty)
