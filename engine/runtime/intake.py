"""The way of an event in one epoch of a partition: read, its key's lane, the processor, the ledger.

`accept` is the hot path: it groups a fetch by key and, where the processor answers without awaiting, hands the answers
straight on. Everything that has to wait (a handler, a dead letter, a retry, an event that arrived later than the
processor knows) goes through the key's lane, whose turns are in `turns.py`.
"""

import inspect
from collections.abc import Awaitable, Sequence

from engine.core.lanes import Lane, LaneName, Lanes
from engine.core.limits import InFlight
from engine.event import Counts, Dead, Event, memory_bytes
from engine.runtime.ledger import Ledger
from engine.runtime.turns import Turns
from engine.runtime.work import Work
from engine.state.slices import Prepared


class Intake:
    """Open events of one epoch. Its lanes end with it; completions that arrive later change nothing."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._inline = work.inline
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
        if self.in_flight.remove(len(prepared), sum([memory_bytes(event) for event, _ in prepared])):
            self._work.eased()

    # ---------------------------------------------------------------- reading
    def accept(self, events: Sequence[Event], position: int) -> None:
        """Events of a fetch, ascending; `position` is where the next fetch starts."""
        newest = max([event.timestamp for event in events], default=None)
        events = self.ledger.read(events, position, newest)
        limit = self._work.until_ms()
        inline = self._inline and (limit is None or newest is None or newest <= limit)
        holds = self._work.holds
        if holds.any and events and holds.holds_partition(events[0].partition):
            inline = False  # paused while the fetch was under way: its lanes are held at their turn
        if self._work.config.ordering == "key":
            groups: dict[bytes, list[Event]] = {}
            for event in events:
                key = event.key or b""
                group = groups.get(key)
                if group is None:
                    groups[key] = [event]
                else:
                    group.append(event)
            held = holds.keys
            answered = [
                self._accept_key(key, group, key, inline=inline and key not in held) for key, group in groups.items()
            ]
            if any(answered):
                self._work.circuit.succeeded()
        else:
            alone = self._work.config.ordering == "none"
            for event in events:
                self._accept_key(event.key or b"", [event], event.offset if alone else "partition", inline=False)
        if self.in_flight.full and self._work.config.batch_linger_s:
            self.turns.hurry()

    def _accept_key(self, key: bytes, events: Sequence[Event], name: LaneName, *, inline: bool) -> bool:
        """Whether the processor has answered already."""
        ledger = self.ledger
        events = ledger.undone(key, events)
        if not events:
            return False
        self.in_flight.add(len(events), sum(map(memory_bytes, events)))
        if inline and name not in self.lanes:
            answers = self._answers_now(key, events)
            if answers is not None:
                ledger.finish(key, list(zip(events, answers, strict=True)), waited=False)
                return True
        ledger.open(key, events)
        lane = self.lanes.push(name, events)
        if lane.lingering and len(lane.events) >= self._work.config.batch_max:
            self._work.deferred.hasten(lane)
        return False

    def _answers_now(self, key: bytes, events: Sequence[Event]) -> Sequence[Counts | Dead] | None:
        """The answers, if they are there without waiting and let every event count; else the lane asks again."""
        assert self._work.processor is not None
        size = self._work.config.batch_max
        answers: list[Counts | Dead] = []
        try:
            for start in range(0, len(events), size):
                part = events if len(events) <= size else events[start : start + size]
                some = self._work.processor.prepare(key, part)
                if isinstance(some, Awaitable):
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
        names: dict[str, LaneName] = {"key": event.key or b"", "partition": "partition", "none": event.offset}
        return self.lanes.find(names[self._work.config.ordering])

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


def _discard(awaitable: Awaitable[object]) -> None:
    if inspect.iscoroutine(awaitable):
        awaitable.close()
