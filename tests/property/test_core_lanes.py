"""Lanes and their turns against a model too simple to be wrong: a list a lane, a list an owner, a list of owners."""

from itertools import takewhile

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.core.lanes import Lane, Lanes, Ready
from engine.sim.broker import SimulatedEvent
from tests.property.mutants import Mutant, assert_found, check, each

OWNERS = ("p0", "p1")
KEYS = (b"a", b"b")
MIXED = "mixed"
NAMES = (b"a", b"b", MIXED)


class LanesModel(RuleBasedStateMachine):
    """The lanes of each owner: "mixed" holds events of several keys, as a lane of a whole partition does."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = Ready()
        self.lanes = {owner: Lanes(self.ready, owner) for owner in OWNERS}
        self.events: dict[tuple[str, object], list[SimulatedEvent]] = {}
        self.queues: dict[str, list[object]] = {owner: [] for owner in OWNERS}
        self.turns: list[str] = []
        self.running: list[tuple[Lane, int]] = []
        self.held: list[Lane] = []
        self.gone: list[Lane] = []
        self.next = 0

    def runnable(self, owner: str, name: object) -> None:
        self.queues[owner].append(name)
        if owner not in self.turns:
            self.turns.append(owner)

    @rule(
        owner=st.sampled_from(OWNERS),
        name=st.sampled_from(NAMES),
        keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=3),
    )
    def push(self, owner: str, name: bytes | str, keys: list[bytes]) -> None:
        keys = keys if isinstance(name, str) else [name] * len(keys)
        events = [SimulatedEvent("t", 0, self.next + index, 0, key, b"") for index, key in enumerate(keys)]
        self.next += len(events)
        self.lanes[owner].push(name, events)
        if (owner, name) not in self.events:
            self.runnable(owner, name)
        self.events.setdefault((owner, name), []).extend(events)

    @rule(size=st.integers(1, 4))
    def start(self, size: int) -> None:
        lane = self.ready.take()
        if not self.turns:
            assert lane is None
            return
        owner = self.turns.pop(0)
        name = self.queues[owner].pop(0)
        if self.queues[owner]:
            self.turns.append(owner)
        assert lane is not None
        assert (lane.owner, lane.name, lane.running) == (owner, name, True), "not its turn"
        events = self.events[owner, name]
        batch = list(takewhile(lambda event: event.key == events[0].key, events[: 1 if lane.single else size]))
        assert list(lane.head(size)) == batch
        self.running.append((lane, len(batch)))

    @rule(size=st.integers(1, 4), fails=st.booleans())
    def turn(self, size: int, *, fails: bool) -> None:
        """A turn that ends before another begins."""
        self.start(size)
        if self.running:
            (self.fail_one if fails else self.finish_one)(len(self.running) - 1)

    @rule()
    def crowd(self) -> None:
        """Every lane of every owner has something to do."""
        for owner in OWNERS:
            for name in NAMES:
                self.push(owner, name, [KEYS[0]])

    @rule(size=st.integers(1, 4))
    def drain(self, size: int) -> None:
        """All turns, one after the other."""
        while self.turns:
            self.start(size)
            self.finish_one(len(self.running) - 1)

    @rule(size=st.integers(1, 4))
    def hold_and_release(self, size: int) -> None:
        self.start(size)
        if self.running:
            self.hold_one(len(self.running) - 1)
        if self.held:
            self.release_one(len(self.held) - 1)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.finish_one(data.draw(st.integers(0, len(self.running) - 1)))

    def finish_one(self, index: int) -> None:
        lane, count = self.running.pop(index)
        left = len(lane.events)
        self.lanes[str(lane.owner)].finish(lane, count)
        assert len(lane.events) == left - (0 if lane.dropped else count)
        self.ended(lane, count)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        self.fail_one(data.draw(st.integers(0, len(self.running) - 1)))

    def fail_one(self, index: int) -> None:
        """A batch that fails is taken apart."""
        lane, count = self.running.pop(index)
        lane.attempts += 1
        lane.single = count
        self.lanes[str(lane.owner)].requeue(lane)
        self.ended(lane, 0)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        self.hold_one(data.draw(st.integers(0, len(self.running) - 1)))

    def hold_one(self, index: int) -> None:
        lane, _ = self.running.pop(index)
        self.lanes[str(lane.owner)].hold(lane, "on purpose")
        if not lane.dropped:
            self.held.append(lane)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.release_one(data.draw(st.integers(0, len(self.held) - 1)))

    def release_one(self, index: int) -> None:
        lane = self.held.pop(index)
        self.lanes[str(lane.owner)].release(lane)
        self.runnable(str(lane.owner), lane.name)

    def ended(self, lane: Lane, count: int) -> None:
        if lane in self.gone:
            return
        place = (str(lane.owner), lane.name)
        assert (lane.attempts == 0) == (count > 0), "attempts are those of the first event"
        del self.events[place][:count]
        if self.events[place]:
            self.runnable(*place)
        else:
            del self.events[place]

    @rule(owner=st.sampled_from(OWNERS), size=st.integers(1, 4))
    def drop_while_one_runs(self, owner: str, size: int) -> None:
        """The epoch ends after its lane was taken, and before the turn is over."""
        self.push(owner, MIXED, [KEYS[0], KEYS[1]])
        self.start(size)
        self.drop(owner)

    @rule(owner=st.sampled_from(OWNERS))
    def drop(self, owner: str) -> None:
        """The epoch of a partition ends, and another begins."""
        self.lanes[owner].drop()
        self.gone += [lane for lane, _ in self.running if lane.owner == owner]
        self.held = [lane for lane in self.held if lane.owner != owner]
        self.events = {place: events for place, events in self.events.items() if place[0] != owner}
        self.queues[owner].clear()
        self.turns = [each for each in self.turns if each != owner]
        self.lanes[owner] = Lanes(self.ready, owner)

    @invariant()
    def only_runnable_lanes_are_queued(self) -> None:
        assert len(self.ready) == sum(map(len, self.queues.values()))
        assert list(self.ready._queues) == self.turns, "an owner without a runnable lane takes no turn"
        for owner, queue in self.queues.items():
            assert [lane.name for lane in self.lanes[owner].ready] == queue

    @invariant()
    def only_lanes_with_events_exist(self) -> None:
        for owner, lanes in self.lanes.items():
            assert len(lanes) == sum(place[0] == owner for place in self.events)
            assert {lane.name for lane in lanes.held} == {lane.name for lane in self.held if lane.owner == owner}


TestLanes = LanesModel.TestCase


def test_without_a_mutant() -> None:
    check(LanesModel)


@each(
    Mutant("an owner keeps its turn", Ready, "take", "self._queues.move_to_end(owner)", "pass"),
    Mutant("the newest lane goes first", Ready, "take", "popleft()", "pop()"),
    Mutant("an empty owner stays", Ready, "take", "del self._queues[owner]", "pass"),
    Mutant("a lane that is taken is still counted", Ready, "take", "self._count -= 1", "pass"),
    Mutant("a dropped owner keeps its turn", Ready,
           "drop", "self._queues.pop(owner, ())", "self._queues.get(owner, ())"),
    Mutant("finish forgets to requeue", Lanes, "finish", "self.requeue(lane)", "pass"),
    Mutant("a dropped lane comes back", Lanes, "requeue", "if lane.dropped:", "if False:"),
    Mutant("a dropped lane finishes events", Lanes, "advance", "if lane.dropped:", "if False:"),
    Mutant("an empty lane stays", Lanes, "requeue", "if lane.events:", "if True:"),
    Mutant("an event runs twice", Lanes, "advance", "range(count)", "range(count - 1)"),
    Mutant("attempts are passed on", Lanes, "advance", "lane.attempts = 0", "pass"),
    Mutant("a lane is queued for every push", Lanes, "push", "lane.events", "self._ready.append(lane); lane.events"),
    Mutant("a batch crosses keys", Lane, "head", "break", "pass"),
    Mutant("a batch that failed stays together", Lane, "head", "1 if self.single else events_max", "events_max"),
    Mutant("a released lane takes no turn", Lanes, "release", "self.requeue(lane)", "pass"),
    Mutant("a lane that is dropped is held", Lanes, "hold", "if lane.dropped:", "if False:"),
)  # fmt: skip
def test_the_model_finds(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_found(LanesModel, mutant, monkeypatch)
