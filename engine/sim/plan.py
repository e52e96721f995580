"""A seed as data: everything that will happen to a world, drawn before it begins.

So a plan can be printed, and shortened fault by fault while it still fails.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final, NamedTuple

from engine.sim.loop import EPOCH_MS
from engine.sim.metering import SLOT_S, Fact, Usage

DAYS_A_SECOND: Final = 2.5
"""Days are short, so that the horizon of identities passes many times in a run."""
DAY_S: Final = 1 / DAYS_A_SECOND
PARTITIONS: Final = 3
WORKERS: Final = 3
KEYS: Final = 6
IDENTITIES: Final = 4
"""Of a key: nearly every event meets copies of itself."""
EVENTS: Final = 170
POISON: Final = 0.06
FAULTS: Final = 12
BEGIN_S: Final = -3.0
"""What arrived before the workers start."""
END_S: Final = 5.0


class Arrival(NamedTuple):
    """An event comes into the log."""

    at_s: float
    partition: int
    key: bytes
    usage: Usage
    gap: int
    timestamp_ms: int


class Fault(NamedTuple):
    """`who` chooses among the workers, nodes or partitions that there are then; both are drawn from [0, 1)."""

    at_s: float
    kind: str
    who: float
    for_s: float
    chance: float

    def __str__(self) -> str:
        return (
            f"at {self.at_s:.3f} s {self.kind} (who {self.who:.3f}, for {self.for_s:.3f} s, chance {self.chance:.3f})"
        )


@dataclass(frozen=True)
class Plan:
    seed: int
    nodes: int
    lost: float
    late: float
    twice: float
    spite: float
    trouble: float
    created_s: tuple[float, ...]
    """By partition."""
    noticed_after_s: float
    """How long members do not know of a partition that was added."""
    away: tuple[tuple[int, float], ...]
    """Partitions that nobody can read until then."""
    facts: tuple[Fact, ...]
    arrivals: tuple[Arrival, ...]
    tails: tuple[int, ...]
    """By partition: offsets at its end that never arrive, as of an aborted transaction."""
    faults: tuple[Fault, ...]

    def without(self, index: int) -> "Plan":
        return replace(self, faults=self.faults[:index] + self.faults[index + 1 :])

    def dice(self, purpose: str) -> Random:
        """Chance for one purpose: the same, whatever else is drawn."""
        return Random(f"{self.seed}/{purpose}")


KINDS: Final = {
    "failover": 30, "rebalance": 8, "crash": 10, "pause": 15, "stall": 9, "wipe": 4, "join": 6, "leave": 5,
    "evict": 8, "leader away": 9, "node away": 6, "producing away": 10,
}  # fmt: skip


def plan_of(seed: int) -> Plan:
    """The same seed gives the same plan."""
    dice = Random(f"{seed}/plan")
    spite, lost = dice.choice(((0.0, 0.04), (0.1, 0.04), (0.5, 0.04), (0.5, 0.3), (0.0, 0.0)))
    created_s = (-9.0, dice.uniform(-2, 0), dice.uniform(-1, 2))
    away = ((dice.randrange(PARTITIONS), dice.uniform(0, 6)),) if dice.random() < 0.5 else ()
    return Plan(
        seed=seed,
        nodes=dice.choice((1, 2)),
        lost=lost,
        late=dice.choice((0.0, 0.05)),
        twice=dice.choice((0.0, 0.02, 0.1)),
        spite=spite,
        trouble=dice.choice((0.0, 0.02, 0.1)),
        created_s=created_s,
        noticed_after_s=dice.uniform(0, 1.5),
        away=away,
        facts=_facts(dice),
        arrivals=_arrivals(dice, created_s),
        tails=tuple(dice.choice((0, 0, 1, 3)) for _ in range(PARTITIONS)),
        faults=_faults(dice),
    )


def quiet(plan: Plan) -> Plan:
    """The same events, and nothing goes wrong; all partitions are there from the beginning."""
    return replace(
        plan,
        lost=0.0,
        late=0.0,
        twice=0.0,
        spite=0.0,
        trouble=0.0,
        away=(),
        faults=(),
        created_s=(BEGIN_S,) * PARTITIONS,
    )


def wall_ms(at_s: float) -> int:
    return EPOCH_MS + round(at_s * DAYS_A_SECOND * 86_400_000)


def _facts(dice: Random) -> tuple[Fact, ...]:
    """Some are known before they are valid, some late."""
    if dice.random() < 0.4:
        return ()
    times = sorted(dice.uniform(BEGIN_S, END_S) for _ in range(4))
    return tuple(Fact(wall_ms(at_s), dice.randrange(1, 5), max(0.0, at_s + dice.uniform(-0.8, 0.6))) for at_s in times)


def _arrivals(dice: Random, created_s: Sequence[float]) -> tuple[Arrival, ...]:
    """Retries, often with other content or time, into whatever partition their sender knows of."""
    skew = [dice.uniform(-0.2, 0.2) for _ in range(PARTITIONS)]
    sent: list[tuple[int, int, int, float]] = []
    arrivals: list[Arrival] = []
    for at_s in sorted(dice.uniform(BEGIN_S, END_S) for _ in range(EVENTS)):
        if sent and dice.random() < 0.45:
            key, identity, number, time_s = dice.choice(sent[-12:])
        else:
            key, identity = dice.randrange(KEYS), dice.randrange(IDENTITIES)
            number, time_s = dice.randrange(1, 9), at_s - dice.expovariate(1) * DAY_S
        if dice.random() < 0.5:
            number, time_s = dice.randrange(1, 9), at_s
        sent.append((key, identity, number, time_s))
        partitions = sum(created <= at_s for created in created_s)
        known = partitions if dice.random() < 0.6 else dice.randrange(partitions) + 1
        partition = key % known
        usage = Usage(b"%d" % identity, wall_ms(time_s) // (SLOT_S * 1000), 0 if dice.random() < POISON else number)
        # Two timestamps are within a day of what their order says, as the protocol assumes.
        days = at_s * DAYS_A_SECOND + skew[partition] + dice.uniform(-0.15, 0.15)
        gap = dice.randrange(1, 4) if dice.random() < 0.1 else 0
        arrivals.append(Arrival(at_s, partition, b"k%d" % key, usage, gap, EPOCH_MS + round(days * 86_400_000)))
    return tuple(arrivals)


def _faults(dice: Random) -> tuple[Fault, ...]:
    kinds = dice.choices(tuple(KINDS), tuple(KINDS.values()), k=FAULTS)
    times = sorted(dice.uniform(0.05, END_S + 0.8) for _ in kinds)
    return tuple(
        Fault(at_s, kind, dice.random(), dice.uniform(0.05, 1) * _LONGEST_S.get(kind, 0.0), dice.random())
        for at_s, kind in zip(times, kinds, strict=True)
    )


_LONGEST_S: Final = {
    "pause": 4.0,
    "stall": 0.4,
    "leader away": 2.5,
    "node away": 0.6,
    "producing away": 1.5,
    "failover": 1.0,
    "crash": 0.6,
}
