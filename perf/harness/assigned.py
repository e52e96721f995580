"""When a worker holds its partitions: what it did before belongs to no measurement."""

import asyncio

from engine import Engine

LOOK_S = 0.02
ASSIGNED_MAX_S = 120.0
"""Longer than any rebalance takes: then another worker is missing."""


async def until_assigned(engine: Engine, partitions: int = 1) -> None:
    """Returns when it holds exactly so many, and each has begun: it reads, unless it was paused.

    Raises:
        TimeoutError: that does not happen.
    """
    async with asyncio.timeout(ASSIGNED_MAX_S):
        while not _holds(engine, partitions):  # noqa: ASYNC110 - it rings no bell
            await asyncio.sleep(LOOK_S)


def _holds(engine: Engine, partitions: int) -> bool:
    found = engine.statistics().partitions
    return len(found) == partitions and all(each.position is not None for each in found)
