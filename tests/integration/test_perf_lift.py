"""`perf lift` on a small log: every system gives figures, and one that loses or doubles an event gives none."""

from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

import pytest

from engine import Event
from perf.harness import lifting
from perf.harness.checks import CheckFailed
from perf.harness.lifting import Cell, Window, lift
from perf.harness.loops import gathered
from perf.harness.produce import produce
from perf.harness.servers import Servers, running
from perf.harness.usage import UsageLog
from perf.harness.worker import worker

EVENTS = 40_000
TOPIC = "lift"
WINDOW = Window(events_max=30_000, window_s=0.5, least_s=0.01, least_events=1)
groups = map("group-{}".format, count())


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with running("embedded") as started:
        produce(started.bootstrap, TOPIC, UsageLog(EVENTS, 1_000))
        yield started


@pytest.mark.parametrize(
    "cell",
    [
        Cell("engine", 1, 100),
        Cell("engine", 1, 100, slow_s=0.2),
        Cell("sequential", 1),
        Cell("gather", 1, 100),
        Cell("getmany", 0),
    ],
    ids=lambda cell: cell.name,
)
async def test_a_system_that_handles_everything_gives_figures(servers: Servers, cell: Cell) -> None:
    figures = await lift(servers, TOPIC, next(groups), cell=cell, window=WINDOW)

    assert figures["events"] > 0
    assert figures["events_per_s"] > 0
    assert figures["worker_us"] > 0


async def test_a_loop_that_leaves_an_event_out_gives_none(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forgetful(handle: Any, records: Any) -> None:
        await gathered(handle, records[1:])

    monkeypatch.setattr(lifting, "gathered", forgetful)
    with pytest.raises(CheckFailed, match="events were handled, but"):
        await lift(servers, TOPIC, next(groups), cell=Cell("gather", 1, 100), window=WINDOW)


async def test_an_engine_that_hands_an_event_over_twice_gives_none(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuttering(*places: str, handler: Any, **settings: Any) -> Any:
        async def twice(handler: Any, event: Event) -> None:
            await handler(event)
            if event.offset == 100:
                await handler(event)

        return worker(*places, handler=partial(twice, handler), **settings)

    monkeypatch.setattr(lifting, "worker", stuttering)
    with pytest.raises(CheckFailed, match=r"1 of \d+ events came twice"):
        await lift(servers, TOPIC, next(groups), cell=Cell("engine", 1, 100), window=WINDOW)
