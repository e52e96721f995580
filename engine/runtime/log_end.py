"""What the records of a partition may claim of the days to come.

Read to its end: nothing that is still to come arrived before yesterday.

Identities are forgotten by the arrival day that a slice has reached, and where nothing arrives only the clock moves it.
So the clock is read, *then* the log is asked for its end: what a fetch saw may be older than a pause of this process.
Costs one question a partition and day.
"""

import anyio

from engine.errors import Unanswered
from engine.notice import Tell, notice
from engine.ports import Clock, Log
from engine.runtime.fetch import Assigned
from engine.runtime.partition import Partition


class LogEnd:
    """`run` it in a task."""

    def __init__(self, log: Log, clock: Clock, partitions: Assigned, *, interval_s: float, tell: Tell) -> None:
        self._log = log
        self._clock = clock
        self._partitions = partitions
        self._interval_s = interval_s
        self._tell = tell

    async def run(self) -> None:
        while True:
            await anyio.sleep(self._interval_s)
            for partition in list(self._partitions.values()):
                await self._look(partition)
            await self._count()

    async def _look(self, partition: Partition) -> None:
        ledger, clock_ms = partition.ledger, self._clock.now_ms()
        if ledger is None or ledger.ended or not ledger.day_may_rise(clock_ms):
            return
        seen = self._log.high_watermark(partition.number)
        if seen is None or ledger.position < seen:
            return
        try:
            end = await self._log.end(partition.number)
        except Unanswered as error:
            text = f"partition {partition.number}: the log's end is not known: {error}"
            self._tell(notice("log.unanswered", text, partition=partition.number))
            return
        if ledger.position >= end:
            ledger.at_end(clock_ms)

    async def _count(self) -> None:
        """A day is claimed once the topic's partitions were counted after it was known: one more may hold older events.

        Costs a question a day, for all partitions of this process.
        """
        days = {}
        for partition in self._partitions.values():
            ledger = partition.ledger
            if ledger is not None and (day := ledger.uncounted_day()) is not None:
                days[ledger] = day
        if not days:
            return
        try:
            partitions = await self._log.count_partitions()
        except Unanswered as error:
            self._tell(notice("log.unanswered", f"the number of partitions is not known: {error}"))
            return
        for ledger, day in days.items():
            ledger.counted(day, partitions)
