"""`perf skew` under a small load: both kinds give figures of the others, and a lost or doubled event gives none."""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import pytest

from engine import Counts, Event
from perf.harness import skewed
from perf.harness.checks import CheckFailed
from perf.harness.fresh import SeenTokenUsage
from perf.harness.servers import Servers, running
from perf.harness.skewed import Load, aggregates, handlers

LOAD = Load(others_per_s=100.0, hot=0.5, seconds=1.0)
names = map("skew-{}".format, count())


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with running("embedded") as started:
        yield started


@pytest.mark.parametrize("kind", [handlers, aggregates])
async def test_the_others_are_judged(servers: Servers, kind: Any) -> None:
    figures = await kind(servers=servers, name=next(names), load=LOAD)

    assert figures["sent"] == LOAD.log.events
    assert 50 < figures["others"] < 150  # of 100 in the second that is judged
    assert figures["others_p99_ms"] > 0
    assert figures["hot_p99_ms"] > 0


async def test_a_handler_that_is_given_an_event_twice_gives_no_figures(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def twice(self: Any, event: Event) -> None:
        await handle(self, event)
        if event.offset == 100:
            await handle(self, event)

    handle = skewed.TimedHandler.handle
    monkeypatch.setattr(skewed.TimedHandler, "handle", twice)
    with pytest.raises(CheckFailed, match="came twice"):
        await handlers(servers=servers, name=next(names), load=LOAD)


async def test_aggregates_that_count_an_event_wrongly_give_no_figures(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Generous(SeenTokenUsage):
        def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
            return [
                Counts(answer.identity, ((answer.adds[0][0], 1),), answer.period) if event.offset == 100 else answer
                for event, answer in zip(events, super().prepare(key, events), strict=True)
            ]

    monkeypatch.setattr(skewed, "SeenTokenUsage", Generous)
    with pytest.raises(CheckFailed, match="was expected"):
        await aggregates(servers=servers, name=next(names), load=LOAD)
