"""The workers' board: what each worker of a group says of itself, for people. Readers ignore old notices."""

from collections.abc import Callable
from dataclasses import asdict

import anyio
import orjson

from engine.errors import Unanswered
from engine.notice import Tell, notice
from engine.ports import StateServer
from engine.runtime.statistics import Statistics

RATE_OVER_S = 1.0
TAKE_DOWN_S = 2.0


def board_of(group: str) -> str:
    """The board's name: two groups on one Redis have one each."""
    return f"workers:{group}"


class Notices:
    """Posts the worker's statistics and its rate of events."""

    def __init__(self, state: StateServer, group: str, worker: str, interval_s: float) -> None:
        self._state = state
        self._board = board_of(group)
        self._worker = worker
        self._interval_s = interval_s

    async def post_forever(self, statistics: Callable[[], Statistics], written: Callable[[], int]) -> None:
        """`written`: events that were written since the start."""
        before, before_s, rate = written(), anyio.current_time(), 0.0
        while True:
            await anyio.sleep(self._interval_s)
            now_s = anyio.current_time()
            if now_s - before_s >= RATE_OVER_S:
                rate = (written() - before) / (now_s - before_s)
                before, before_s = written(), now_s
            shown = asdict(statistics()) | {"events_per_s": rate}
            try:
                await self._state.post(self._board, self._worker, orjson.dumps(shown))
            except Unanswered:
                continue  # the next notice says the same better

    async def take_down(self, tell: Tell) -> None:
        with anyio.move_on_after(TAKE_DOWN_S):
            try:
                await self._state.post(self._board, self._worker, None)
            except Unanswered as error:
                tell(notice("board.left", f"this worker's place on the board stays until readers find it old: {error}"))
