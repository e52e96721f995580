"""Runs a peer's program once: its line, checked, as figures."""

import asyncio
import subprocess
from collections.abc import Sequence

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from perf.peers.environment import ROOT
from perf.peers.outcome import PeerFailed, read
from perf.peers.program import Work
from perf.peers.totals import Cells

LASTS_MAX_S = 300.0


def run(command: Sequence[str], work: Work, expected: Cells | None = None) -> dict[str, float]:
    """Figures of a run in which nothing was lost, doubled or reordered, and everything was committed.

    Raises:
        CheckFailed: it was not so.
        PeerFailed: the program failed, or did not end.
    """
    try:
        done = subprocess.run(
            [*command, *work.arguments()], cwd=ROOT, capture_output=True, text=True, check=False, timeout=LASTS_MAX_S
        )
    except subprocess.TimeoutExpired as error:
        raise PeerFailed(f"{command[-1]} did not end within {LASTS_MAX_S:g} s") from error
    if done.returncode:
        raise PeerFailed(f"{command[-1]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    outcome = read(done.stdout)
    outcome.check(asyncio.run(committed(work)), expected)
    return outcome.figures()


async def committed(work: Work) -> int:
    """The group's offset, asked of the broker and not of the peer; -1 without one."""
    admin = AIOKafkaAdminClient(bootstrap_servers=work.bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(work.group)
    finally:
        await admin.close()
    found = offsets.get(TopicPartition(work.topic, 0))
    return -1 if found is None else int(found.offset)
