"""Histories written by hand, for bugs that chance finds seldom or never: each tells what went wrong, or None.

They speak to one bucket as workers do, with the production code's packing and reactions, where the order of things is
all that matters; or they run a world with a single accident in it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from engine.core.record import Record, Stamp
from engine.event import Counts
from engine.sim.broker import SimulatedEvent
from engine.sim.function import SimulatedFunctions
from engine.sim.metering import Usage, answer, effects_due, period_of
from engine.sim.network import Silence
from engine.sim.plan import WORKERS, Fault, plan_of, quiet
from engine.sim.stored import Stored as SimulatedState
from engine.sim.world import World, run_world
from engine.state.epoch import Epoch
from engine.state.identity import bucket_of
from engine.state.packing import Applied, Counters, SliceWrite, Stored, Verdicts, pack_apply, unpack_apply
from engine.state.seen import Seen
from engine.state.slices import Slice
from engine.state.summing import sum_up

GROUP, HORIZON_D, DAY = "history", 2, 20_454
KEY, SLOT = b"k1", 2 * DAY
PARTITIONS = 3

HISTORIES: Final[dict[str, Callable[[], str | None]]] = {}


def _history(tell: Callable[[], str | None]) -> Callable[[], str | None]:
    HISTORIES[tell.__name__] = tell
    return tell


def run_history(name: str) -> str | None:
    """What went wrong in the history of that plant. Raises KeyError: there is none."""
    return HISTORIES[name]()


class Hand:
    """Writes for one key, slice by slice; every partition has a slice of the key's bucket."""

    def __init__(self) -> None:
        self.records: dict[int, bytes] = {}
        self.owed: dict[int, Any] = {}
        self._serial = 0

    def write(self, partition: int, *events: tuple[bytes, int]) -> SliceWrite:
        """The next write of a partition's slice: events as (identity, number), and the reaction to what it owes."""
        self._serial += 1
        batch = [
            (_event(partition, self._serial * 10 + place, identity, number), identity)
            for place, (identity, number) in enumerate(events)
        ]
        counting = [(event, cast("Counts", answer(event, ()))) for event, _ in batch]
        effects, digest = self._reaction(partition)
        after = Record(self._serial * 10 + 10, (), DAY, 1, HORIZON_D, Stamp(partition + 1, self._serial)).encode()
        return SliceWrite(
            bucket=0, partition=partition, before=self.records.get(partition, b""), after=after,
            judged=[(counts.identity, DAY, False) for _, counts in counting], updates=sum_up(counting),
            counted=len(counting), unmetered=0, duplicate=0, dead=0, ask=[], reacted=digest, effects=effects,
            partitions=PARTITIONS,
        )  # fmt: skip

    def send(self, node: SimulatedFunctions, write: SliceWrite) -> Applied:
        """The answer is told to the worker."""
        (said,) = unpack_apply(node.call("apply", pack_apply(GROUP, 1, HORIZON_D, True, [write])))
        assert isinstance(said, Applied), f"{said} was not expected"
        self.records[write.partition] = write.after
        self.owed[write.partition] = said.owed
        return said

    def _reaction(self, partition: int) -> tuple[list[Any], bytes]:
        owed = self.owed.get(partition)
        if owed is None:
            return [], b""
        due = [
            (totals, _Effect(name))
            for totals in owed.totals
            for name in effects_due(totals.key, totals.period, _sum_of(totals.values))
        ]
        own = _Reacting()
        Slice.react(cast("Slice", own), owed, cast("Any", due), None)
        return own.reaction.effects, own.reaction.digest


class _Effect:
    def __init__(self, name: bytes) -> None:
        self.name = name
        self.message = None


class _Reacting:
    reaction: Any = None


def _sum_of(values: Mapping[Any, Any]) -> int:
    return sum(reading.number for series, reading in values.items() if series.name == b"sum")


def _event(partition: int, offset: int, identity: bytes, number: int) -> SimulatedEvent:
    usage = Usage(identity, SLOT, number).encode()
    return SimulatedEvent("events", partition, offset, DAY * 86_400_000, KEY, usage)


def _effects_missing(node: SimulatedFunctions) -> str | None:
    stored = SimulatedState(node.state, group=GROUP, buckets=1)
    assert bucket_of(KEY, 1) == 0
    period = period_of(SLOT)
    values, standing = stored.total(KEY, period.start_s, period.end_s)
    due = set(effects_due(KEY, period, _sum_of(values)))
    owing = [number for number in range(PARTITIONS) if stored.owes(0, number)]
    if due != standing and not owing:
        return f"{sorted(due ^ standing)} are due and do not stand, or the other way round, and nothing is owed"
    return None


