"""A load that leaves its last record out: what a measurement must notice."""

from typing import Any

from perf.harness import open_loop


async def drive(*, bootstrap: str, topic: str, log: Any, schedule: open_loop.Schedule) -> dict[str, float]:
    """As `open_loop.drive`."""
    return await open_loop.drive(
        bootstrap=bootstrap, topic=topic, log=log._replace(events=log.events - 1), schedule=schedule
    )
