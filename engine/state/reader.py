"""Everything that is read of the state, beside what the engine itself needs: for queries, status and audits.

Calls are bounded, except that what must be seen at one moment is read in one: a month of a key, its account, the keys
of a bucket. All methods raise Unanswered (the server is away), and StateDamaged (a value that the engine never writes).
"""

import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from engine.aggregate import DAY_QUARTERS, QUARTER_S, Cell, Period, Reading, Series
from engine.core.record import Record
from engine.errors import StateDamaged
from engine.event import Totals
from engine.ports import Call, StateServer
from engine.state import keys
from engine.state.calling import read_each, shares
from engine.state.fetching import Item, page_item, total_item, unpack_hash, unpack_page, unpack_total
from engine.state.identity import bucket_of
from engine.state.packing import (
    Counters,
    Stored,
    pack_fetch,
    pack_list,
    pack_scan,
    unpack_fetch,
)
from engine.state.records import read_slices
from engine.state.rolling import Window, roll_up

DAY_S = DAY_QUARTERS * QUARTER_S
DAYS_PER_CALL = 32
"""As many as a month of any time zone can touch."""
TOTALS_PER_CALL = 200
KEYS_PER_SCAN = 1_000
HASHES_PER_CALL = 200

Member = TypeVar("Member")


class SliceProgress(NamedTuple):
    """What the record of a slice says: all below `position` is in the state, except `holes`."""

    bucket: int
    partition: int
    low: int
    position: int
    holes: tuple[int, ...]
    counters: Counters
    owing: bool


@dataclass(frozen=True, slots=True)
class Account:
    """A key and a period at one moment."""

    total: Totals | None
    cells: dict[Cell, Reading]
    """Those that start in the period, with members."""
    last_arrival_ms: int | None
    """The greatest arrival counted on the days that the period touches."""


@dataclass(frozen=True, slots=True)
class KeyState:
    """All that is kept of a key, with members. Totals are named by (start_s, end_s)."""

    cells: dict[Cell, Reading]
    totals: dict[tuple[int, int], dict[Series, Reading]]


@dataclass(frozen=True, slots=True)
class SnapshotPart:
    """Some keys of a bucket and the records of its slices, at one moment."""

    progress: list[SliceProgress]
    states: dict[bytes, KeyState]


