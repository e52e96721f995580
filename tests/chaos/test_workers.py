"""Workers that are restarted, killed and paused under load: nothing is lost, order holds, and all comes to rest."""

import asyncio

import pytest

from tests.chaos.conftest import PARTITIONS
from tests.chaos.fleet import Fleet
from tests.chaos.topic import group_view

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

WORKERS = ("a", "b", "c")
PER_S = 200


async def test_a_rolling_restart_of_three_workers_over_eight_partitions(fleet: Fleet) -> None:
    """Trap 10."""
    await fleet.start(*WORKERS)
    async with asyncio.TaskGroup() as tasks:
        load = tasks.create_task(fleet.topic.produce_forever(PER_S))
        await fleet.until_shared(PARTITIONS)
        for name in WORKERS:
            await fleet.until_more_effects(100)
            await fleet.stop(name)
            await fleet.until_more_effects(100)
            await fleet.start(name)
            await fleet.until_shared(PARTITIONS)
        load.cancel()
    guarantees = await fleet.finish()
    assert guarantees.at_least_once.repeats == 0, "an orderly restart repeats nothing"


async def test_a_rolling_restart_of_static_members_moves_nothing(static_fleet: Fleet) -> None:
    """Within the session, as the group sees it, and as the other workers are told."""
    fleet = static_fleet
    await fleet.start(*WORKERS)
    async with asyncio.TaskGroup() as tasks:
        load = tasks.create_task(fleet.topic.produce_forever(PER_S))
        shared = await fleet.until_shared(PARTITIONS)
        await fleet.until_told(shared)
        told = _assignments(fleet)
        for name in WORKERS:
            await fleet.until_more_effects(100)
            await fleet.stop(name)
            assert await group_view(fleet.topic.kafka, fleet.group) == shared
            await fleet.start(name)
            await fleet.until_more_effects(100)
            assert await group_view(fleet.topic.kafka, fleet.group) == shared
        load.cancel()
    await fleet.finish()
    begun = {life.name for life in fleet.lives[len(WORKERS) :]}
    assert {name: count for name, count in _assignments(fleet).items() if name not in begun} == told
    assert {name: count for name, count in _assignments(fleet).items() if name in begun} == dict.fromkeys(begun, 1)


def _assignments(fleet: Fleet) -> dict[str, int]:
    """How often each life was assigned partitions."""
    story = fleet.story()
    return {
        life.name: sum((each.worker, each.what) == (life.name, "assigned") for each in story) for life in fleet.lives
    }


async def test_kills_one_after_another(fleet: Fleet) -> None:
    """What was done and not committed is done again, by whoever gets the partition."""
    await fleet.start(*WORKERS)
    async with asyncio.TaskGroup() as tasks:
        load = tasks.create_task(fleet.topic.produce_forever(PER_S))
        await fleet.until_shared(PARTITIONS)
        for name in WORKERS:
            await fleet.until_more_effects(100)
            await fleet.kill(name)
            await asyncio.sleep(1.0)
            await fleet.start(name)
        await fleet.until_shared(PARTITIONS)
        load.cancel()
    await fleet.finish()


async def test_a_worker_that_was_paused_past_its_session(fleet: Fleet) -> None:
    """Traps 14 and 15: another takes over; it wakes up as a zombie, writes nothing, and joins again by itself."""
    await fleet.start("a", "b")
    async with asyncio.TaskGroup() as tasks:
        load = tasks.create_task(fleet.topic.produce_forever(PER_S))
        await fleet.until_shared(PARTITIONS)
        await fleet.until_more_effects(100)
        fleet.pause("a")
        assert (await fleet.until_shared(PARTITIONS)).keys() == {"b"}
        await fleet.until_more_effects(100)
        fleet.resume("a")
        assert (await fleet.until_shared(PARTITIONS)).keys() == {"a", "b"}
        await fleet.until_more_effects(100)
        load.cancel()
    await fleet.finish()
    assert len(fleet.lives) == 2, "it went on without a restart"
