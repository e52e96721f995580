"""One plant for each rule of the protocol about identities (see `plants_of_progress`)."""

import asyncio
from typing import Any, Final, cast

from engine.core.record import BEGINNING
from engine.runtime.log_end import LogEnd
from engine.runtime.partition import Partition
from engine.sim import function
from engine.sim.identities import Identities
from engine.sim.loop import EPOCH_MS
from engine.sim.patching import Named, Patch
from engine.sim.payload import PackedSlice
from engine.sim.plan import DAYS_A_SECOND
from engine.sim.store import Transaction
from engine.state.epoch import Epoch
from engine.state.identity import arrival_day
from engine.state.seen import Seen
from engine.state.slices import Slice

_rule = Named()
IDENTITIES: Final = _rule.plants


@_rule
def dup_reject(patch: Patch) -> None:
    """An event said to count is not judged."""
    patch(function, "_is_wrong", lambda part, duplicates: bool(part.left_out - duplicates))


@_rule
def must_known(patch: Patch) -> None:
    """An event left out because an earlier reply knew it is not verified.

    Kept twice: a reply to a repeated call knows nothing, and only such a reply can know more than its record; here it
    does.
    """
    whole = function._apply_slice

    def apply(transaction: Transaction, part: PackedSlice, horizon: int, deletes: bool) -> tuple[bytes, bool]:
        reply, written = whole(transaction, part, horizon, deletes)
        if reply[:2] == b"A1" and part.asked:
            identities = Identities(transaction, part.tag, part.partitions, part.asked[0][1])
            reply = reply[:-4] + function._known(identities, part, horizon)
        return reply, written

    patch(function, "_apply_slice", apply)
    _unverified(patch, rejected=False)


@_rule
def dup_known(patch: Patch) -> None:
    """An event left out because `apply` rejected the call before is not verified."""
    _unverified(patch, rejected=True)


def _unverified(patch: Patch, *, rejected: bool) -> None:
    """What a write leaves out, after a rejection or not, is believed."""
    believed: dict[bytes, set[int]] = {}
    build = Slice.build

    def noted(own: Slice, *rest: Any) -> Any:
        write = build(own, *rest)
        if (own.verdicts is not None) is rejected:
            believed[write.after] = {index for index, (_, _, out) in enumerate(write.judged) if out}
        return write

    patch(Slice, "build", noted)
    patch(
        function, "_is_wrong",
        lambda part, duplicates: part.left_out != duplicates | (believed.get(part.after, set()) & part.left_out),
    )  # fmt: skip


@_rule
def twice(patch: Patch) -> None:
    """The same identity twice in one call is judged twice by what was before the call.

    Kept twice: a worker leaves out what it counted itself a moment ago; both are out.
    """

    def duplicates(identities: Identities, part: PackedSlice, horizon: int) -> list[int]:
        found = [
            index for index, (identity, day) in enumerate(part.judged) if identities.remembers(identity, day, horizon)
        ]
        for index, (identity, day) in enumerate(part.judged):
            if index not in found:
                identities.remember(identity, day, part.partition)
        return found

    judge = Slice._judge

    def forgetful(own: Slice) -> Any:
        own.epoch.seen = cast(Seen, _Nothing())
        return judge(own)

    patch(function, "_duplicates", duplicates)
    patch(Slice, "_judge", forgetful)


class _Nothing(dict[int, int]):
    """Remembers nothing."""

    mask = 0

    @property
    def table(self) -> "_Nothing":
        return self

    def __missing__(self, place: int) -> int:
        return -1

    def __setitem__(self, place: int, number: int) -> None:
        return


def _today() -> int:
    return arrival_day(EPOCH_MS + int(asyncio.get_running_loop().time() * DAYS_A_SECOND * 86_400_000))


@_rule
def entry_day(patch: Patch) -> None:
    """The horizon lies between an entry and today."""

    def remembers(identities: Identities, identity: bytes, day: int, horizon: int) -> bool:
        chunk, field = identities._place(identity)
        entries = identities._transaction.hash(chunk).get(field)
        return entries is not None and any(_today() - entry <= horizon for entry in identities._days(entries))

    patch(Identities, "remembers", remembers)


@_rule
def entries(patch: Patch) -> None:
    """A copy beyond the horizon takes the entry of another over."""
    whole = Identities.remember

    def remember(identities: Identities, identity: bytes, day: int, partition: int) -> None:
        whole(identities, identity, day, partition)
        chunk, field = identities._place(identity)
        newest = identities._transaction.hash(chunk)[field].rpartition(b",")[2]
        identities._transaction.put(chunk, field, newest)

    patch(Identities, "remember", remember)


@_rule
def safe_delete(patch: Patch) -> None:
    """Entries are deleted by the day of the slice that is being written."""
    patch(function, "_oldest_day", lambda transaction, part: function._day_at_low(part.after))


@_rule
def missing(patch: Patch) -> None:
    """A slice without a record holds back no deletion."""
    days = function._days
    patch(function, "_days", lambda transaction, part: [day for day in days(transaction, part) if day != BEGINNING])


@_rule
def slack(patch: Patch) -> None:
    """No day more is kept for timestamps that are not monotonic."""
    sweep = Identities.sweep
    patch(Identities, "sweep", lambda own, oldest, day, horizon: sweep(own, oldest + 1, day + 1, horizon))


@_rule
def end_day(patch: Patch) -> None:
    """A slice at the log's end takes the day of a clock read after the end was seen."""

    async def look(log_end: LogEnd, partition: Partition) -> None:
        ledger = partition.ledger
        seen = log_end._log.high_watermark(partition.number)
        if ledger is not None and seen is not None and ledger.position >= seen:
            ledger.at_end(log_end._clock.now_ms())

    patch(LogEnd, "_look", look)


@_rule
def metadata(patch: Patch) -> None:
    """A call names the number of partitions that there were when its epoch began."""

    def counted(epoch: Epoch, day: int, partitions: int) -> None:
        epoch.counted_day = max(epoch.counted_day, day)

    patch(Epoch, "counted", counted)