class StateReader:
    """Reads the state of one group. `buckets`: as configured for the engine."""

    def __init__(self, server: StateServer, *, group: str, buckets: int) -> None:
        self._server = server
        self._group = group
        self._buckets = buckets

    # ------------------------------------------------------------ one key
    async def total(self, key: bytes, start_s: int, end_s: int) -> Totals | None:
        """The running total of [start_s, end_s), None if none is kept."""
        first, last = _quarters(start_s, end_s)
        tag = self._tag(key)
        _, (found,) = await self._fetch(tag, (), [total_item(tag, key, first, last)])
        return unpack_total(key, Period.of(start_s, end_s, keep=True, watched=False), found)

    async def account(self, key: bytes, start_s: int, end_s: int) -> Account:
        first, last = _quarters(start_s, end_s)
        tag = self._tag(key)
        days = await self._days_within(key, first, last)
        while True:
            items = [page_item(tag, key, day, members=True) for day in days]
            _, (index, total, *pages) = await self._fetch(
                tag, (), [Item.index_entry(tag, key), total_item(tag, key, first, last, members=True), *items]
            )
            now = _within(keys.read_index(index or bytes(2))[0], first, last)
            if now == days:
                break
            days = now
        cells: dict[Cell, Reading] = {}
        arrivals = []
        for day, page in zip(days, pages, strict=True):
            of_day, arrival_ms = unpack_page(page)
            cells |= _starting_in(of_day, day, start_s, end_s)
            arrivals.append(arrival_ms)
        period = Period.of(start_s, end_s, keep=True, watched=False)
        return Account(unpack_total(key, period, total), cells, max(arrivals, default=None))

    async def cells(self, key: bytes, start_s: int, end_s: int, *, members: bool = False) -> dict[Cell, Reading]:
        """Cells that start in [start_s, end_s); DAYS_PER_CALL days at a time are of one moment."""
        cells: dict[Cell, Reading] = {}
        for day, page in await self._pages(key, start_s, end_s, members=members):
            cells |= _starting_in(unpack_page(page)[0], day, start_s, end_s)
        return cells

    async def roll_up(
        self, key: bytes, start_s: int, end_s: int, window_of: Callable[[int], Window], *, members: bool = False
    ) -> dict[Series, dict[Window, Reading]]:
        """What each series holds in each window, of the cells that start in [start_s, end_s): cheaper than `cells`.

        `window_of`: the window of a cell, from its start in seconds. Sets are left out unless their members are asked
        for: their counts don't add up. DAYS_PER_CALL days at a time are of one moment, so a month is.
        """
        pages = await self._pages(key, start_s, end_s, members=members)
        return roll_up((page for _, page in pages), start_s, end_s, window_of, members=members)

    async def days(self, key: bytes) -> tuple[int, ...]:
        """UTC days since 1970, ascending, in which the key has cells."""
        tag = self._tag(key)
        _, (index,) = await self._fetch(tag, (), [Item.index_entry(tag, key)])
        return keys.read_index(index or bytes(2))[0]

    async def last_arrival_ms(self, key: bytes, day: int) -> int | None:
        """The greatest arrival that was counted in a UTC day's cells."""
        tag = self._tag(key)
        _, (page,) = await self._fetch(tag, (), [page_item(tag, key, day)])
        return unpack_page(page)[1] if page else None

    # ------------------------------------------------------------ many keys
    async def keys(self, bucket: int) -> dict[bytes, tuple[int, ...]]:
        """The keys of a bucket that have cells, and the UTC days in which they have them."""
        tag = keys.tag(self._group, bucket)
        found: dict[bytes, tuple[int, ...]] = {}
        cursor = b"0"
        while True:
            cursor, *pairs = await self._call("scan", pack_scan(tag, cursor, KEYS_PER_SCAN), tag)
            for key, entry in zip(pairs[::2], pairs[1::2], strict=True):
                found[key] = keys.read_index(entry)[0]
            if cursor == b"0":
                return found

    async def period_totals(
        self, bucket: int, start_s: int, end_s: int, *, after: bytes = b"", limit: int
    ) -> list[Totals]:
        """Totals of exactly this period, by key in the order of their bytes, from the first key past `after` on.

        Fewer than `limit` means that there are no more. b"" as `after` is the beginning, so the key b"" comes once.
        """
        tag = keys.tag(self._group, bucket)
        first, last = _quarters(start_s, end_s)
        bounds = struct.pack(">II", first, last)
        beyond = b"(" + (int.from_bytes(bounds, "big") + 1).to_bytes(8, "big")
        start = (b"(" if after else b"[") + bounds + after
        names = await self._call("list", pack_list(tag, start, beyond, limit), tag)
        return await self.totals([name[8:] for name in names], start_s, end_s)

    async def totals(self, wanted: Sequence[bytes], start_s: int, end_s: int) -> list[Totals]:
        """Totals of exactly this period of those of the keys that keep one, of any buckets: many keys a call."""
        first, last = _quarters(start_s, end_s)
        period = Period.of(start_s, end_s, keep=True, watched=False)
        parts = [
            some
            for share in shares(self._server, wanted, lambda key: bucket_of(key, self._buckets))
            for some in _chunks(share, TOTALS_PER_CALL)
        ]
        calls = [
            Call(
                self._tag(some[0]),
                pack_fetch(self._group, (), [total_item(self._tag(key), key, first, last) for key in some]),
            )
            for some in parts
        ]
        replies = await read_each(self._server, "fetch", calls)
        found: dict[bytes, Totals | None] = {}
        for some, reply in zip(parts, replies, strict=True):
            for key, packed in zip(some, unpack_fetch(reply, 0)[1], strict=True):
                found[key] = unpack_total(key, period, packed)
        return [total for key in wanted if (total := found[key]) is not None]

    async def progress(self, partitions: int) -> list[SliceProgress]:
        """Of every slice, by bucket and partition."""
        slices = [(bucket, partition) for bucket in range(self._buckets) for partition in range(partitions)]
        return list(map(_progress, slices, await read_slices(self._server, self._group, slices)))

    async def snapshot(self, bucket: int, partitions: int, *, keys_per_call: int = 50) -> AsyncIterator[SnapshotPart]:
        """All of a bucket in parts, each of one moment with its records.

        The first part has the records of the moment at which the keys were listed, and no states: a key that no part
        has was empty then.
        """
        tag = keys.tag(self._group, bucket)
        slices = [(bucket, partition) for partition in range(partitions)]
        stored, (listed,) = await self._fetch(tag, slices, [Item.all_keys(tag)])
        yield SnapshotPart(list(map(_progress, slices, stored)), {})
        entries = dict(unpack_hash(listed))
        while entries:
            some = _first_keys(entries, keys_per_call)
            part, entries_now = await self._key_states(tag, slices, some)
            for key in some:
                if entries_now[key] == some[key]:
                    del entries[key]
                else:  # it got a day or a total since: read it again as it is now
                    entries[key] = entries_now[key]
            yield part

    async def _key_states(
        self, tag: bytes, slices: Sequence[tuple[int, int]], entries: dict[bytes, bytes]
    ) -> tuple[SnapshotPart, dict[bytes, bytes]]:
        """The states of keys whose index entries are still as given, and the entries as they are now."""
        items = [Item.index_entry(tag, key) for key in entries]
        for key, entry in entries.items():
            days, totals = keys.read_index(entry)
            items += [page_item(tag, key, day, members=True) for day in days]
            items += [total_item(tag, key, first, last, members=True) for first, last in totals]
        stored, found = await self._fetch(tag, slices, items)
        answers = iter(found)
        now = {key: next(answers) for key in entries}
        states: dict[bytes, KeyState] = {}
        for key, entry in entries.items():
            days, totals = keys.read_index(entry)
            cells: dict[Cell, Reading] = {}
            for _ in days:
                cells |= unpack_page(next(answers))[0]
            of_key: dict[tuple[int, int], dict[Series, Reading]] = {}
            for first, last in totals:
                period = Period.of(first * QUARTER_S, last * QUARTER_S, keep=True, watched=False)
                total = unpack_total(key, period, next(answers))
                of_key[period.start_s, period.end_s] = total.values if total else {}
            if now[key] == entry:
                states[key] = KeyState(cells, of_key)
        return SnapshotPart(list(map(_progress, slices, stored)), states), now

    # ------------------------------------------------------------ calls
    def _tag(self, key: bytes) -> bytes:
        return keys.tag(self._group, bucket_of(key, self._buckets))

    async def _pages(self, key: bytes, start_s: int, end_s: int, *, members: bool) -> list[tuple[int, bytes]]:
        """The days that [start_s, end_s) touches, with their pages, also of days that came while they were read."""
        first, last = _quarters(start_s, end_s)
        tag = self._tag(key)
        found: list[tuple[int, bytes]] = []
        days = await self._days_within(key, first, last)
        while days:
            some = days[:DAYS_PER_CALL]
            items = [page_item(tag, key, day, members=members) for day in some]
            _, (index, *pages) = await self._fetch(tag, (), [Item.index_entry(tag, key), *items])
            days = _within(keys.read_index(index or bytes(2))[0], first, last)
            if days[:DAYS_PER_CALL] == some:
                found += zip(some, pages, strict=True)
                first = (some[-1] + 1) * DAY_QUARTERS
                days = days[DAYS_PER_CALL:]
        return found

    async def _days_within(self, key: bytes, first: int, last: int) -> tuple[int, ...]:
        return _within(await self.days(key), first, last)

    async def _fetch(
        self, tag: bytes, slices: Sequence[tuple[int, int]], items: Sequence[Item]
    ) -> tuple[list[Stored], list[bytes]]:
        reply = await self._call("fetch", pack_fetch(self._group, slices, items), tag)
        return unpack_fetch(reply, len(slices))

    async def _call(self, function: str, payload: bytes, tag: bytes) -> list[bytes]:
        return await self._server.call(function, payload, key=tag, writes=False)


