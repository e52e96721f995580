"""What a rebalance costs those whose partition moves, and those whose partition does not: told from sightings. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from perf.harness.sightings import Sighting

Slice = tuple[int, int]
"""Bucket and partition: within it events are counted in their order."""
Owners = Mapping[int, str]
"""Which worker has a partition."""


class Turn(NamedTuple):
    """One change of the group in [began_us, ended_us): what `worker` did, who had which partition before, and after."""

    kind: str
    worker: str
    began_us: int
    ended_us: int
    before: Owners
    after: Owners

    @property
    def stayed(self) -> set[int]:
        """Partitions that one of the other workers had all the time."""
        return {
            partition for partition, owner in self.after.items() if self.before.get(partition) == owner != self.worker
        }


def pauses(found: Iterable[Sighting[Slice]], turns: Sequence[Turn]) -> dict[str, float]:
    """By turn, and for partitions that stayed and those that did not: the greatest latency of an event that was seen
    meanwhile (`join_stayed_ms`), and the longest time in which nothing of a partition was (`join_stayed_gap_ms`).

    Where a turn had no partition of a kind there is no figure.
    """
    by_partition: dict[int, list[Sighting[Slice]]] = defaultdict(list)
    for each in found:
        by_partition[each.name[1]].append(each)
    figures: dict[str, float] = {}
    for turn in turns:
        for partition, sightings in by_partition.items():
            name = f"{turn.kind}_{'stayed' if partition in turn.stayed else 'moved'}"
            for figure, pause_us in (("ms", _latency_us(sightings, turn)), ("gap_ms", _gap_us(sightings, turn))):
                figures[f"{name}_{figure}"] = max(figures.get(f"{name}_{figure}", 0.0), pause_us / 1e3)
    return figures


def latencies_before_s(found: Iterable[Sighting[Slice]], turn: Turn, *, from_us: int) -> list[float]:
    """Of events that were due at `from_us` or later, and seen before the turn began."""
    return [
        (each.seen_us - each.intended_us) / 1e6
        for each in found
        if each.intended_us >= from_us and each.seen_us < turn.began_us
    ]


def _latency_us(sightings: Iterable[Sighting[Slice]], turn: Turn) -> int:
    return max(
        (each.seen_us - each.intended_us for each in sightings if turn.began_us <= each.seen_us < turn.ended_us),
        default=0,
    )


def _gap_us(sightings: Iterable[Sighting[Slice]], turn: Turn) -> int:
    """Between one time at which something was seen and the next, which lies within the turn."""
    times_us = sorted({each.seen_us for each in sightings})
    return max(
        (after - before for before, after in pairwise(times_us) if turn.began_us <= after < turn.ended_us), default=0
    )
