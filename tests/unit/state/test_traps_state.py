"""Traps of reactions, of clocks and of counts of partitions, where they are decided."""

from collections.abc import Sequence
from typing import Any

import anyio

from engine.aggregate import Period
from engine.core.record import Record
from engine.event import Effect, Totals
from engine.runtime.log_end import LogEnd
from engine.sim.loop import run
from engine.state.epoch import Epoch
from engine.state.packing import Counters, Owed, Stored
from engine.state.seen import Seen

DAY_MS = 86_400_000
PERIOD = Period.of(0, 86_400, keep=True, watched=True)


def new_epoch(partitions: int) -> Epoch:
    """Of one partition and one bucket, in which nothing was ever written."""
    return Epoch(
        0, [Stored(b"", Counters(), None)], nonce=1, horizon_d=2, partitions=partitions, seen=Seen(),
        queue=lambda own: None, released=lambda prepared: None, on_end=lambda reason: None,
    )  # fmt: skip


def test_a_reaction_names_every_effect_that_is_due() -> None:
    """Trap 36. Guards `Slice.react`: a failover may have taken back an effect that is believed to stand."""
    epoch = new_epoch(1)
    totals = Totals(b"k", PERIOD, {}, frozenset({b"50%"}))
    (own,) = epoch.slices
    own.react(Owed(b"digest", [totals]), [(totals, Effect(b"50%")), (totals, Effect(b"80%"))], None)
    assert own.reaction is not None
    assert own.reaction.digest == b"digest"
    assert [name for _, _, name in own.reaction.effects] == [b"50%", b"80%"]


class Slept:
    """A log and a clock: what was read is as old as `seen`, and asking for the end takes two days."""

    def __init__(self, end: int) -> None:
        self.seen = 5
        self._end = end
        self._now_ms = 100 * DAY_MS

    def now_ms(self) -> int:
        return self._now_ms

    def high_watermark(self, partition: int) -> int:
        return self.seen

    async def end(self, partition: int) -> int:
        self._now_ms += 2 * DAY_MS
        return self._end


class Ledger:
    """Has read up to offset 5."""

    ended = False
    position = 5

    def __init__(self) -> None:
        self.claimed_ms: list[int] = []

    def day_may_rise(self, clock_ms: int) -> bool:
        return not self.claimed_ms

    def at_end(self, clock_ms: int) -> None:
        self.claimed_ms.append(clock_ms)

    def uncounted_day(self) -> int | None:
        return None


class Read:
    number = 0

    def __init__(self) -> None:
        self.ledger = Ledger()


def claims(end: int) -> Sequence[int]:
    """What a worker claims that has read up to offset 5 of a log that ends at `end`."""
    partition, log = Read(), Slept(end)

    async def scenario() -> None:
        given: Any = {0: partition}
        watch: Any = LogEnd(log, log, given, interval_s=1.0, tell=lambda notice: None)  # type: ignore[arg-type]
        with anyio.move_on_after(2.5):
            await watch.run()

    run(scenario)
    return partition.ledger.claimed_ms


def test_a_worker_that_slept_claims_no_day_before_it_asked_for_the_end() -> None:
    """Trap 37. Guards the question in `LogEnd`: the end that a fetch saw is as old as the sleep."""
    assert claims(end=9) == []


def test_the_day_is_that_of_the_clock_before_the_end_was_asked_for() -> None:
    """Trap 37. Guards `clock_ms` in `LogEnd`: what arrives while the answer is on its way may be of the day before."""
    assert claims(end=5) == [100 * DAY_MS]


def test_no_day_is_claimed_that_the_count_of_partitions_is_older_than() -> None:
    """Trap 37. Guards `counted_day` in `Slice._day`: a partition that was added since may hold older events."""
    epoch = new_epoch(3)
    (own,) = epoch.slices
    assert epoch.uncounted_day() is None
    epoch.read([], 10, 100 * DAY_MS)
    assert own.build().partitions == 3
    assert Record.decode(own.build().after).day < 100
    assert epoch.uncounted_day() == 100
    epoch.counted(100, 4)
    write = own.build()
    assert (Record.decode(write.after).day, write.partitions) == (100, 4)
    assert epoch.uncounted_day() is None
