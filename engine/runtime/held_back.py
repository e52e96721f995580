"""What holds a partition back, told again and again while its watermark stands still although there is work."""

from collections.abc import Callable

import anyio

from engine.notice import Tell, notice, shortened
from engine.runtime.settings import Settings
from engine.runtime.statistics import HeldBack, PartitionStatistics, Statistics


class HeldBackWatch:
    """`run` it in a task: a notice a partition, every `held_back_interval_s`."""

    def __init__(self, settings: Settings, statistics: Callable[[], Statistics], tell: Tell) -> None:
        self._settings = settings
        self._statistics = statistics
        self._tell = tell
        self._stood: dict[int, int | None] = {}
        """The watermarks of the last look, of partitions that something held back then."""

    async def run(self) -> None:
        while True:
            await anyio.sleep(self._settings.config.held_back_interval_s)
            self.look()

    def look(self) -> None:
        """Tells of every partition that was held back at the last look and has not moved since."""
        stood, self._stood = self._stood, {}
        for partition in self._statistics().partitions:
            held = partition.held_back_by
            if held is None:
                continue
            self._stood[partition.partition] = partition.watermark
            if partition.partition in stood and stood[partition.partition] == partition.watermark:
                self._say(partition, held)

    def _say(self, partition: PartitionStatistics, held: HeldBack) -> None:
        name, reason = f"partition {partition.partition}", shortened(held.reason)
        text = f"{name} is held back at offset {held.offset}, key {held.key_hash or '-'}, "
        text += f"{held.age_s:.0f} s old, {held.attempts} attempts: {reason}"
        self._tell(
            notice(
                "held_back", text, partition=partition.partition, offset=held.offset, key_hash=held.key_hash,
                age_s=round(held.age_s, 3), attempts=held.attempts, reason=reason, in_flight=partition.in_flight,
            )
        )  # fmt: skip
