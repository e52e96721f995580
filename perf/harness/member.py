"""A worker of a group as a process of its own: `python -m perf.harness.member SETTINGS`, with the settings as JSON.

It counts token usage until SIGTERM; then it drains, commits and leaves.
"""

import asyncio
import gc
import signal
import sys

import msgspec
import uvloop

from perf.harness.isolated import GC_THRESHOLDS
from perf.harness.usage import TokenUsage, UsageLog
from perf.harness.worker import worker


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is the worker's; with `static` it comes back as the same member after a restart."""

    bootstrap: str
    redis_url: str
    topic: str
    group: str
    name: str
    buckets: int
    session_s: float
    static: bool = False


async def count(membership: Membership) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with worker(
        membership.bootstrap, membership.topic, membership.group, redis_url=membership.redis_url,
        processor=TokenUsage(UsageLog(0, 1)), name=membership.name, buckets=membership.buckets,
        session_s=membership.session_s, instance_id=membership.name if membership.static else None,
    ):  # fmt: skip
        await stopped.wait()


def main() -> None:
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    uvloop.run(count(msgspec.json.decode(sys.argv[1], type=Membership)))


if __name__ == "__main__":
    main()
