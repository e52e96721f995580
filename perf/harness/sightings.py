"""When events became visible, told from counts that somebody reads: the n-th event of a name was due at a known time.

Pure. A count that falls, or is higher than what was sent, is a fault of the system under measurement.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from perf.harness.checks import CheckFailed

Name = TypeVar("Name", bound=Hashable)


class Sighting(NamedTuple, Generic[Name]):
    """One event of `name`: due at `intended_us`, first seen at `seen_us` (both in µs since 1970)."""

    name: Name
    intended_us: int
    seen_us: int


class Sightings(Generic[Name]):
    """`due_us`: intended times by name, in the order in which events of the name are counted. It may grow meanwhile."""

    def __init__(self, due_us: Mapping[Name, Sequence[int]]) -> None:
        self._due_us = due_us
        self._seen: dict[Name, int] = {}
        self.found: list[Sighting[Name]] = []

    def see(self, name: Name, count: int, at_us: int) -> None:
        """So many events of the name are in what was read; `at_us`: when the answer was there.

        Raises:
            CheckFailed: it counts less than before, or more than were sent.
        """
        seen = self._seen.get(name, 0)
        if count == seen:
            return
        due_us = self._due_us.get(name, ())
        if count < seen:
            raise CheckFailed(f"{name!r} counts {count} events, {seen} were seen before")
        if count > len(due_us):
            raise CheckFailed(f"{name!r} counts {count} events, only {len(due_us)} were sent")
        self.found += [Sighting(name, each, at_us) for each in due_us[seen:count]]
        self._seen[name] = count

    @property
    def missing(self) -> int:
        """Events that were due and not seen yet."""
        return sum(map(len, self._due_us.values())) - len(self.found)

    def check(self) -> None:
        """Raises CheckFailed: some were never seen."""
        if self.missing:
            raise CheckFailed(f"{self.missing} of {self.missing + len(self.found)} events were never seen")

    def latencies_s(self, *, from_us: int) -> list[float]:
        """From intended time to sight, of events that were due at `from_us` or later."""
        return [(each.seen_us - each.intended_us) / 1e6 for each in self._judged(from_us)]

    def _judged(self, from_us: int) -> Iterator[Sighting[Name]]:
        return (each for each in self.found if each.intended_us >= from_us)