# -------------------------------------------------------------------- the histories
@_history
def seen() -> str | None:
    """One write on two primaries, which hold other totals: the reaction is to those of the one that is gone."""
    hand, new = Hand(), SimulatedFunctions()
    demoted = new.copy()
    write = hand.write(0, (b"n", 6))
    hand.send(new, hand.write(1, (b"u", 6)))  # the others see the new primary
    assert hand.send(demoted, write).owed is not None  # total 6: nothing is due
    new.call("apply", pack_apply(GROUP, 1, HORIZON_D, True, [write]))  # a copy arrives late: total 12
    hand.send(new, hand.write(1))  # partition 1 reacts to its total of 6
    hand.send(new, hand.write(0))  # and partition 0 to the demoted primary's
    return _effects_missing(new)


@_history
def all_effects() -> str | None:
    """A repeated call is told on a demoted primary that an effect stands; on the new one nobody inserted it."""
    hand, new = Hand(), SimulatedFunctions()
    demoted, zombie = new.copy(), Hand()
    zombie.send(demoted, zombie.write(1, (b"u", 6)))
    write = hand.write(0, (b"n", 6))
    demoted.call("apply", pack_apply(GROUP, 1, HORIZON_D, True, [write]))  # total 12; the answer is lost
    zombie.send(demoted, zombie.write(2, (b"z", 1)))
    zombie.send(demoted, zombie.write(2))  # inserts what is due at 13
    hand.send(demoted, write)  # again: total 12, and its effect stands
    others = Hand()
    others.send(new, others.write(2, (b"u", 5), (b"z", 1)))  # copies with other content: total 6
    new.call("apply", pack_apply(GROUP, 1, HORIZON_D, True, [write]))  # a copy arrives late: total 12
    others.send(new, others.write(2))
    hand.send(new, hand.write(0))
    return _effects_missing(new)


@_history
def known() -> str | None:
    """Answers get lost, nothing else: no epoch ends of it."""
    world = World(quiet(plan_of(1)))
    answers = 0

    def lose(function: str, payload: bytes, reply: Sequence[bytes]) -> None:
        nonlocal answers
        answers += function == "apply"
        if function == "apply" and answers % 3 == 0:
            raise Silence

    world.server.observe = lose
    outcome = run_world(world)
    refused = sum(count for name, count in outcome.happened.items() if name.startswith("refused"))
    if outcome.problem is None and refused:
        return f"EPOCHS ENDED: {refused} calls were refused, though nothing was lost but answers"
    return outcome.problem


@_history
def end_day() -> str | None:
    """Nobody can read the partitions for days, whose ends their workers had seen before."""
    away = tuple(Fault(1.0, "leader away", number / PARTITIONS, 2.3, 0.0) for number in range(PARTITIONS))
    return run_world(World(replace(quiet(plan_of(1)), faults=away))).problem


@_history
def metadata() -> str | None:
    """A partition is added, is written to for days, and no worker has heard of it."""
    plan = quiet(plan_of(1))
    created_s = (plan.created_s[0], plan.created_s[1], 1.0)
    arrivals = tuple(
        each._replace(partition=2)
        if each.at_s > 1.0 and each.key == KEY
        else each._replace(partition=each.partition % 2)
        for each in plan.arrivals
    )
    return run_world(World(replace(plan, created_s=created_s, noticed_after_s=2.5, arrivals=arrivals))).problem


@_history
def dup_known() -> str | None:
    """An event is rejected for a copy in another partition, whose write is lost before the event goes again."""
    hand, before = Hand(), SimulatedFunctions()
    node = before.copy()
    hand.send(node, hand.write(1, (b"n", 1)))
    epoch = Epoch(
        0, [Stored(b"", Counters(), None)], nonce=1, horizon_d=HORIZON_D, partitions=PARTITIONS, seen=Seen(),
        queue=lambda own: None, released=lambda prepared: None, on_end=lambda reason: None,
    )  # fmt: skip
    epoch.begin(0)
    event = _event(0, 0, b"n", 1)
    epoch.read([event], 1, event.timestamp)
    epoch.finish(KEY, [(event, answer(event, ()))], waited=False)
    (own,) = epoch.slices
    own.take(10)
    for primary in (node, before, before):  # the second is the one that lost the write of the copy
        payload = pack_apply(GROUP, 1, HORIZON_D, True, [own.build()])
        (said,) = unpack_apply(primary.call("apply", payload))
        if isinstance(said, Verdicts):
            own.rejected(said)
            continue
        found = SimulatedState(before.state, group=GROUP, buckets=1)
        return None if found.cells(KEY) else "NO COPY COUNTED: the event was left out for a copy that is lost"
    return "the event is rejected again and again"


@_history
def dead_first() -> str | None:
    """No message is taken for a while, and all workers die while theirs wait."""
    silent = Fault(0.1, "producing away", 0.0, 1.5, 0.0)
    deaths = tuple(Fault(1.3, "crash", 0.0, 0.3, 0.0) for _ in range(WORKERS))
    return run_world(World(replace(quiet(plan_of(1)), faults=(silent, *deaths)))).problem
