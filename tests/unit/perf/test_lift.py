"""The grid of `lift`, its loops' rates and what follows from its samples."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from perf.harness.checks import CheckFailed
from perf.harness.lifting import HOT_BACKLOG_S, HOT_SHARE, HOT_WARM, KEYS, SLOW_KEYS, Cell
from perf.harness.loops import Mark, gathered, one_by_one, whole_batches
from perf.harness.outcome import Sample
from perf.harness.plain import Call, Handling, PlainHandler, check_handled
from perf.harness.steady import NotSteady
from perf.scenarios import lift

VALUE = b'{"id":"1","source":"s","time":"2025-01-01T00:00:00Z","tokens":1,"model":"m0"}'


def event(key: bytes, offset: int, partition: int = 0) -> Any:
    return SimpleNamespace(key=key, offset=offset, partition=partition, value=VALUE)


class TestGrid:
    def test_every_cell_is_measured_once_and_has_a_name_of_its_own(self) -> None:
        names = [cell.name for cell in (*lift.grid(), *lift.BARRED)]
        assert Counter(names).most_common(1)[0][1] == 1
        assert len(names) == 3 * 6 * 2 + 6 + 3  # spread with concurrency x latency x system, sequential, bare and slow
        assert {cell.name for cell in lift.QUICK} < {cell.name for cell in lift.grid()}

    def test_where_a_key_is_hot_less_is_in_flight_than_it_takes_seconds_to_handle(self) -> None:
        assert 0.15 < HOT_SHARE < 0.25
        hot, uniform = Cell("engine", 100, 1_000, zipf=True), Cell("engine", 100, 1_000)
        assert hot.in_flight_max * HOT_SHARE * 0.1 == pytest.approx(HOT_BACKLOG_S, rel=0.01)
        assert uniform.in_flight_max == 20_000
        assert hot.warm_events == HOT_WARM * hot.in_flight_max

    def test_a_gather_loop_takes_as_many_as_may_run_or_ten_times_that(self) -> None:
        assert Cell("gather", 10, 100).in_flight_max == 100
        assert Cell("gather", 10, 1_000).in_flight_max == 10_000

    def test_one_key_in_a_hundred_is_slow(self) -> None:
        assert len(SLOW_KEYS) * 100 == KEYS
        assert lift.SLOW.call == Call(0.01, 1.0, SLOW_KEYS)
        assert Cell("engine", 10, 1_000).call == Call(0.01, 0.01, SLOW_KEYS)


class TestWholeBatches:
    MARKS = (Mark(0.0, 0.0, 0), Mark(1.0, 0.1, 100), Mark(3.0, 0.3, 300), Mark(6.0, 0.6, 600))

    def test_the_rate_begins_behind_the_warm_up(self) -> None:
        figures = whole_batches(self.MARKS, warm_events=50, least_s=5.0, least_events=10_000)
        assert figures["events"] == 500
        assert figures["events_per_s"] == pytest.approx(100.0)
        assert figures["worker_us"] == pytest.approx(1_000.0)

    @pytest.mark.parametrize("marks", [(), MARKS[:1], MARKS[:3]])
    def test_what_is_too_short_gives_no_rate(self, marks: tuple[Mark, ...]) -> None:
        with pytest.raises(NotSteady, match="no rate was taken"):
            whole_batches(marks, warm_events=0, least_s=5.0, least_events=10_000)

    def test_many_events_are_enough(self) -> None:
        assert whole_batches(self.MARKS[:3], warm_events=0, least_s=5.0, least_events=300)["events"] == 300


class TestBatches:
    @staticmethod
    async def order(batch: Any) -> list[tuple[bytes, int]]:
        found: list[tuple[bytes, int]] = []

        async def handle(record: Any) -> None:
            await asyncio.sleep(0 if record.key == b"b" else 0.001)
            found.append((record.key, record.offset))

        await batch(handle, [event(b"a", 0), event(b"b", 1), event(b"a", 2), event(b"b", 3)])
        return found

    async def test_one_by_one_keeps_the_order_of_the_partition(self) -> None:
        assert [offset for _, offset in await self.order(one_by_one)] == [0, 1, 2, 3]

    async def test_gathered_keys_run_beside_each_other_and_keep_theirs(self) -> None:
        assert await self.order(gathered) == [(b"b", 1), (b"b", 3), (b"a", 0), (b"a", 2)]


class TestHandled:
    async def test_what_is_handled_once_and_in_order_is_accounted_for(self) -> None:
        handler = PlainHandler(Call(0.001, 0.001, {b"slow"}))
        for number, key in enumerate((b"a", b"slow", b"a")):
            await handler.handle(event(key, number))
        assert (handler.done, handler.done_slow, handler.done_fast) == (3, 1, 2)
        assert handler.handler_ms > 0
        check_handled([handler.account()], {0: 3})

    async def test_who_hurries_waits_no_more(self) -> None:
        handler = PlainHandler(Call(3600.0, 3600.0, {b"slow"}))
        handler.hurry()
        async with asyncio.timeout(10):
            await handler.handle(event(b"a", 0))
            await handler.handle(event(b"slow", 1))
        assert handler.done == 2

    @pytest.mark.parametrize("offsets", [(0, 0), (1, 0)])
    async def test_twice_or_out_of_order_is_a_failure(self, offsets: tuple[int, int]) -> None:
        handler = PlainHandler(Call(0.0))
        for offset in offsets:
            await handler.handle(event(b"a", offset))
        with pytest.raises(CheckFailed, match="twice or out of the order"):
            handler.account()

    async def test_what_began_and_did_not_end_is_a_failure(self) -> None:
        handler = PlainHandler(Call(3600.0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await handler.handle(event(b"a", 0))
        with pytest.raises(CheckFailed, match="1 events began, and 0 ended"):
            handler.account()

    def test_two_processes_are_added_up(self) -> None:
        check_handled([Handling(2, {0: 1}), Handling(3, {0: 5, 1: 0})], {0: 4, 1: 1})

    @pytest.mark.parametrize(
        ("handling", "told"),
        [
            (Handling(3, {0: 3}), "3 events were handled, but 4 are committed"),
            (Handling(4, {0: 7}), "sum up to 7, not to 6"),  # one lost, one beyond what is committed
        ],
    )
    def test_lost_or_not_committed_is_a_failure(self, handling: Handling, told: str) -> None:
        with pytest.raises(CheckFailed, match=told):
            check_handled([handling], {0: 4})


def samples(*, many: float = 48_000.0) -> list[Sample]:
    """One round: `many` is the engine's rate with 1,000 at once."""
    rates = {cell.name: 90.0 * max(1.0, 10 / (cell.latency_ms or 0.1)) for cell in (*lift.QUICK, *lift.BARRED)}
    rates |= {cell.name: many for cell in lift.BARRED if cell.system == "engine"}
    return [
        Sample(name, 0, {"events_per_s": rate, "fast_per_s": rate * 0.9, "handler_ms": 10.2})
        for name, rate in rates.items()
    ]


class TestFindings:
    def test_bars_are_reached_or_missed_as_the_samples_say(self) -> None:
        bars = {bar.name: bar for bar in lift.findings(samples(), 1_000).bars}
        times = bars["10 ms, C=1,000: times one after another"]
        assert times.value == pytest.approx(48_000 / 90)
        assert (times.reached, times.goal_reached) == (True, False)
        assert bars["10 ms, one after another: of 1 / (latency + 0.5 ms)"].value == pytest.approx(90 * 0.0105)
        missed = lift.findings(samples(many=30_000.0), 1_000).bars
        assert not next(bar for bar in missed if bar.name == times.name).reached

    def test_plots_and_notes_hold_what_there_is(self) -> None:
        found = lift.findings(samples(), 1_000)
        assert [plot.name for plot in found.plots] == ["rates", "times"]  # nothing was measured over Zipf's keys
        assert "engine C=1,000" in [line.name for line in found.plots[0].lines]
        assert any("1.02" in note for note in found.notes)
