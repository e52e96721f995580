"""The model: cores that are busy, a server that takes one request after the other, costs, and a whole site."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import msgspec
import pytest

from engine import Event
from engine.sim.loop import Process, run
from perf.harness.checks import CheckFailed
from perf.harness.outcome import Findings, Sample
from perf.model.core import Core
from perf.model.costs import MANY, ONE, TURN_SHARE, Costs, NoCosts, apart, costs_of
from perf.model.load import Load
from perf.model.servers import Line, ModelLog
from perf.model.site import Shape, simulated
from perf.model.steps import Steps
from tests.unit.perf.results import result

COSTS = Costs(worker_event_us=25.0, worker_call_us=400.0, worker_turn_us=18.0, redis_event_us=10.0, redis_call_us=150.0)
SMALL = {"fetch_max": 100, "call_events_max": 300}


class TestCore:
    def test_what_two_tasks_of_a_process_do_takes_its_time_one_after_the_other(self) -> None:
        ends: dict[str, float] = {}

        async def work(core: Core, name: str, work_s: float) -> None:
            await core.spend(work_s)
            ends[name] = anyio.current_time()

        async def main() -> list[float]:
            cores = []
            async with anyio.create_task_group() as tasks:
                for place in range(2):
                    process = Process()
                    cores.append(Core(process))
                    for name in ("a", "b"):
                        process.context().run(tasks.start_soon, work, cores[-1], f"{name} of {place}", 0.5)
            return [core.busy_s for core in cores]

        assert run(main) == pytest.approx([1.0, 1.0])
        assert {name: round(end_s, 2) for name, end_s in ends.items()} == dict.fromkeys(ends, 1.0)

    def test_timers_of_a_busy_process_are_late(self) -> None:
        rang_s: list[float] = []

        async def main() -> None:
            process = Process()
            core = Core(process)

            async def work() -> None:
                loop = asyncio.get_running_loop()
                loop.call_later(0.0001, lambda: rang_s.append(loop.time()))
                await core.spend(0.001)

            async with anyio.create_task_group() as tasks:
                process.context().run(tasks.start_soon, work)

        run(main)
        assert rang_s == pytest.approx([0.001])


def test_a_server_takes_one_request_after_the_other() -> None:
    answers: list[tuple[int, float]] = []

    async def ask(line: Line, number: int) -> None:
        answers.append((await line.ask(lambda: number, what="a call"), round(anyio.current_time(), 6)))

    async def main() -> float:
        line = Line(0.1, call_s=1.0)
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(ask, line, number)
        return line.busy_s

    assert run(main) == 3.0
    assert answers == [(0, 1.1), (1, 2.1), (2, 3.1)]


class TestCosts:
    def test_two_sizes_of_call_tell_event_and_call_apart(self) -> None:
        event_us, call_us = apart((500.0, 25.0 + 400 / 500), (1.0, 425.0))
        assert (event_us, call_us) == pytest.approx((25.0, 400.0))

    @pytest.mark.parametrize(
        ("many", "one"),
        [((1.0, 20.0), (1.0, 400.0)), ((500.0, 20.0), (0.0, 400.0)), ((2.0, 200.0), (1.0, 500.0))],
    )
    def test_what_cannot_be_told_apart_is_refused(self, many: tuple[float, float], one: tuple[float, float]) -> None:
        with pytest.raises(ValueError, match=r"told apart|an event would cost"):
            apart(many, one)

    def test_they_are_read_from_a_measurement(self) -> None:
        many = {"events_per_call": 500.0, "worker_us": 25.8, "redis_us": 10.3}
        one = {"events_per_call": 1.0, "worker_us": 425.0, "redis_us": 160.0}
        measured = result("exactly-once")
        samples = [Sample(MANY, 0, many), Sample(ONE, 0, one)]
        costs = costs_of(msgspec.structs.replace(measured, findings=Findings({}, samples)))
        assert (costs.worker_event_us, costs.worker_call_us) == pytest.approx((25.0, 400.0))
        assert (costs.redis_event_us, costs.redis_call_us) == pytest.approx((10.0, 150.0))
        assert costs.worker_turn_us == pytest.approx(TURN_SHARE * 25.0)

    def test_a_result_without_them_is_refused(self) -> None:
        with pytest.raises(NoCosts, match="lift of 2026"):
            costs_of(result("lift"))


class TestSteps:
    def test_the_lag_is_that_of_the_first_event_that_is_not_done(self) -> None:
        steps = Steps()
        arrived_s = [number / 10 for number in range(100)]
        for number in range(1, 101):
            steps.add(number / 10 + 0.5, 1)
        figures = steps.figures(arrived_s, 0.0, 10.0, backlog=False)
        assert figures["events_per_s"] == pytest.approx(10.0)
        assert figures["lag_p50_ms"] == pytest.approx(500.0)
        assert figures["behind_events"] == 5.0

    def test_the_rate_of_a_backlog_leaves_its_first_tenth_out(self) -> None:
        steps = Steps()
        for time_s, events in ((5.0, 10), (6.0, 45), (7.0, 45)):
            steps.add(time_s, events)
        assert steps.figures([0.0] * 100, 0.0, 7.0, backlog=True) == {"events_per_s": 45.0}


class TestSite:
    def test_the_same_seed_gives_the_same_figures_and_another_others(self) -> None:
        shape = Shape(COSTS, partitions=3, workers=2, latency_s=0.005, events_per_s=20_000, seconds=0.05)
        first = simulated(shape, 1)
        assert simulated(shape, 1) == first
        assert simulated(shape, 2) != first

    def test_one_worker_is_bounded_by_its_core_and_more_by_that_of_redis(self) -> None:
        one = simulated(Shape(COSTS, events=4_000, settings=SMALL), 1)
        assert 0.7 * 1e6 / COSTS.worker_event_us < one["events_per_s"] < 1e6 / COSTS.worker_event_us
        assert one["worker_busy_share"] > 0.85
        assert one["redis_busy_share"] < 0.7
        slow = Costs(25.0, 400.0, 18.0, redis_event_us=100.0, redis_call_us=150.0)
        many = simulated(Shape(slow, partitions=4, workers=4, events=4_000, settings=SMALL), 1)
        assert 7_000 < many["events_per_s"] < 10_000
        assert many["redis_busy_share"] > 0.9

    def test_a_slice_costs_what_is_given(self) -> None:
        costs = Costs(25.0, 400.0, 18.0, 10.0, 150.0, worker_slice_us=50.0)
        free, dear = (
            simulated(Shape(each, events=3_000, settings=SMALL), 1)["events_per_s"] for each in (COSTS, costs)
        )
        assert dear < 0.95 * free

    def test_an_event_that_is_lost_gives_no_figure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = ModelLog.fetch

        async def torn(self: ModelLog, *partitions: Any, **limits: Any) -> Mapping[int, Sequence[Event]]:
            fetched = await whole(self, *partitions, **limits)
            return {number: events[:-1] for number, events in fetched.items()}

        monkeypatch.setattr(ModelLog, "fetch", torn)
        with pytest.raises(CheckFailed):
            simulated(Shape(COSTS, events=500, settings=SMALL), 1)

    def test_an_event_that_counts_once_too_seldom_gives_no_figure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        arrive = Load.arrive

        def twice(self: Load, events: int) -> None:
            arrive(self, events)
            self._numbers = iter([0])  # type: ignore[assignment]
            arrive(self, 1)

        monkeypatch.setattr(Load, "arrive", twice)
        with pytest.raises(CheckFailed, match="cells are"):
            simulated(Shape(COSTS, events=500, keys=1, settings=SMALL), 1)
