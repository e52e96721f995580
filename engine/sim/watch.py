"""What must hold at every write and every commit, whoever makes it: the self-checks of the protocol.

A write names at least what the one before it names, exactly its batch more, and counts what it names; the day that it
claims is true of what it does not name, and of partitions that it does not know. What is committed was in the state
once. Kept by the world, so nothing that a worker believes enters.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping

from engine.core.record import Record
from engine.ports import Committed
from engine.sim.payload import PackedSlice
from engine.sim.server import bucket_of_name


class Watch:
    """`problem` is the first thing that did not hold. `knows_poison`: which events are dead is told by `arrived`."""

    def __init__(self, *, knows_poison: bool = True) -> None:
        self._knows_poison = knows_poison
        self.problem: str | None = None
        self.epochs: set[int] = set()
        self.written: dict[int, set[int]] = defaultdict(set)
        """By partition: offsets that any stored record ever named as done."""
        self._offsets: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._days: dict[tuple[int, int], int] = {}
        """Of arrival, by partition and offset."""
        self._first_days: dict[int, int] = {}
        """The lowest of a partition."""
        self._poison: dict[tuple[int, int], set[int]] = defaultdict(set)
        self._committed: dict[int, int] = {}
        self._all: dict[int, list[int]] = defaultdict(list)

    def failed(self, problem: str) -> None:
        self.problem = self.problem or problem

    def arrived(self, bucket: int, partition: int, offset: int, day: int, *, poison: bool) -> None:
        self._days[partition, offset] = day
        self._first_days[partition] = min(day, self._first_days.get(partition, day))
        self._offsets[bucket, partition].append(offset)
        self._all[partition].append(offset)
        if poison:
            self._poison[bucket, partition].add(offset)

    def wrote(self, part: PackedSlice) -> None:
        """A slice was written on a primary."""
        before, after = Record.decode(part.before), Record.decode(part.after)
        place = bucket_of_name(part.tag), part.partition
        assert after.stamp is not None
        self.epochs.add(after.stamp.nonce)
        if after.position < before.position or after.day < before.day:
            self.failed(f"RECORD FELL: {place} from {before} to {after}")
        offsets = self._offsets[place]
        since = offsets[bisect_left(offsets, before.low) : bisect_left(offsets, after.position)]
        newly = [offset for offset in since if after.holds(offset) and not before.holds(offset)]
        lost = [offset for offset in since if before.holds(offset) and not after.holds(offset)]
        dead = len(self._poison[place].intersection(newly)) if self._knows_poison else part.counters[3]
        if lost or len(newly) != sum(part.counters) or dead != part.counters[3]:
            self.failed(f"RECORD AND BATCH: {place} {newly} are new, {lost} gone, but counted as {part.counters}")
        if len(part.judged) != len(newly) - dead:
            self.failed(f"VERDICTS: {place} on {len(part.judged)} events, {len(newly) - dead} are in the batch")
        self.written[part.partition].update(newly)
        self._check_day(part, after, offsets)

    def _check_day(self, part: PackedSlice, after: Record, offsets: list[int]) -> None:
        """By its day identities are forgotten: what is still to come arrived no earlier than a day before."""
        for offset in offsets[bisect_left(offsets, after.low) :]:
            if not after.holds(offset) and self._days[part.partition, offset] < after.day - 1:
                day = self._days[part.partition, offset]
                self.failed(f"DAY: {part.partition}/{offset} of day {day} is not done, but {after} was written")
        for partition, day in self._first_days.items():
            if partition >= part.partitions and day < after.day - 1:
                self.failed(
                    f"PARTITIONS: {part.partitions} are known at day {after.day}, but {partition} has day {day}"
                )

    def committed(self, offsets: Mapping[int, Committed]) -> None:
        """What is committed to Kafka is done."""
        for partition, (offset, _) in ((number, (each.offset, each.metadata)) for number, each in offsets.items()):
            known, arrived = self._committed.get(partition, 0), self._all[partition]
            missing = [
                each
                for each in arrived[bisect_left(arrived, known) : bisect_left(arrived, offset)]
                if each not in self.written[partition]
            ]
            if missing:
                self.failed(f"COMMITTED TOO MUCH: partition {partition} to {offset}, but {missing} are not done")
            self._committed[partition] = max(known, offset)
