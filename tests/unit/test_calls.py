"""Calls under watch, in virtual time: what is late is cancelled then, and nothing else is."""

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import pytest

from engine.runtime.calls import Calls
from engine.sim.loop import run


async def call(calls: Calls, user_code: Callable[[], Awaitable[object]], timeout_s: float) -> str:
    """How it ended, and when."""
    loop = asyncio.get_running_loop()
    watch = calls.watch()
    watch.begin(loop.time(), timeout_s)
    try:
        await user_code()
        how = "returned late" if watch.ended() else "returned"
    except asyncio.CancelledError:
        if not watch.ended():
            raise
        how = "cancelled"
    finally:
        calls.release(watch)
    return f"{how} at {loop.time():g}"


def sleeping(seconds: float) -> Callable[[], Awaitable[object]]:
    return lambda: asyncio.sleep(seconds)


def together(*each: tuple[float, float]) -> list[str]:
    """Calls of so many seconds, with such timeouts, begun at once."""

    async def scenario() -> list[str]:
        calls = Calls()
        async with asyncio.TaskGroup() as tasks:
            made = [tasks.create_task(call(calls, sleeping(seconds), timeout_s)) for seconds, timeout_s in each]
        assert len(calls) == 0
        return [task.result() for task in made]

    return run(scenario)


def test_each_deadline_is_kept_whatever_the_order_in_which_calls_begin() -> None:
    assert together((1, 5), (9, 5), (9, 2), (3, 4), (9, 7)) == [
        "returned at 1", "cancelled at 5", "cancelled at 2", "returned at 3", "cancelled at 7",
    ]  # fmt: skip


def test_a_deadline_is_of_one_call_and_not_of_the_turn() -> None:
    """Guards `Watch.begin`: the calls of a turn follow each other under one watch."""

    async def scenario() -> None:
        calls = Calls()
        watch = calls.watch()
        for _ in range(10):
            watch.begin(asyncio.get_running_loop().time(), 2.0)
            await asyncio.sleep(1.5)
            assert not watch.ended()
        await asyncio.sleep(100)  # between calls nothing is late
        calls.release(watch)

    run(scenario)


def test_somebody_elses_cancellation_is_not_taken_for_the_deadline() -> None:
    """Guards the count of requests in `Watch.ended`: the task goes on ending."""

    async def scenario() -> None:
        calls = Calls()
        late = asyncio.Event()

        async def user_code() -> None:
            try:
                await asyncio.sleep(10)
            finally:
                late.set()
                await asyncio.sleep(1)  # cleans up while the second request comes

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(call(calls, user_code, 2.0))
            await late.wait()
            task.cancel()
        assert task.cancelled()
        assert len(calls) == 0

    run(scenario)


def test_a_call_that_ends_well_though_it_was_cancelled_leaves_its_task_whole() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(1)

    async def scenario() -> None:
        calls = Calls()
        assert await call(calls, stubborn, 2.0) == "returned late at 3"
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert await call(calls, sleeping(1), 2.0) == "returned at 4"

    run(scenario)


def test_all_are_cancelled_and_waited_for() -> None:
    async def cleans_up() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(3)

    async def scenario() -> None:
        calls = Calls()
        async with asyncio.TaskGroup() as tasks:
            made = [tasks.create_task(call(calls, code, 50)) for code in (sleeping(100), cleans_up)]
            await asyncio.sleep(1)
            calls.cancel_all()
            calls.cancel_all()  # asks nobody twice
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await calls.all_ended()
            await calls.all_ended()
            assert asyncio.get_running_loop().time() == 4
        assert [task.result() for task in made] == ["cancelled at 1", "cancelled at 4"]
        await calls.all_ended()

    run(scenario)


def test_a_cancel_scope_of_user_code_works_as_ever() -> None:
    async def bounded() -> None:
        with anyio.move_on_after(1):
            await anyio.sleep(10)

    async def scenario() -> None:
        assert await call(Calls(), bounded, 5) == "returned at 1"

    run(scenario)
