"""When the next call goes, and what it takes."""

from types import SimpleNamespace
from typing import Any

import anyio

from engine.state.ready import PATIENCE_S, Ready
from engine.state.slices import Stage

CALL_EVENTS_MAX = 40
LEAST = 10


def slice_of(events: int, *, ended: bool = False) -> Any:
    """A slice with so many gathered events; one without any is only compared."""
    return SimpleNamespace(
        stage=Stage.IDLE,
        epoch=SimpleNamespace(ended=ended),
        gathered=[None] * events,
        batch=[],
        has_work=events > 0,
        owes=False,
        record_would_change=lambda: False,
        take=lambda room: min(events, room),
        looked_s=0.0,
    )


async def taken(ready: Ready) -> tuple[list[Any], list[Any]] | None:
    """What the next call takes; None: it waits."""
    with anyio.move_on_after(PATIENCE_S / 4):
        return await ready.next_call()
    return None


async def test_whole_slices_share_a_call_until_it_is_full() -> None:
    ready = Ready(CALL_EVENTS_MAX, apart=False)
    first, looked, second, third = slices = slice_of(20), slice_of(0), slice_of(15), slice_of(5)
    for own in (slice_of(3, ended=True), *slices):
        ready.add(own)
    assert await taken(ready) == ([first, second], [looked])
    assert first.stage is looked.stage is Stage.IN_FLIGHT
    assert third.stage is Stage.QUEUED, "what is left of the call is less than a slice should get"
    assert await taken(ready) == ([third], [])
    assert await taken(ready) is None


async def test_a_small_call_waits_for_the_one_under_way() -> None:
    ready = Ready(CALL_EVENTS_MAX, apart=False)
    ready.add(slice_of(1))
    assert await taken(ready)
    with ready.under_way():
        own = slice_of(LEAST - 1)
        ready.add(own)
        assert await taken(ready) is None
    assert await taken(ready) == ([own], [])


async def test_one_that_is_large_enough_does_not_wait() -> None:
    ready = Ready(CALL_EVENTS_MAX, apart=False)
    ready.add(slice_of(1))
    assert await taken(ready)
    with ready.under_way():
        slices = [slice_of(LEAST - 1), slice_of(1)]
        for own in slices:
            ready.add(own)
        assert await taken(ready) == (slices, [])


async def test_nor_does_one_whose_patience_has_run_out() -> None:
    """Or a call that is never answered would hold back everything else."""
    ready = Ready(CALL_EVENTS_MAX, apart=False)
    ready.add(slice_of(1))
    assert await taken(ready)
    with ready.under_way():
        own = slice_of(1)
        ready.add(own)
        assert await taken(ready) is None
        await anyio.sleep(PATIENCE_S)
        ready.look_again()
        assert await taken(ready) == ([own], [])


async def test_in_a_cluster_nothing_waits() -> None:
    ready = Ready(CALL_EVENTS_MAX, apart=True)
    with ready.under_way():
        own = slice_of(1)
        ready.add(own)
        assert await taken(ready) == ([own], [])
