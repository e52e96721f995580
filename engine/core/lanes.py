"""Lanes: one FIFO a key, and who may run next.

A lane exists only while it holds events. It is queued in `Ready` when it may run, and in no queue while it runs or
waits for a time to come: only runnable lanes are ever looked at. Owners (the epochs of partitions) take turns, and the
lanes of an owner go first in, first out: a lane starts after at most one turn of every other lane of its partition, and
a partition with very many runnable keys delays another partition's only key by one turn.

Source of the turns: John Nagle, "On Packet Switches With Infinite Storage", RFC 970, 1985 (a queue for each source, the
queues served round robin); a turn is one batch here.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from itertools import islice
from typing import Final

from engine.event import Event

LaneName = Hashable
"""What shares an order: a key, a partition, or a single event."""

ARRIVALS: Final = object()
"""The name of a lane of events of any name, in the order of their offsets: while it is there, there is no other."""


class Lane:
    """The events of one name that are read and not finished, in the order of their offsets."""

    __slots__ = (
        "attempts", "cause", "dropped", "events", "failing", "held", "lingered",
        "lingering", "name", "owner", "parked", "reason", "running",
        "single", "verdict",
    )  # fmt: skip

    def __init__(self, name: LaneName, owner: object) -> None:
        self.name = name
        self.owner = owner
        """The epoch that the lane belongs to."""
        self.events: deque[Event] = deque()
        self.attempts = 0
        """How often its first event has failed."""
        self.failing = False
        """Its last call failed, whether or not that counted as an attempt."""
        self.single = 0
        """So many events go one by one: those of a batch that failed."""
        self.lingered = False
        """Its batch has waited for more."""
        self.lingering = False
        """It waits for more now."""
        self.cause = ""
        """Why its first event failed last."""
        self.verdict: str | None = None
        """Why its first event goes to the dead-letter topic, once that is decided."""
        self.running = False
        self.held = False
        """Out of every queue until it is released."""
        self.parked = False
        """Held because its first event failed for the last time."""
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


class Ready:
    """The lanes that may run now, of all epochs of a process. Every operation is O(1)."""

    def __init__(self) -> None:
        self._queues: OrderedDict[object, deque[Lane]] = OrderedDict()
        """By owner, in the order of their turns; an owner without a runnable lane is not in it."""
        self._count = 0

    def __len__(self) -> int:
        """How many lanes may run."""
        return self._count

    def append(self, lane: Lane) -> None:
        """Queue a lane behind those of its owner."""
        queue = self._queues.get(lane.owner)
        if queue is None:
            queue = self._queues[lane.owner] = deque()
        queue.append(lane)
        self._count += 1

    def take(self) -> Lane | None:
        """The lane whose turn it is, marked as running, or None. The next turn is another owner's."""
        if not self._count:
            return None
        owner, queue = next(iter(self._queues.items()))
        lane = queue.popleft()
        self._count -= 1
        if queue:
            if len(self._queues) > 1:
                self._queues.move_to_end(owner)
        else:
            del self._queues[owner]
        lane.running = True
        lane.reason = "running"
        return lane

    def of(self, owner: object) -> Sequence[Lane]:
        """An owner's lanes, in the order of their turns."""
        return list(self._queues.get(owner, ()))

    def drop(self, owner: object) -> None:
        """Forget the lanes of an owner: it takes no turn any more."""
        self._count -= len(self._queues.pop(owner, ()))


class Lanes:
    """The lanes of one epoch; `ready` is shared by all epochs of a process."""

    def __init__(self, ready: Ready, owner: object) -> None:
        self._ready = ready
        self._owner = owner
        self._lanes: dict[LaneName, Lane] = {}
        self._closed = False
        self._held: dict[LaneName, Lane] = {}

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
            self._queue(lane)
        lane.events.extend(events)
        return lane

    def begin(self, name: LaneName, event: Event) -> Lane:
        """A lane that runs with this event already."""
        lane = self._lanes[name] = Lane(name, self._owner)
        lane.events.append(event)
        lane.running = True
        lane.reason = "running"
        return lane

    def remove(self, lane: Lane) -> None:
        """It runs, and takes no further turn: its events go elsewhere."""
        lane.running = False
        if not lane.dropped:
            del self._lanes[lane.name]

    def advance(self, lane: Lane, count: int) -> None:
        """The first `count` events are finished: the one behind them has not failed yet."""
        if lane.dropped:
            return
        lane.attempts = 0
        lane.failing = lane.lingered = False
        lane.single = max(0, lane.single - count)
        lane.verdict = None
        if count == 1:
            lane.events.popleft()
        else:
            for _ in range(count):
                lane.events.popleft()

    def finish(self, lane: Lane, count: int) -> None:
        """A turn ends with the first `count` events finished."""
        self.advance(lane, count)
        self.requeue(lane)

    def requeue(self, lane: Lane) -> None:
        """The lane takes its next turn behind the others, or goes if it is empty."""
        lane.running = lane.lingering = False
        if lane.dropped:
            return
        if lane.events:
            lane.reason = "waiting for its turn"
            self._queue(lane)
        else:
            del self._lanes[lane.name]

    def hold(self, lane: Lane, reason: str, *, parked: bool = False) -> None:
        """Take no turn until released; what is behind waits too."""
        lane.running = False
        if lane.dropped:
            return
        lane.held, lane.parked, lane.reason = True, parked, reason
        self._held[lane.name] = lane

    def release(self, lane: Lane) -> None:
        """End a hold."""
        lane.held = lane.parked = False
        del self._held[lane.name]
        self.requeue(lane)

    @property
    def held(self) -> Sequence[Lane]:
        """Those that wait for a command."""
        return list(self._held.values())

    @property
    def ready(self) -> Sequence[Lane]:
        """Those that wait for their turn and nothing else."""
        return self._ready.of(self._owner)

    @property
    def lingering(self) -> Sequence[Lane]:
        """Those whose batch waits for more."""
        return [lane for lane in self._lanes.values() if lane.lingering]

    def _queue(self, lane: Lane) -> None:
        if not self._closed:
            self._ready.append(lane)

    def close(self) -> None:
        """No lane takes a turn any more."""
        self._closed = True
        self._ready.drop(self._owner)

    def drop(self) -> None:
        """Forget everything: no lane takes a turn any more, and one that runs or waits ends without effect."""
        self.close()
        for lane in self._lanes.values():
            lane.dropped = True
            if not lane.running:
                lane.events.clear()  # a queue of lanes that wait for a time may still hold it
        self._lanes.clear()
        self._held.clear()
