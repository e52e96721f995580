"""Lanes and their turns, by example. The model is in `tests/property/test_core_lanes.py`."""

from engine.core.lanes import ARRIVALS, Lane, Lanes, Ready
from engine.sim.broker import SimulatedEvent


def event(offset: int, key: str) -> SimulatedEvent:
    return SimulatedEvent("t", 0, offset, 0, key.encode(), b"")


def test_a_batch_is_of_one_key() -> None:
    lanes = Lanes(Ready(), None)
    lane = lanes.push("partition", [event(0, "a"), event(1, "a"), event(2, "b")])
    assert [each.offset for each in lane.head(10)] == [0, 1]


def test_after_a_failure_events_go_one_by_one() -> None:
    ready = Ready()
    lanes = Lanes(ready, None)
    lane = lanes.push("a", [event(0, "a"), event(1, "a")])
    lane.single = 1
    assert len(lane.head(10)) == 1
    assert ready.take() is lane
    lanes.finish(lane, 1)
    assert not lane.single


def test_dropped_lanes_are_never_run_and_end_without_effect() -> None:
    ready = Ready()
    lanes = Lanes(ready, None)
    running, waiting = lanes.push("a", [event(0, "a")]), lanes.push("b", [event(1, "b")])
    assert ready.take() is running
    lanes.drop()
    assert ready.take() is None
    lanes.requeue(running)
    assert not ready
    assert waiting.dropped


def test_a_hot_key_waits_for_its_turn_behind_the_others() -> None:
    ready = Ready()
    lanes = Lanes(ready, None)
    lanes.push("hot", [event(offset, "hot") for offset in range(100)])
    hot = ready.take()
    assert hot is not None
    lanes.push("cold", [event(100, "cold")])
    lanes.finish(hot, 10)
    turn = ready.take()
    assert turn is not None
    assert turn.name == "cold"


def names(ready: Ready, count: int) -> list[object]:
    lanes = [ready.take() for _ in range(count)]
    return [lane.name for lane in lanes if isinstance(lane, Lane)]


def test_a_partition_with_very_many_keys_delays_another_by_one_turn() -> None:
    ready = Ready()
    crowd, single = Lanes(ready, "crowd"), Lanes(ready, "single")
    for number in range(10_000):
        crowd.push(number, [event(number, str(number))])
    single.push("only", [event(0, "only")])
    assert names(ready, 4) == [0, "only", 1, 2]


def test_a_key_that_comes_back_starts_after_one_round_of_its_partition() -> None:
    ready = Ready()
    crowd = Lanes(ready, "crowd")
    for number in range(100):
        crowd.push(number, [event(number, str(number)), event(1_000 + number, str(number))])
    first = ready.take()
    assert first is not None
    crowd.finish(first, 1)
    assert names(ready, 100) == [*range(1, 100), 0]


def test_a_dropped_owner_costs_nothing_later() -> None:
    ready = Ready()
    gone, other = Lanes(ready, "gone"), Lanes(ready, "other")
    for number in range(1_000):
        gone.push(number, [event(number, str(number))])
    other.push("a", [event(0, "a")])
    gone.drop()
    assert len(ready) == 1
    assert names(ready, 2) == ["a"]
    ready.drop("never seen")
    assert len(ready) == 0


def test_what_arrived_goes_to_lanes_of_its_own() -> None:
    """The lane of the first runs already; what is behind it in its key waits for it."""
    ready = Ready()
    lanes = Lanes(ready, "owner")
    lanes.push(ARRIVALS, [event(number, key) for number, key in enumerate("abca")])
    arrived = ready.take()
    assert arrived is not None
    own = lanes.begin("a", arrived.events.popleft())
    lanes.remove(arrived)
    for each in arrived.events:
        lanes.push((each.key or b"").decode(), [each])
    assert ARRIVALS not in lanes
    assert len(lanes) == 3
    assert names(ready, 3) == ["b", "c"]
    assert [each.offset for each in own.events] == [0, 3]
    lanes.finish(own, 1)
    assert names(ready, 1) == ["a"]


def test_what_arrived_is_dropped_with_its_owner() -> None:
    ready = Ready()
    lanes = Lanes(ready, "owner")
    lanes.push(ARRIVALS, [event(0, "a")])
    arrived = ready.take()
    assert arrived is not None
    lanes.drop()
    lanes.remove(arrived)
    assert len(lanes) == 0