def _quarters(start_s: int, end_s: int) -> tuple[int, int]:
    if start_s % QUARTER_S or end_s % QUARTER_S or not 0 <= start_s <= end_s:
        raise ValueError(f"[{start_s}, {end_s}) must lie on multiples of {QUARTER_S} seconds")
    return start_s // QUARTER_S, end_s // QUARTER_S


def _within(days: Iterable[int], first: int, last: int) -> tuple[int, ...]:
    """The days that the quarters [first, last) touch."""
    return tuple(day for day in days if first < (day + 1) * DAY_QUARTERS and day * DAY_QUARTERS < last)


def _starting_in(of_day: dict[Cell, Reading], day: int, start_s: int, end_s: int) -> dict[Cell, Reading]:
    """The cells of a day that start in [start_s, end_s): all of them, but at the edges."""
    if start_s <= day * DAY_S and (day + 1) * DAY_S <= end_s:
        return of_day
    return {cell: reading for cell, reading in of_day.items() if start_s <= cell.start_s < end_s}


def _chunks(members: Sequence[Member], size: int) -> Iterable[Sequence[Member]]:
    return (members[at : at + size] for at in range(0, len(members), size))


def _first_keys(entries: dict[bytes, bytes], keys_max: int) -> dict[bytes, bytes]:
    """Some of the keys: so many, or fewer where they have many days; at least one."""
    some: dict[bytes, bytes] = {}
    hashes = 0
    for key, entry in entries.items():
        days, totals = keys.read_index(entry)
        hashes += len(days) + len(totals)
        if some and (len(some) >= keys_max or hashes > HASHES_PER_CALL):
            break
        some[key] = entry
    return some


def _progress(place: tuple[int, int], stored: Stored) -> SliceProgress:
    bucket, partition = place
    try:
        record = Record.decode(stored.record)
    except StateDamaged as error:
        raise StateDamaged(f"bucket {bucket}, partition {partition}: {error}") from error
    return SliceProgress(
        bucket, partition, record.low, record.position, record.holes, stored.counters, stored.owed is not None
    )
