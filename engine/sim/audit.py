"""Recounts from the log what the simulated Redis must hold when everything is at rest.

Which copies of an identity were counted is told by the state itself: a UNIQUE cell holds their places in the log. That
answer must be one of those that the protocol admits; everything else follows from it.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from engine.aggregate import Aggregate, Cell, Period, Reading, Series, Value, merge
from engine.event import Dead
from engine.sim.broker import SimulatedBroker, SimulatedEvent
from engine.sim.metering import ALERTS, Fact, Usage, answer, effects_due, place_of
from engine.sim.stored import Stored
from engine.state.identity import arrival_day, bucket_of, identity_of

SUM = Series(Aggregate.SUM, b"sum")


class Audit:
    """`problems` names everything that does not hold."""

    def __init__(self, stored: Stored, broker: SimulatedBroker, facts: Sequence[Fact], *, horizon_d: int) -> None:
        self._stored = stored
        self._broker = broker
        self._facts = facts
        self._horizon_d = horizon_d
        self._events = [event for number in range(broker.partitions) for event in broker.logs[broker.topic, number]]
        self.counted: set[tuple[int, int]] = set()
        self.copies: dict[tuple[bytes, bytes], list[SimulatedEvent]] = defaultdict(list)
        self.remembered = 0

    def problems(self) -> Iterator[str]:
        yield from self._cells()
        yield from self._identities()
        yield from self._counters()
        yield from self._dead_letters()

    # ---------------------------------------------------------------- cells, totals, effects
    def _cells(self) -> Iterator[str]:
        by_place = {place_of(event): event for event in self._events}
        for key in sorted({event.key or b"" for event in self._events}):
            found = self._stored.cells(key)
            counted: list[SimulatedEvent] = []
            for cell, reading in found.items():
                if cell.series.aggregate is not Aggregate.UNIQUE:
                    continue
                for place in sorted(reading.members):
                    event = by_place.get(place)
                    if event is None or event.key != key:
                        yield f"COUNTED WHAT IS NOT IN THE LOG: {cell!r} of {key!r}"
                    else:
                        counted.append(event)
            self.counted.update((event.partition, event.offset) for event in counted)
            cells, totals = self._recount(counted)
            if found != cells:
                wrong = sorted(cell for cell in {*found, *cells} if found.get(cell) != cells.get(cell))
                yield f"CELLS of {key!r}: {[(cell, found.get(cell), cells.get(cell)) for cell in wrong[:2]]}"
            yield from self._totals(key, totals)

    def _recount(
        self, counted: Sequence[SimulatedEvent]
    ) -> tuple[dict[Cell, Reading], dict[Period, dict[Series, Reading]]]:
        cells: dict[Cell, Reading] = {}
        totals: dict[Period, dict[Series, Reading]] = defaultdict(dict)
        for event in counted:
            said = answer(event, self._facts)
            if isinstance(said, Dead) or said.period is None:
                continue
            total = totals[said.period]
            for cell, value in said.adds:
                series = cell.series
                new = _reading(event, series.aggregate, value)
                cells[cell] = merge(series.aggregate, cells[cell], new) if cell in cells else new
                total[series] = merge(series.aggregate, total[series], new) if series in total else new
        return cells, totals

    def _totals(self, key: bytes, totals: Mapping[Period, Mapping[Series, Reading]]) -> Iterator[str]:
        sent = {event.value for event in self._broker.logs.get((ALERTS, 0), []) if event.key == key}
        periods = self._stored.periods(key)
        if periods != {(period.start_s, period.end_s) for period in totals}:
            yield f"PERIODS of {key!r}: {periods} are kept, {list(totals)} expected"
        for period, expected in totals.items():
            values, standing = self._stored.total(key, period.start_s, period.end_s)
            if values != expected:
                yield f"TOTAL of {key!r} in {period!r}: {values}, {expected} expected"
            due = set(effects_due(key, period, expected[SUM].number))
            if standing != due:
                yield f"EFFECTS of {key!r}: {sorted(due ^ standing)} are not due, or do not stand"
            if not due <= sent:
                yield f"MESSAGES of {key!r}: {sorted(due - sent)} were never sent"

    # ---------------------------------------------------------------- identities
    def _identities(self) -> Iterator[str]:
        for event in self._events:
            usage = Usage.decode(event.value or b"")
            if usage.number:
                self.copies[event.key or b"", usage.identity].append(event)
        entries: dict[bytes, list[tuple[int, int]]] = {}
        for bucket in range(self._stored.buckets):
            entries |= self._stored.entries(bucket)
        self.remembered = sum(map(len, entries.values()))
        for (key, name), group in self.copies.items():
            mine = [event for event in group if (event.partition, event.offset) in self.counted]
            days = [arrival_day(event.timestamp) for event in mine]
            if any(abs(one - other) <= self._horizon_d for one, other in combinations(days, 2)):
                yield f"TWO COPIES COUNTED of {name!r} of {key!r}: {mine}"
            if rest := self._unexplained(group):
                yield f"NO COPY COUNTED, or not the first, of {name!r} of {key!r}: {rest}"
            have = Counter(entries.pop(identity_of(b"default", key, b"sim", name), ()))
            want = Counter((arrival_day(event.timestamp), event.partition) for event in mine)
            bucket = bucket_of(key, self._stored.buckets)
            oldest = self._stored.oldest_day(bucket, self._broker.partitions) - self._horizon_d - 1
            if have - want or any(day >= oldest for day, _ in want - have):
                yield f"ENTRIES of {name!r} of {key!r}: {dict(have)}, {dict(want)} expected down to day {oldest}"
        if entries:
            yield f"ENTRIES of what never arrived: {entries}"

    def _unexplained(self, group: Sequence[SimulatedEvent]) -> list[SimulatedEvent]:
        """Is there an order, each partition in its own, in which a copy counts if and only if none within the horizon
        did? If not, what is left."""
        queues = [
            deque(event for event in group if event.partition == number) for number in range(self._broker.partitions)
        ]
        days: list[int] = []
        moved = True
        while moved:
            moved = False
            for queue in queues:
                while queue:
                    event, day = queue[0], arrival_day(queue[0].timestamp)
                    counts = (event.partition, event.offset) in self.counted
                    if not counts and not any(abs(day - other) <= self._horizon_d for other in days):
                        break
                    queue.popleft()
                    moved = True
                    if counts:
                        days.append(day)
        return [event for queue in queues for event in queue]

    # ---------------------------------------------------------------- counters, dead letters
    def _counters(self) -> Iterator[str]:
        expected = {
            (bucket, number): [0, 0, 0, 0]
            for bucket in range(self._stored.buckets)
            for number in range(self._broker.partitions)
        }
        for event in self._events:
            poison = not Usage.decode(event.value or b"").number
            counts = (event.partition, event.offset) in self.counted
            place = bucket_of(event.key or b"", self._stored.buckets), event.partition
            expected[place][0 if counts else 3 if poison else 2] += 1
        for place, counters in expected.items():
            if list(self._stored.counters(*place)) != counters:
                yield f"COUNTERS of {place}: {self._stored.counters(*place)}, {counters} expected"

    def _dead_letters(self) -> Iterator[str]:
        dead = {
            (event.partition, event.offset) for event in self._events if not Usage.decode(event.value or b"").number
        }
        letters = self._broker.logs.get((f"{self._broker.topic}.dead", 0), [])
        headers = [dict(letter.headers) for letter in letters]
        written = {(int(each["source-partition"]), int(each["source-offset"])) for each in headers}
        if written != dead:
            yield f"DEAD LETTERS: {sorted(written ^ dead)} are missing or too many"


def _reading(event: SimulatedEvent, aggregate: Aggregate, value: Value) -> Reading:
    """Of this event alone."""
    if isinstance(value, tuple):
        time_us, number = value
        return Reading(1, number, (time_us, event.timestamp, event.partition, event.offset))
    if isinstance(value, bytes):
        return Reading(1, members=frozenset({value}))
    return Reading(1, value or 0)
