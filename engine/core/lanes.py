"""Lanes: one FIFO a key, and who may run next.

A lane exists only while it holds events. It is queued in `ready` when it may run, and in no queue while it runs or
waits for a time to come: only runnable lanes are ever looked at. The ready queue is first in, first out over all keys
and partitions, so a lane that becomes runnable starts after at most one turn of every other.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from itertools import islice

from engine.event import Event

LaneName = Hashable
"""What shares an order: a key, a partition, or a single event."""


class Lane:
    """The events of one name that are read and not finished, in the order of their offsets."""

    __slots__ = ("attempts", "dropped", "events", "name", "owner", "reason", "running", "single")

    def __init__(self, name: LaneName, owner: object) -> None:
        self.name = name
        self.owner = owner
        """The epoch that the lane belongs to."""
        self.events: deque[Event] = deque()
        self.attempts = 0
        """How often its first event has failed."""
        self.single = False
        """After a failure events go one by one, until one passes."""
        self.running = False
        self.dropped = False
        self.reason = "waiting for its turn"

    def head(self, events_max: int) -> Sequence[Event]:
        """The first events, all of one key, at least one and at most `events_max`."""
        first = self.events[0]
        batch = [first]
        for event in islice(self.events, 1, 1 if self.single else events_max):
            if event.key != first.key:
                break
            batch.append(event)
        return batch


class Lanes:
    """The lanes of one epoch; `ready` is shared by all epochs of a process."""

    def __init__(self, ready: deque[Lane], owner: object) -> None:
        self._ready = ready
        self._owner = owner
        self._lanes: dict[LaneName, Lane] = {}

    def __contains__(self, name: LaneName) -> bool:
        return name in self._lanes

    def __len__(self) -> int:
        return len(self._lanes)

    def find(self, name: LaneName) -> Lane | None:
        return self._lanes.get(name)

    def push(self, name: LaneName, events: Sequence[Event]) -> Lane:
        """Append events; a lane that was empty becomes ready."""
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name, self._owner)
            self._ready.append(lane)
        lane.events.extend(events)
        return lane

    def finish(self, lane: Lane, count: int) -> None:
        """The first `count` events are finished; the lane takes its next turn behind the others, or goes."""
        lane.attempts = 0
        lane.single = False
        for _ in range(count):
            lane.events.popleft()
        self.requeue(lane)

    def requeue(self, lane: Lane) -> None:
        lane.running = False
        if lane.dropped:
            return
        if lane.events:
            lane.reason = "waiting for its turn"
            self._ready.append(lane)
        else:
            del self._lanes[lane.name]

    def drop(self) -> None:
        """Forget everything: queued lanes are skipped when their turn comes, running ones end without effect."""
        for lane in self._lanes.values():
            lane.dropped = True
        self._lanes.clear()


def take(ready: deque[Lane]) -> Lane | None:
    """The lane whose turn it is, marked as running, or None."""
    while ready:
        lane = ready.popleft()
        if not lane.dropped:
            lane.running = True
            lane.reason = "running"
            return lane
    return None
