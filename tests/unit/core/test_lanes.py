"""Lanes against a model too simple to be wrong: a list a key."""

from collections import deque

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.core.lanes import Lane, Lanes, take
from engine.sim.broker import SimulatedEvent

KEYS = ["a", "b", "c"]


def event(offset: int, key: str) -> SimulatedEvent:
    return SimulatedEvent("t", 0, offset, 0, key.encode(), b"")


class LanesModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ready: deque[Lane] = deque()
        self.lanes = Lanes(self.ready, None)
        self.model: dict[str, list[int]] = {key: [] for key in KEYS}
        self.running: dict[str, tuple[Lane, int]] = {}
        self.next = 0

    @rule(key=st.sampled_from(KEYS), count=st.integers(1, 3))
    def push(self, key: str, count: int) -> None:
        offsets = range(self.next, self.next + count)
        self.next += count
        self.lanes.push(key, [event(offset, key) for offset in offsets])
        self.model[key] += offsets

    @rule(size=st.integers(1, 4))
    def start(self, size: int) -> None:
        lane = take(self.ready)
        if lane is None:
            assert all(not offsets or key in self.running for key, offsets in self.model.items()), "a lane is forgotten"
            return
        key = str(lane.name)
        assert key not in self.running, "two turns of one lane at once"
        batch = lane.head(size)
        assert [each.offset for each in batch] == self.model[key][: len(batch)], "out of order"
        self.running[key] = (lane, len(batch))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        lane, count = self.running.pop(key)
        self.lanes.finish(lane, count)
        del self.model[key][:count]

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.lanes.requeue(self.running.pop(key)[0])

    @invariant()
    def only_lanes_with_events_exist(self) -> None:
        assert len(self.lanes) == sum(bool(offsets) for offsets in self.model.values())


TestLanes = LanesModel.TestCase


def test_a_batch_is_of_one_key() -> None:
    lanes = Lanes(deque(), None)
    lane = lanes.push("partition", [event(0, "a"), event(1, "a"), event(2, "b")])
    assert [each.offset for each in lane.head(10)] == [0, 1]


def test_after_a_failure_events_go_one_by_one() -> None:
    ready: deque[Lane] = deque()
    lanes = Lanes(ready, None)
    lane = lanes.push("a", [event(0, "a"), event(1, "a")])
    lane.single = True
    assert len(lane.head(10)) == 1
    assert take(ready) is lane
    lanes.finish(lane, 1)
    assert not lane.single


def test_dropped_lanes_are_never_run_and_end_without_effect() -> None:
    ready: deque[Lane] = deque()
    lanes = Lanes(ready, None)
    running, waiting = lanes.push("a", [event(0, "a")]), lanes.push("b", [event(1, "b")])
    assert take(ready) is running
    lanes.drop()
    assert take(ready) is None
    lanes.requeue(running)
    assert not ready
    assert waiting.dropped


def test_a_hot_key_waits_for_its_turn_behind_the_others() -> None:
    ready: deque[Lane] = deque()
    lanes = Lanes(ready, None)
    lanes.push("hot", [event(offset, "hot") for offset in range(100)])
    hot = take(ready)
    assert hot is not None
    lanes.push("cold", [event(100, "cold")])
    lanes.finish(hot, 10)
    turn = take(ready)
    assert turn is not None
    assert turn.name == "cold"
