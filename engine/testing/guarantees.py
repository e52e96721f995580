"""Checkers of what the engine promises to a plain handler, and a chain of hashes that no fault slips through.

Each checker looks at occurrences in the order of time (`engine.testing.journal`, or made in virtual time) and keeps the
faults that it saw; `Guarantees` is all three over one story. A lane is a key of a partition: what has an order.

- `AtLeastOnce`: every event of the log took effect, and nothing else did (an aborted event, say). How often is not
  looked at.
- `KeyOrder`: of a lane, no event takes effect for the first time after a later one did; and since a worker was last
  given the partition, each of its starts is of a later event than the one before, or a retry of one that failed.
- `OneAtATime`: two handlers of a lane never run at once. Kafka cannot promise that beyond a session: a worker that was
  paused for longer is thrown out without knowing it, and what it was running goes on when it wakes. So a worker is
  left out of the comparison with others while it is *fenced*: from when the test paused or killed it until it is
  assigned partitions again. Within a worker nothing is left out. A handler that still runs when its partition was
  revoked counts: the engine drains before it lets go.
- `HashChain`: per lane h = H(h before, offset, payload). Two sides that applied the same events in the same order, each
  once, have the same hashes; a lost, repeated or swapped effect gives another. A handler that is called at least once
  and skips what it has applied must have the chain of the log.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

from engine.testing.journal import Occurrence

Lane = tuple[int, bytes]
Place = tuple[int, int]
"""Partition and offset."""

FAULTS_MAX = 20
"""So many are kept by a checker; more of them would say no more."""
NO_HASH = "0" * 40


class Checker:
    """Keeps the first faults."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def fault(self, text: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(text)


class AtLeastOnce(Checker):
    """Tell it everything that happened, and then what the log holds."""

    def __init__(self) -> None:
        super().__init__()
        self.effects: dict[Place, int] = defaultdict(int)

    def see(self, occurrence: Occurrence) -> None:
        if occurrence.what == "done":
            self.effects[occurrence.partition, occurrence.offset] += 1

    @property
    def repeats(self) -> int:
        return sum(self.effects.values()) - len(self.effects)

    def missing(self, log: Iterable[Place]) -> list[Place]:
        """Events that took no effect yet."""
        return sorted(place for place in log if place not in self.effects)

    def compare(self, log: Iterable[Place]) -> None:
        """At the end: whatever has not taken effect now never will."""
        places = set(log)
        for partition, offset in self.missing(places):
            self.fault(f"offset {offset} of partition {partition} took no effect")
        for partition, offset in sorted(self.effects.keys() - places):
            self.fault(f"offset {offset} of partition {partition} took effect and is not in the log")


class KeyOrder(Checker):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self._effects: set[Place] = set()
        self._last_effect: dict[Lane, int] = {}
        self._last_start: dict[tuple[str, Lane], int] = {}
        self._failed: set[tuple[str, Place]] = set()

    def see(self, occurrence: Occurrence) -> None:
        match occurrence.what:
            case "started":
                self._started(occurrence)
            case "done":
                self._done(occurrence)
            case "failed":
                self._failed.add((occurrence.worker, (occurrence.partition, occurrence.offset)))
            case "assigned":  # from here on the worker may begin again at what is committed
                for place in [place for place in self._last_start if place[0] == occurrence.worker]:
                    del self._last_start[place]

    def _started(self, now: Occurrence) -> None:
        place = now.worker, now.lane
        before = self._last_start.get(place, -1)
        retried = now.offset == before and (now.worker, (now.partition, now.offset)) in self._failed
        if now.offset <= before and not retried:
            self.fault(f"{now.worker} started offset {now.offset} of lane {now.lane} after {before}")
        self._last_start[place] = now.offset

    def _done(self, now: Occurrence) -> None:
        place = now.partition, now.offset
        if place in self._effects:
            return
        self._effects.add(place)
        before = self._last_effect.get(now.lane, -1)
        if now.offset < before:
            self.fault(f"offset {now.offset} of lane {now.lane} took effect for the first time after {before}")
        self._last_effect[now.lane] = max(before, now.offset)


class OneAtATime(Checker):
    """See the module. Tell it `paused` and `died` in the order of time with the rest."""

    def __init__(self) -> None:
        super().__init__()
        self._running: dict[Lane, dict[str, int]] = defaultdict(dict)
        self._fenced: set[str] = set()

    def see(self, occurrence: Occurrence) -> None:
        match occurrence.what:
            case "started":
                self._started(occurrence)
            case "done" | "failed":
                self._running[occurrence.lane].pop(occurrence.worker, None)
            case "paused":
                self._fenced.add(occurrence.worker)
            case "assigned":
                self._fenced.discard(occurrence.worker)
            case "died":
                self._fenced.add(occurrence.worker)
                for running in self._running.values():
                    running.pop(occurrence.worker, None)

    def _started(self, now: Occurrence) -> None:
        running = self._running[now.lane]
        for worker, offset in running.items():
            if worker == now.worker:
                self.fault(f"{worker} started offset {now.offset} of lane {now.lane} while it ran {offset}")
            elif not {worker, now.worker} & self._fenced:
                self.fault(f"{now.worker} started offset {now.offset} of lane {now.lane} while {worker} ran {offset}")
        running[now.worker] = now.offset


class HashChain:
    """A hash a lane. `apply` skips what is applied already, as a handler does that is called at least once."""

    def __init__(self) -> None:
        self.links: dict[Lane, tuple[int, str]] = {}

    def apply(self, partition: int, key: bytes, offset: int, payload: bytes) -> bool:
        """False for an event that is in the chain already, by its offset."""
        last, before = self.links.get((partition, key), (-1, NO_HASH))
        if offset <= last:
            return False
        self.links[partition, key] = offset, link(before, offset, payload)
        return True

    def differences(self, links: Mapping[Lane, tuple[int, str]]) -> list[str]:
        """How others' links differ from these, a line a lane."""
        lanes = sorted(self.links.keys() | links.keys())
        return [
            f"lane {lane}: the chain ends with {links.get(lane)}, {self.links.get(lane)} was expected"
            for lane in lanes
            if links.get(lane) != self.links.get(lane)
        ]


def link(before: str, offset: int, payload: bytes) -> str:
    """The next hash of a chain, in hexadecimal: SHA-1 of the one before, the offset and the payload's own SHA-1.

    SHA-1 because Redis scripts have it; nothing here is a secret.
    """
    inner = hashlib.sha1(payload, usedforsecurity=False).hexdigest()
    return hashlib.sha1(f"{before}:{offset}:{inner}".encode(), usedforsecurity=False).hexdigest()


class Guarantees:
    """All three checkers over one story."""

    def __init__(self) -> None:
        self.at_least_once = AtLeastOnce()
        self.key_order = KeyOrder()
        self.one_at_a_time = OneAtATime()

    def see(self, occurrence: Occurrence) -> None:
        self.at_least_once.see(occurrence)
        self.key_order.see(occurrence)
        self.one_at_a_time.see(occurrence)

    def faults(self, log: Iterable[Place]) -> list[str]:
        """After the end: everything that any of the three saw, with `log` as what had to take effect."""
        self.at_least_once.compare(log)
        return [*self.at_least_once.faults, *self.key_order.faults, *self.one_at_a_time.faults]
