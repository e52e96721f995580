"""Cells, totals and the index: the counterpart of `engine/state/lua/apply.lua`, straight forward in a transaction."""

from struct import pack, unpack, unpack_from

from engine.errors import StateDamaged
from engine.sim.merging import merge_packed
from engine.sim.owing import Entry, make_entry
from engine.sim.payload import Page, RaisedTotal
from engine.sim.store import Transaction, WrongType
from engine.state import keys
from engine.state.values import DIGEST_BYTES, SIZES

UNIQUE = 6
NONE = bytes(8)


class Updating:
    """What one slice's write does to its keys."""

    def __init__(self, transaction: Transaction, tag: bytes) -> None:
        self._transaction = transaction
        self._tag = tag

    def write_page(self, key: bytes, page: Page) -> None:
        """Raises WrongType."""
        name = keys.page_key(self._tag, page.day, key)
        stored = self._transaction.hash(name)
        latest = stored.get(b"a")
        if latest is not None and len(latest) != 8:
            raise WrongType("arrival of a page")
        if latest is None or unpack(">d", latest)[0] < page.arrival_ms:
            latest = pack(">d", page.arrival_ms)
        if b"a" not in stored:
            self._index(key, day=page.day)
        self._transaction.put(name, b"a", latest)
        for cell, addition in page.cells:
            members = keys.cell_members_key(self._tag, key) + cell
            self._put(name, cell, cell[4], stored.get(cell), addition, members)

    def raise_total(self, key: bytes, raised: RaisedTotal) -> Entry | None:
        """What the slice owes because of it, if it is watched. Raises WrongType."""
        first, last = unpack_from(">II", raised.period)
        flags = raised.period[8]
        name = keys.total_key(self._tag, first, last, key)
        stored = dict(self._transaction.hash(name))
        if b"k" in stored:
            for series, addition in raised.series:
                members = keys.total_members_key(self._tag, first, last, key) + series
                self._put(name, series, series[0], stored.get(series), addition, members)
            touched = [series for series, _ in raised.series]
        elif flags & 1:
            touched = self._seed(name, key, first, last)
        else:
            return None
        if flags < 2:
            return None
        now = self._transaction.hash(name)
        others = [field for field in now if SIZES.get(field[0]) and field not in touched]
        return make_entry(key, raised.period, [(field, now[field]) for field in [*others, *touched]])

    def _put(
        self, name: bytes, field: bytes, aggregate: int, old: bytes | None, addition: bytes, members: bytes
    ) -> None:
        if aggregate != UNIQUE:
            self._transaction.put(name, field, merge_packed(aggregate, old, addition))
            return
        merge_packed(UNIQUE, old, NONE)
        digests = {addition[at : at + DIGEST_BYTES] for at in range(0, len(addition), DIGEST_BYTES)}
        self._transaction.put(name, field, pack(">d", self._transaction.add(members, digests)))

    def _seed(self, name: bytes, key: bytes, first: int, last: int) -> list[bytes]:
        """A total that is kept and does not exist yet is the sum of its cells."""
        values: dict[bytes, bytes] = {}
        members: dict[bytes, set[bytes]] = {}
        for day in keys.days_of(first, last):
            for cell, value in self._transaction.hash(keys.page_key(self._tag, day, key)).items():
                if len(cell) < 5 or not first <= int.from_bytes(cell[:4], "big") < last:
                    continue
                series = cell[4:]
                if SIZES.get(series[0]) != len(value):
                    raise WrongType("cell of a total")
                values[series] = merge_packed(series[0], values.get(series), value)
                if series[0] == UNIQUE:
                    found = self._transaction.members(keys.cell_members_key(self._tag, key) + cell)
                    members.setdefault(series, set()).update(found)
        self._index(key, total=(first, last))
        self._transaction.put(name, b"k", b"")
        for series, value in values.items():
            whole = value
            if series in members:
                self._transaction.replace(keys.total_members_key(self._tag, first, last, key) + series, members[series])
                whole = pack(">d", len(members[series]))
            self._transaction.put(name, series, whole)
        return list(values)

    def _index(self, key: bytes, *, day: int | None = None, total: tuple[int, int] | None = None) -> None:
        name = keys.index_key(self._tag)
        entry = self._transaction.hash(name).get(key, bytes(2))
        try:
            days, totals = keys.read_index(entry)
        except StateDamaged as error:
            raise WrongType("index of keys") from error
        if day is not None:
            days = tuple(sorted({*days, day}))
        if total is not None and self._transaction.add(self._tag + b"j", {pack(">II", *total) + key}):
            totals = (*totals, total) if total not in totals else totals
        self._transaction.put(name, key, keys.pack_index(days, totals))
