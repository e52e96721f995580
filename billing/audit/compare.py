"""What Redis says beside what the log says: every cell, every running total, every counter."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from billing.audit.folding import Address, Figure, Series, in_words, together
from billing.audit.recount import COUNTERS, BucketCount

DIFFERENCES_MAX = 20


@dataclass(frozen=True, slots=True)
class StoredKey:
    """All that Redis holds of a key, as of one moment. A series that cannot be read has `meter` = its raw name."""

    cells: Mapping[Address, Figure] = field(default_factory=dict)
    totals: Mapping[tuple[int, int], Mapping[Series, Figure]] = field(default_factory=dict)
    """By [start, end) in seconds since 1970."""


class Stored(NamedTuple):
    """All that Redis holds of a bucket. `counters`: by partition, as of the first moment."""

    keys: Mapping[bytes, StoredKey]
    counters: Mapping[int, Mapping[str, int]]


class Difference(NamedTuple):
    """One value that is not the same. What does not apply is None; `end` is set for running totals only."""

    customer: str | None
    meter: str | None
    start: str | None
    group: object
    redis: str | None
    log: str | None
    end: str | None = None

    def as_json(self) -> dict[str, object]:
        shown = self._asdict()
        if self.end is None:
            del shown["end"]
        return shown


@dataclass(slots=True)
class Comparison:
    """The sum over the buckets that were compared so far."""

    cells: int = 0
    """Cells compared: those that Redis holds, and those that only the log gives."""
    totals: int = 0
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    """What the log gives, over all slices."""
    differences: list[Difference] = field(default_factory=list)
    """The first `DIFFERENCES_MAX` of them."""
    different: int = 0
    ambiguous: str | None = None

    def add(self, difference: Difference) -> None:
        self.different += 1
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(difference)


class Comparer:
    """Compares bucket by bucket into `result`.

    `from_s`: only cells and totals that start there or later. `with_counters`: the log is whole, so that counters can
    be told. `group_names`: the names of a meter version's groups, in order.
    """

    def __init__(
        self,
        *,
        from_s: int,
        with_counters: bool,
        group_names: Mapping[tuple[str, int], Sequence[str]],
        result: Comparison,
    ) -> None:
        self._from_s = from_s
        self._with_counters = with_counters
        self._group_names = group_names
        self.result = result

    def compare(self, bucket: int, stored: Stored, recounted: BucketCount) -> None:
        for key in sorted(stored.keys.keys() | recounted.cells.keys()):
            if key in recounted.ambiguous:
                self.result.ambiguous = f"customer {_text(key)!r}: {recounted.ambiguous[key]}"
                continue
            cells = recounted.cells.get(key, {})
            self._compare_cells(key, stored.keys.get(key, StoredKey()), cells)
            self._compare_totals(key, stored.keys.get(key, StoredKey()), cells)
        self._compare_counters(bucket, stored, recounted)

    def _compare_cells(self, key: bytes, stored: StoredKey, cells: Mapping[Address, Figure]) -> None:
        for address in stored.cells.keys() | cells.keys():
            if address.start_s < self._from_s:
                continue
            self.result.cells += 1
            in_redis, in_log = stored.cells.get(address), cells.get(address)
            if in_redis != in_log:
                self.result.add(self._difference(key, address.series, address.start_s, None, in_redis, in_log))

    def _compare_totals(self, key: bytes, stored: StoredKey, cells: Mapping[Address, Figure]) -> None:
        """Every total that Redis keeps is the sum of the cells in its period: no more, no less."""
        for (start_s, end_s), by_series in stored.totals.items():
            if start_s < self._from_s:
                continue
            expected = roll_up(cells, start_s, end_s)
            for series in by_series.keys() | expected.keys():
                self.result.totals += 1
                in_redis, in_log = by_series.get(series), expected.get(series)
                if in_redis != in_log:
                    self.result.add(self._difference(key, series, start_s, end_s, in_redis, in_log))

    def _compare_counters(self, bucket: int, stored: Stored, recounted: BucketCount) -> None:
        for partition_counters in recounted.counters.values():
            for name, number in partition_counters.items():
                self.result.counters[name] += number
        if not self._with_counters:
            return
        for partition, in_redis, in_log in _counters(stored, recounted):
            for name in COUNTERS:
                if in_redis.get(name, 0) != in_log.get(name, 0):
                    place = {"bucket": bucket, "partition": partition, "counter": name}
                    said, counted = str(in_redis.get(name, 0)), str(in_log.get(name, 0))
                    self.result.add(Difference(None, None, None, place, said, counted))

    def _difference(
        self,
        key: bytes,
        series: Series,
        start_s: int,
        end_s: int | None,
        redis: Figure | None,
        log: Figure | None,
    ) -> Difference:
        names = self._group_names.get((series.meter, series.version), ())
        group: object = dict(zip(names, series.group, strict=True)) if len(names) == len(series.group) else series.group
        said, counted = (
            in_words(series.aggregate, redis),
            in_words(series.aggregate, log),
        )
        if said is not None and said == counted:
            said, counted = f"{said} {_detail(redis)}", f"{counted} {_detail(log)}"
        end = None if end_s is None else _instant(end_s)
        return Difference(_text(key), series.meter, _instant(start_s), group, said, counted, end)


def roll_up(cells: Mapping[Address, Figure], start_s: int, end_s: int) -> dict[Series, Figure]:
    """The sum of the cells that start in [start_s, end_s), by series."""
    gathered: dict[Series, list[Figure]] = {}
    for address, figure in cells.items():
        if start_s <= address.start_s < end_s:
            gathered.setdefault(address.series, []).append(figure)
    return {series: together(series.aggregate, figures) for series, figures in gathered.items()}


def _counters(
    stored: Stored, recounted: BucketCount
) -> Iterator[tuple[int | None, Mapping[str, int], Mapping[str, int]]]:
    """Slice by slice; over all partitions together where the log does not tell which copy counted."""
    partitions = sorted(stored.counters.keys() | recounted.counters.keys())
    pairs = [(number, stored.counters.get(number, {}), recounted.counters.get(number, {})) for number in partitions]
    if not recounted.moved:
        yield from pairs
    elif not recounted.ambiguous:
        yield (
            None,
            _summed(redis for _, redis, _ in pairs),
            _summed(log for _, _, log in pairs),
        )


def _summed(counters: Iterator[Mapping[str, int]]) -> dict[str, int]:
    every = list(counters)
    return {name: sum(one.get(name, 0) for one in every) for name in COUNTERS}


def _detail(figure: Figure | None) -> str:
    """Enough to tell two figures apart that read the same."""
    if isinstance(figure, tuple):
        return repr(figure)
    return "of " + ",".join(sorted(member.hex() for member in figure or ())[:3])


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _text(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
