"""keylane: a plain handler, through the public API and with its settings as they are."""

import asyncio

import anyio
import uvloop

from engine import Event
from engine.run import Process, run_handler
from perf.peers.lifting import Lift
from perf.peers.program import Work, say, told


async def run(work: Work) -> Lift:
    lift, stop = Lift(work), anyio.Event()

    async def handle(event: Event) -> None:
        await lift.handle(event.key or b"", event.offset, event.value or b"")

    async def stop_at_the_end() -> None:
        await lift.watch()
        stop.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stop_at_the_end())
        await run_handler(
            handle,
            kafka=work.bootstrap,
            topic=work.topic,
            group=work.group,
            settings={"concurrency": work.concurrency},
            process=Process(stop=stop, log_level="warning"),
        )
    return lift


if __name__ == "__main__":
    say(uvloop.run(run(told())).tally.line())
