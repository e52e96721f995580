"""What the state must hold after several logs, of some customers exactly and of all of them as a count.

Pure. A state of a million customers that grows segment by segment is compared after each: going through all logs every
time would take longer than the measurement, so what is expected is carried along.
"""

from collections.abc import Mapping

import msgspec

from perf.harness.usage import SCALE, TokenUsage, Usage, UsageLog, hour_of

Cells = Mapping[tuple[int, str], int]
"""By start of the hour and model, as the state holds them."""

SAMPLED_MAX = 500
NAME_AT = len(b"customer-")


class Expectation:
    """`keys`: how many customers the logs have at most; every so many of them is followed, the first among them."""

    def __init__(self, keys: int, *, sampled_max: int = SAMPLED_MAX) -> None:
        self._step = max(1, keys // sampled_max)
        self._cells: dict[bytes, dict[tuple[int, str], int]] = {}
        self.events = 0
        self.start_s = 0
        """Of the month that the totals are of."""

    @property
    def cells(self) -> Mapping[bytes, Cells]:
        """Of the customers that are followed."""
        return self._cells

    def add(self, log: UsageLog) -> None:
        """These records were produced, after all before. Raises ValueError: it may hold duplicates."""
        if log.duplicates:
            raise ValueError("a log with duplicates cannot be followed record by record")
        decode, step = msgspec.json.Decoder(Usage).decode, self._step
        for key, value in log.records():
            if int(key[NAME_AT:]) % step == 0:
                usage = decode(value)
                cells = self._cells.setdefault(key, {})
                place = hour_of(usage.time), usage.model
                cells[place] = cells.get(place, 0) + usage.tokens * SCALE
        self.events += log.events
        self.start_s = TokenUsage(log).period.start_s
