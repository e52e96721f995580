"""How far counting has come, from what can be seen of it: pure, no I/O.

Two things tell. The records in Redis are the truth, but a slice in which nothing moves writes its record only once
in a while. The workers' notices are newer, and worth nothing after a loss in Redis. So a notice counts as long as the
records never fell; where one did, only the records count until the workers have had time to notice.
"""

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

SAMPLES_MAX = 2_048
NOTICE_VALID_MS = 3_000
DISTRUST_MS = 3_000
"""How long notices are not believed after records fell: by then every worker has looked at its records again."""


class SliceProgress(Protocol):
    """One slice's record as the engine's read port gives it."""

    @property
    def bucket(self) -> int: ...
    @property
    def partition(self) -> int: ...
    @property
    def low(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def owing(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Notice:
    """What one worker says of itself; fields as on the workers' board."""

    worker: str
    time_ms: int
    content: Mapping[str, Any]

    @property
    def partitions(self) -> Sequence[Mapping[str, Any]]:
        return self.content.get("partitions") or ()

    def is_live(self, now_ms: int) -> bool:
        return now_ms - self.time_ms <= NOTICE_VALID_MS


class EndHistory:
    """When the end of a partition's log was where: tells the greatest age of what lies beyond an offset.

    Bounded: as it fills, every second of its older samples goes, which can only make an answer greater.
    """

    def __init__(self) -> None:
        self._ends: list[int] = []
        self._times_ms: list[int] = []

    @property
    def end(self) -> int | None:
        return self._ends[-1] if self._ends else None

    def add(self, time_ms: int, end: int) -> None:
        """`time_ms`: the wall clock before the log was asked."""
        if self._ends and end < self._ends[-1]:
            self._ends, self._times_ms = [], []  # the log was cut: what was known of it is void
        if self._ends and end == self._ends[-1]:
            self._times_ms[-1] = max(time_ms, self._times_ms[-1])
            return
        self._ends.append(end)
        self._times_ms.append(time_ms)
        if len(self._ends) > SAMPLES_MAX:
            half = SAMPLES_MAX // 2
            self._ends[:half] = self._ends[:half:2]
            self._times_ms[:half] = self._times_ms[:half:2]

    def age_ms(self, offset: int, now_ms: int) -> int | None:
        """An upper bound for the age of everything at or past `offset`; 0 if that is the end, None if not known."""
        if self.end is None:
            return None
        if offset >= self.end:
            return 0
        index = bisect_right(self._ends, offset) - 1
        return max(0, now_ms - self._times_ms[index]) if index >= 0 else None


@dataclass(slots=True)
class PartitionTrack:
    """Everything known of one partition."""

    number: int
    ends: EndHistory = field(default_factory=EndHistory)
    lows: dict[int, int] = field(default_factory=dict)
    """bucket -> the lowest offset that is not known to be in the state."""
    positions: dict[int, int] = field(default_factory=dict)
    owing: bool = False
    distrusted_until_ms: int = 0
    notice: Mapping[str, Any] | None = None
    worker: str | None = None
    beginning_ms: tuple[int, int] | None = None
    """(offset, arrival of the event there), for lags that are older than the samples."""

    def see_records(self, slices: Iterable[SliceProgress], now_ms: int) -> None:
        fell = False
        owing = False
        for part in slices:
            fell = fell or part.position < self.positions.get(part.bucket, 0)
            owing = owing or part.owing
            self.lows[part.bucket] = part.low
            self.positions[part.bucket] = part.position
        self.owing = owing
        if fell:
            self.distrusted_until_ms = now_ms + DISTRUST_MS

    def see_notice(self, worker: str, notice: Mapping[str, Any]) -> None:
        self.worker, self.notice = worker, notice

    def _noticed(self, now_ms: int) -> int | None:
        if self.notice is None or now_ms < self.distrusted_until_ms:
            return None
        watermark = self.notice.get("watermark")
        return watermark if isinstance(watermark, int) else None

    def watermark(self, now_ms: int) -> int | None:
        """Everything below is in Redis and its alerts are acknowledged; None if nobody can say."""
        noticed = self._noticed(now_ms)
        if noticed is not None:
            return noticed
        if self.owing and now_ms >= self.distrusted_until_ms:
            return None
        return min(self.lows.values(), default=None)

    def counted_up_to(self, bucket: int, now_ms: int) -> int:
        """Every event of `bucket` below this offset is in the state."""
        return max(self.lows.get(bucket, 0), self._noticed(now_ms) or 0)

    def lag_ms(self, offset: int, now_ms: int) -> int | None:
        """The greatest age of what lies at or past `offset`; None if not known."""
        age_ms = self.ends.age_ms(offset, now_ms)
        if age_ms is None and self.beginning_ms is not None and self.beginning_ms[0] <= offset:
            return max(0, now_ms - self.beginning_ms[1])
        return age_ms


class Tracks:
    """All partitions of the topic."""

    def __init__(self) -> None:
        self.partitions: dict[int, PartitionTrack] = {}
        self.notices: tuple[Notice, ...] = ()

    def see_ends(self, time_ms: int, ends: Mapping[int, int]) -> None:
        for number, end in ends.items():
            self._track(number).ends.add(time_ms, end)

    def see_records(self, slices: Iterable[SliceProgress], now_ms: int) -> None:
        ordered = sorted(slices, key=lambda part: part.partition)
        for number, parts in itertools.groupby(ordered, key=lambda part: part.partition):
            self._track(number).see_records(parts, now_ms)

    def see_notices(self, notices: Iterable[Notice], now_ms: int) -> None:
        """Replaces all notices; where two workers name a partition, the newer word counts."""
        self.notices = tuple(
            sorted((notice for notice in notices if notice.is_live(now_ms)), key=lambda one: one.time_ms)
        )
        self._hand_out()

    def drop_old_notices(self, now_ms: int) -> None:
        """A board that cannot be read does not keep its last notices alive."""
        if not all(notice.is_live(now_ms) for notice in self.notices):
            self.see_notices(self.notices, now_ms)

    def _hand_out(self) -> None:
        for track in self.partitions.values():
            track.notice = track.worker = None
        for notice in self.notices:
            for partition in notice.partitions:
                self._track(int(partition["partition"])).see_notice(notice.worker, partition)

    def lag_ms(self, bucket: int | None, now_ms: int) -> int | None:
        """The greatest age of an accepted event that is not yet in the state (of `bucket`); None if not known."""
        greatest = 0
        for track in self.partitions.values():
            reached = track.watermark(now_ms) if bucket is None else track.counted_up_to(bucket, now_ms)
            age_ms = None if reached is None else track.lag_ms(reached, now_ms)
            if age_ms is None:
                return None
            greatest = max(greatest, age_ms)
        return greatest if self.partitions else None

    def unknown(self, now_ms: int) -> list[tuple[int, int]]:
        """(partition, offset) whose age the samples can't tell: the log has to be asked when that event arrived."""
        asked = []
        for track in self.partitions.values():
            low = min(track.lows.values(), default=None)
            if low is not None and track.lag_ms(low, now_ms) is None and track.ends.end is not None:
                asked.append((track.number, low))
        return asked

    def _track(self, number: int) -> PartitionTrack:
        track = self.partitions.get(number)
        if track is None:
            track = self.partitions[number] = PartitionTrack(number)
        return track
