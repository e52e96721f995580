"""The way of an event in one epoch of a partition: read, its key's lane, the processor, the ledger.

`accept` is the hot path: it groups a fetch by key and, where the processor answers without awaiting, hands the answers
straight on. Everything that has to wait (a handler, a dead letter, a retry, an event that arrived later than the
processor knows) goes through the key's lane, whose turns are in `turns.py`.
"""

import inspect
from collections.abc import Awaitable, Sequence

from engine.core.lanes import ARRIVALS, Lane, LaneName, Lanes
from engine.core.limits import InFlight
from engine.event import Counts, Dead, Event, memory_bytes_of
from engine.runtime.ledger import Ledger
from engine.runtime.turns import Turns
from engine.runtime.work import Work
from engine.state.slices import Prepared


class Intake:
    """Open events of one epoch. Its lanes end with it; completions that arrive later change nothing."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._inline = work.inline
        self._arrives = work.handler is not None and work.config.ordering != "partition"
        self.in_flight = InFlight(work.config.in_flight_max, work.config.in_flight_bytes_max)
        self.lanes = Lanes(work.ready, self)
        self.turns = Turns(work, self.lanes, self.in_flight)
        self._ledger: Ledger | None = None

    @property
    def ledger(self) -> Ledger:
        assert self._ledger is not None, "the epoch has begun"
        return self._ledger

    def begin(self, ledger: Ledger) -> None:
        self._ledger = self.turns.ledger = ledger

    def released(self, prepared: Sequence[Prepared]) -> None:
        """These events are done with: they leave the partition's limits."""
        self.left([event for event, _ in prepared])

    def left(self, events: Sequence[Event]) -> None:
        """The same, of events without answers."""
        if self.in_flight.remove(len(events), memory_bytes_of(events)):
            self._work.eased()

    # ---------------------------------------------------------------- reading
    def accept(self, events: Sequence[Event], position: int) -> None:
        """Events of a fetch, ascending; `position` is where the next fetch starts."""
        newest = max([event.timestamp for event in events], default=None)
        events = self.ledger.read(events, position, newest)
        if not events:
            return
        self.in_flight.add(len(events), memory_bytes_of(events))
        if self._arrives and (ARRIVALS in self.lanes or not (self.lanes or self._work.holds.any)):
            self.lanes.push(ARRIVALS, events)  # nothing runs or waits before them: they need no lanes yet
            return
        if self._work.config.ordering == "key":
            groups = by_key(events)
            if self._answers_inline(events[0].partition, newest):
                groups = self._answer(groups)
            for key, group in groups.items():
                self._push(key, group, key)
        else:
            for event in events:
                self._push(event.key or b"", [event], self._work.lane_name(event))
        if self.in_flight.full and self._work.config.batch_linger_s:
            self.turns.hurry()

    def _push(self, key: bytes, events: Sequence[Event], name: LaneName) -> None:
        self.ledger.open(key, events)
        lane = self.lanes.push(name, events)
        if lane.lingering and len(lane.events) >= self._work.config.batch_max:
            self._work.deferred.hasten(lane)

    # ---------------------------------------------------------------- answers without a lane
    def _answers_inline(self, partition: int, newest: int | None) -> bool:
        """Whether the processor may be asked at once."""
        if not self._inline or self._work.holds.holds_partition(partition):
            return False  # if paused while the fetch was under way, the lanes are held at their turn
        limit = self._work.until_ms()
        return limit is None or newest is None or newest <= limit

    def _answer(self, groups: dict[bytes, list[Event]]) -> dict[bytes, list[Event]]:
        """Hands on what the processor answers at once. Returns the others: their keys' lanes ask again."""
        others: dict[bytes, list[Event]] = {}
        finish, lanes, held = self.ledger.finish, self.lanes, self._work.holds.keys
        for key, events in groups.items():
            answers = None if key in lanes or key in held else self._answers_now(key, events)
            if answers is None:
                others[key] = events
            else:
                finish(key, list(zip(events, answers, strict=True)), waited=False)
        if len(others) < len(groups):
            self._work.circuit.succeeded()
        return others

    def _answers_now(self, key: bytes, events: Sequence[Event]) -> Sequence[Counts | Dead] | None:
        """The answers, if they are there without waiting and let every event count; else None."""
        assert self._work.processor is not None
        size = self._work.config.batch_max
        answers: list[Counts | Dead] = []
        try:
            for start in range(0, len(events), size):
                some = self._work.processor.prepare(key, events[start : start + size])
                if type(some) is not list and isinstance(some, Awaitable):
                    _discard(some)
                    return None
                answers += some
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - the lane meets it again, counts it and reports it
            return None
        if len(answers) != len(events) or Dead in map(type, answers):
            return None
        return answers

    # ---------------------------------------------------------------- lanes
    def lane_of(self, event: Event) -> Lane | None:
        """Where the event waits or runs; None once it is answered."""
        return self.lanes.find(self._work.lane_name(event)) or self.lanes.find(ARRIVALS)

    def why(self, lane: Lane) -> str:
        """What the lane waits for, in words."""
        wait_s = self._work.deferred.wait_s(lane)
        return lane.reason if wait_s is None else f"{lane.reason}; again in {wait_s:.1f} s"

    @property
    def held_events(self) -> int:
        """Events that wait for a command, and will not be done by waiting for them."""
        return sum(len(lane.events) for lane in self.lanes.held)

    @property
    def ready_events(self) -> int:
        """Events that could start now, had they a place."""
        return sum(len(lane.events) for lane in self.lanes.ready)

    @property
    def drained(self) -> bool:
        """Everything that can be done without a command is."""
        return self.ledger.drained(self.held_events)

    def drop(self) -> None:
        self.lanes.drop()
        self.ledger.forget()
        self._work.deferred.forget_dropped()
        self._work.letters.forget_dropped()


def by_key(events: Sequence[Event]) -> dict[bytes, list[Event]]:
    """The events of each key, in their order."""
    groups: dict[bytes, list[Event]] = {}
    for event in events:
        key = event.key or b""
        group = groups.get(key)
        if group is None:
            groups[key] = [event]
        else:
            group.append(event)
    return groups


def _discard(awaitable: Awaitable[object]) -> None:
    if inspect.iscoroutine(awaitable):
        awaitable.close()
