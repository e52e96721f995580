"""Worker processes of one group: started, stopped, killed; and who has which partition, as their own board says."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
import msgspec

from engine import board_of
from engine.adapters.redis import RedisServer
from engine.embedded.process import Supervisor
from perf.harness.member import Membership
from perf.harness.pauses import Owners
from perf.harness.steady import NotSteady

ROOT = Path(__file__).parents[2]
SETTLE_S = 45.0
"""So long a group may take to agree again."""
EXIT_S = 30.0
LOOK_S = 0.05
LOG_TAIL_BYTES = 2_000


class _Partition(msgspec.Struct):
    partition: int
    state: str


class _Notice(msgspec.Struct):
    worker: str
    time_ms: int
    partitions: list[_Partition]


class Fleet:
    """Workers that differ only in name. `membership`: of whom the others are copies."""

    def __init__(self, supervisor: Supervisor, board: RedisServer, membership: Membership, partitions: int) -> None:
        self._supervisor = supervisor
        self._board = board
        self._membership = membership
        self._partitions = partitions
        self._pids: dict[str, int] = {}
        self._changed_ms = 0

    def start(self, name: str) -> None:
        text = msgspec.json.encode(msgspec.structs.replace(self._membership, name=name)).decode()
        command = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "perf.harness.member", text]
        self._pids[name] = self._supervisor.start(command, self._log(name))
        self._changed_ms = _now_ms()

    async def end(self, name: str, signal_number: int) -> None:
        """Sends the signal; returns when the process is gone. Raises TimeoutError."""
        self._changed_ms = _now_ms()
        pid = self._pids.pop(name)
        os.kill(pid, signal_number)
        async with asyncio.timeout(EXIT_S):
            while self._supervisor.exit_code(pid) is None:  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(LOOK_S)

    async def end_all(self) -> None:
        """Gracefully, all at once. Raises TimeoutError."""
        async with asyncio.TaskGroup() as tasks:
            for name in list(self._pids):
                tasks.create_task(self.end(name, signal.SIGTERM))

    async def settled(self) -> Owners:
        """Who has which partition once all are read and every worker has some, by what they said since the last change.

        Raises:
            NotSteady: a worker ended, or they do not come to terms in time.
        """
        end_s = time.monotonic() + SETTLE_S
        while (owners := await self._owners()) is None:
            for name, pid in self._pids.items():
                if (code := self._supervisor.exit_code(pid)) is not None:
                    raise NotSteady(f"worker {name} ended with {code}:\n{self._tail(name)}")
            if time.monotonic() > end_s:
                raise NotSteady(f"{len(self._pids)} workers did not share the partitions within {SETTLE_S:g} s")
            await asyncio.sleep(LOOK_S)
        return owners

    async def _owners(self) -> Owners | None:
        posted = await self._board.posted(board_of(self._membership.group))
        decode = msgspec.json.Decoder(_Notice).decode
        notices = [decode(text) for name, text in posted.items() if name in self._pids]
        if len(notices) < len(self._pids) or any(each.time_ms <= self._changed_ms for each in notices):
            return None
        held = [
            (part.partition, each.worker) for each in notices for part in each.partitions if part.state == "running"
        ]
        owners = dict(held)
        complete = len(held) == len(owners) == self._partitions and set(owners.values()) == self._pids.keys()
        return owners if complete else None

    def _log(self, name: str) -> Path:
        return self._supervisor.folder / f"{name}.log"

    def _tail(self, name: str) -> str:
        return self._log(name).read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


@asynccontextmanager
async def fleet(membership: Membership, names: list[str], *, partitions: int) -> AsyncIterator[Fleet]:
    """All share the partitions when the block begins, and have left when it ends. Raises NotSteady, TimeoutError."""
    supervisor = await anyio.to_thread.run_sync(Supervisor, "fleet")
    board = RedisServer(membership.redis_url, writers=1)
    try:
        running = Fleet(supervisor, board, membership, partitions)
        for name in names:
            running.start(name)
        await running.settled()
        yield running
        await running.end_all()
    finally:
        with anyio.CancelScope(shield=True):
            await board.close()
            await anyio.to_thread.run_sync(supervisor.close)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
