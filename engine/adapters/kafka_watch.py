"""Sees when a consumer hangs: a partition that stands still though its log holds more.

aiokafka is known to stop delivering without an error (its issues 847, 1037 and 1101). No single look tells that from a
log's end or a slow answer, so it takes two: the log, asked over the same client, holds events past the position, and
half of `STALL_S` later it still does and the position is the same. Where the servers do not answer, nothing is known
and nothing is done. What an open transaction holds back is not counted as held by the log.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

STALL_S = 30.0
"""A partition that is asked for all the time and stands still for longer, with events to come, is taken for hanging."""

StableEnds = Callable[[Mapping[int, int]], Awaitable[Mapping[int, int]]]
"""From positions to the ends of what can be read now, as far as the servers say. Raises Unanswered."""


@dataclass(slots=True)
class _Stand:
    position: int
    looked_s: float
    behind: bool = False
    """The last look showed that the log holds more."""


class StallWatch:
    """`look` at it before every fetch, with the partitions that are fetched; times are of one monotonic clock."""

    def __init__(self, stable_ends: StableEnds, *, stall_s: float = STALL_S) -> None:
        self._stable_ends = stable_ends
        self._look_again_s = stall_s / 2
        self._stands: dict[int, _Stand] = {}

    async def look(self, positions: Mapping[int, int], now_s: float) -> Sequence[int]:
        """The partitions that hang. Raises Unanswered where the servers were asked and did not say."""
        stands = self._stands
        self._stands = {
            partition: stand
            if (stand := stands.get(partition)) is not None and stand.position == position
            else _Stand(position, now_s)
            for partition, position in positions.items()
        }
        due = {
            partition: stand
            for partition, stand in self._stands.items()
            if now_s - stand.looked_s >= self._look_again_s
        }
        if not due:
            return ()
        for stand in due.values():
            stand.looked_s = now_s  # also where nobody answers: asked again later, not at once
        ends = await self._stable_ends({partition: stand.position for partition, stand in due.items()})
        hanging = []
        for partition, stand in due.items():
            behind = ends.get(partition, stand.position) > stand.position
            if behind and stand.behind:
                hanging.append(partition)
            stand.behind = behind
        return hanging
