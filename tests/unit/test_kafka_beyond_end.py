"""When a position past the log's end is an error: only when the broker itself goes on saying so."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from engine.adapters import kafka_fetch
from engine.adapters.kafka_fetch import RecordFetcher
from engine.ports import OffsetOutOfRange

WITHIN_S = 0.05


@pytest.fixture
def state() -> SimpleNamespace:
    """As after a broker's restart, in its first answer: the position is past the high watermark of that moment."""
    return SimpleNamespace(position=100, highwater=0, timestamp=1, has_valid_position=True)


@pytest.fixture
def fetcher(state: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> RecordFetcher:
    monkeypatch.setattr(kafka_fetch, "BEYOND_END_S", WITHIN_S)
    consumer: Any = SimpleNamespace()
    found = RecordFetcher(consumer, "usage")
    monkeypatch.setattr(found, "_state", lambda _: state)
    return found


async def test_an_answer_of_before_is_no_evidence_however_old_it_gets(fetcher: RecordFetcher) -> None:
    fetcher._check_inside(0)
    await asyncio.sleep(2 * WITHIN_S)
    fetcher._check_inside(0)


async def test_two_answers_right_after_each_other_are_none_either(
    fetcher: RecordFetcher, state: SimpleNamespace
) -> None:
    fetcher._check_inside(0)
    state.timestamp = 2
    fetcher._check_inside(0)
    await asyncio.sleep(2 * WITHIN_S)
    fetcher._check_inside(0)


async def test_who_still_answers_so_later_is_believed(fetcher: RecordFetcher, state: SimpleNamespace) -> None:
    fetcher._check_inside(0)
    await asyncio.sleep(2 * WITHIN_S)
    state.timestamp = 2
    with pytest.raises(OffsetOutOfRange):
        fetcher._check_inside(0)


async def test_an_end_that_is_reached_again_begins_anew(fetcher: RecordFetcher, state: SimpleNamespace) -> None:
    fetcher._check_inside(0)
    state.highwater, state.timestamp = 100, 2
    fetcher._check_inside(0)
    await asyncio.sleep(2 * WITHIN_S)
    state.highwater, state.timestamp = 0, 3
    fetcher._check_inside(0)
