"""The function library in Python: the same packed calls against a dict, for the simulation.

Written apart from the Lua files, and held to them by a differential test that compares every reply and all that is
stored. A slice is applied in a transaction: what is damaged or wrongly judged leaves no trace.
"""

from collections.abc import Callable, Sequence
from struct import error, pack, unpack_from

from engine.core.record import BEGINNING
from engine.errors import StateDamaged
from engine.sim.identities import Identities
from engine.sim.owing import Entry, owed_reply, read_entries
from engine.sim.payload import Cursor, PackedSlice, read_slice
from engine.sim.store import Geometry, State, Store, Transaction, WrongType
from engine.sim.updates import Updating
from engine.state import keys
from engine.state.packing import sha1_hex

SCANNED = 10


class SimulatedFunctions:
    """`state` maps keys to hashes (dict) and sets, as Redis would hold them."""

    def __init__(self, state: State | None = None, *, geometry: Geometry | None = None) -> None:
        self._store = Store(state)
        self._geometry = geometry or Geometry()
        self.observe: Callable[[PackedSlice], None] | None = None
        """Told of every slice that was written."""

    @property
    def state(self) -> State:
        return self._store.state

    def lose(self, count: int) -> int:
        """A failover: the last `count` writes are gone, one write being all that one call wrote."""
        return self._store.lose(count)

    def written_since(self, since_s: float) -> int:
        """How many writes are younger."""
        return self._store.written_since(since_s)

    def copy(self) -> "SimulatedFunctions":
        """Goes on by itself, from here."""
        copy = SimulatedFunctions(dict(self._store.state), geometry=self._geometry)
        copy.observe = self.observe
        return copy

    def clear(self) -> None:
        self._store.clear()

    def call(self, function: str, payload: bytes, *, now_s: float = 0.0) -> list[bytes]:
        """Raises StateDamaged: the payload is malformed."""
        functions: dict[str, Callable[[Transaction, Cursor], list[bytes]]] = {
            "apply": _apply, "check": _check, "read": _read, "fetch": _fetch, "scan": _scan, "list": _list,
        }  # fmt: skip
        transaction = Transaction(self._store.state, self._geometry)
        try:
            reply = functions[function](transaction, Cursor(payload))
        except (error, IndexError, ValueError) as problem:
            raise StateDamaged(f"the payload of {function} is malformed: {problem}") from problem
        self._store.write(transaction.changes, now_s)
        if self.observe is not None:
            for part in transaction.written:
                self.observe(part)
        return reply


def _apply(transaction: Transaction, cursor: Cursor) -> list[bytes]:
    horizon, deletes, count = cursor.numbers("HBH")
    replies = []
    for _ in range(count):
        part = read_slice(Cursor(cursor.text("I")))
        before = dict(transaction.changes)
        try:
            reply, written = _apply_slice(transaction, part, horizon, deletes == 1)
        except WrongType as damage:
            reply, written = b"D" + str(damage).encode(), False
        if written:
            transaction.written.append(part)
        else:
            transaction.changes = before
        replies.append(reply)
        transaction.seal()
    return replies


def _apply_slice(transaction: Transaction, part: PackedSlice, horizon: int, deletes: bool) -> tuple[bytes, bool]:
    """The reply, and whether what the transaction holds is to stay."""
    stored = transaction.hash(keys.slice_key(part.tag, part.partition))
    record, owing = stored.get(b"r", b""), stored.get(b"o", b"")
    if record == part.after:
        return b"A1" + owed_reply(transaction, part.tag, owing) + pack(">I", 0), False
    if record != part.before:
        return b"R" + record, False
    counters = _raised(stored.get(b"c"), part.counters)
    cleared = bool(part.reacted) and bool(owing) and _is_seen(part.reacted, owing)
    entries = [] if cleared else read_entries(owing)
    for key, period, name in part.effects if cleared else ():
        _insert_effect(transaction, keys.total_key(part.tag, *_bounds(period), key), name)
    touched = _update(transaction, part)
    if touched or cleared:
        owing = _owe(entries, touched, part.after[-16:])
    verdicts, answers = _judge(transaction, part, horizon, deletes)
    if verdicts is not None:
        return verdicts, False
    own = keys.slice_key(part.tag, part.partition)
    for field, value in ((b"r", part.after), (b"c", counters), (b"o", owing)):
        transaction.put(own, field, value)
    return b"A0" + owed_reply(transaction, part.tag, owing) + answers, True


def _is_seen(reacted: bytes, owing: bytes) -> bool:
    """Whether the reaction is to what the slice owes now."""
    return reacted == sha1_hex(owing)


def _insert_effect(transaction: Transaction, total: bytes, name: bytes) -> None:
    """One that stands is left alone."""
    if b"e" + name not in transaction.hash(total):
        transaction.put(total, b"e" + name, b"1")


def _raised(stored: bytes | None, by: Sequence[int]) -> bytes:
    if stored is not None and len(stored) != 32:
        raise WrongType("counters of a slice")
    old = unpack_from(">4d", stored) if stored is not None else (0.0,) * 4
    return pack(">4d", *(left + right for left, right in zip(old, by, strict=True)))


def _bounds(period: bytes) -> tuple[int, int]:
    first, last = unpack_from(">II", period)
    return first, last


def _update(transaction: Transaction, part: PackedSlice) -> list[Entry]:
    updating = Updating(transaction, part.tag)
    touched = []
    for key, pages, totals in part.keys:
        for page in pages:
            updating.write_page(key, page)
        for total in totals:
            entry = updating.raise_total(key, total)
            if entry is not None:
                touched.append(entry)
    return touched


def _owe(entries: Sequence[Entry], touched: Sequence[Entry], stamp: bytes) -> bytes:
    again = {(entry.key, entry.period[:8]) for entry in touched}
    kept = [entry for entry in entries if (entry.key, entry.period[:8]) not in again]
    body = b"".join(entry.packed for entry in [*kept, *touched])
    return stamp + body if body else b""


def _judge(transaction: Transaction, part: PackedSlice, horizon: int, deletes: bool) -> tuple[bytes | None, bytes]:
    """What is wrong with the verdicts, if anything, and which of the asked are remembered."""
    idle = not part.judged and not part.asked
    if idle and not deletes:
        return None, pack(">I", 0)
    day = (part.judged or part.asked or [(b"", 0)])[0][1]
    identities = Identities(transaction, part.tag, part.partitions, day)
    if identities.new and idle:
        return None, pack(">I", 0)
    duplicates = _duplicates(identities, part, horizon)
    if _is_wrong(part, set(duplicates)):
        return b"V" + _marks(len(part.judged), duplicates), b""
    if deletes:
        identities.sweep(_oldest_day(transaction, part), _day_at_low(part.after), horizon)
    identities.grow(len(part.judged))
    answers = _known(identities, part, horizon)
    identities.close()
    return None, answers


def _duplicates(identities: Identities, part: PackedSlice, horizon: int) -> list[int]:
    """As if the events came one by one; those that are none are remembered."""
    duplicates = []
    for index, (identity, day) in enumerate(part.judged):
        if identities.remembers(identity, day, horizon):
            duplicates.append(index)
        else:
            identities.remember(identity, day, part.partition)
    return duplicates


def _is_wrong(part: PackedSlice, duplicates: set[int]) -> bool:
    """Whether the caller judged otherwise."""
    return part.left_out != duplicates


def _known(identities: Identities, part: PackedSlice, horizon: int) -> bytes:
    """Which of the asked are remembered: a hint, the judgement decides."""
    remembered = []
    for index, (identity, day) in enumerate(part.asked):
        try:
            if identities.remembers(identity, day, horizon):
                remembered.append(index)
        except WrongType:
            continue
    return _marks(len(part.asked), remembered)


def _marks(count: int, indexes: Sequence[int]) -> bytes:
    return pack(f">{1 + len(indexes)}I", count, *indexes)


def _oldest_day(transaction: Transaction, part: PackedSlice) -> int:
    """With the record that is being written."""
    return min(_days(transaction, part), default=BEGINNING)


def _days(transaction: Transaction, part: PackedSlice) -> list[int]:
    """At `low`, by partition; a slice without a record holds back every deletion."""
    days = []
    for partition in range(part.partitions):
        if partition == part.partition:
            days.append(_day_at_low(part.after))
            continue
        try:
            record = transaction.hash(keys.slice_key(part.tag, partition)).get(b"r", b"")
        except WrongType:
            record = b""
        days.append(_day_at_low(record))
    return days


def _day_at_low(record: bytes) -> int:
    day: int = unpack_from(">I", record, 8)[0] + BEGINNING if len(record) >= 12 else BEGINNING
    return day


def _check(transaction: Transaction, cursor: Cursor) -> list[bytes]:
    replies = []
    for _ in range(cursor.number("H")):
        tag, partition, before = cursor.text(), cursor.number("I"), cursor.text("I")
        try:
            record = transaction.hash(keys.slice_key(tag, partition)).get(b"r", b"")
        except WrongType as damage:
            replies.append(b"D" + str(damage).encode())
            continue
        replies.append(b"A0" + bytes(12) if record == before else b"R" + record)
    return replies


def _read(transaction: Transaction, cursor: Cursor) -> list[bytes]:
    return [_stored_slice(transaction, cursor.text(), cursor.number("I")) for _ in range(cursor.number("H"))]


def _stored_slice(transaction: Transaction, tag: bytes, partition: int) -> bytes:
    try:
        stored = transaction.hash(keys.slice_key(tag, partition))
    except WrongType as damage:
        return b"D" + str(damage).encode()
    record, counters = stored.get(b"r", b""), stored.get(b"c", b"")
    head = pack(">I", len(record)) + record + pack(">H", len(counters)) + counters
    return b"S" + head + owed_reply(transaction, tag, stored.get(b"o", b""))


def _fetch(transaction: Transaction, cursor: Cursor) -> list[bytes]:
    replies = _read(transaction, cursor)
    for _ in range(cursor.number("I")):
        aggregate_at, name, detail = cursor.number("B"), cursor.text("I"), cursor.text("I")
        try:
            if aggregate_at:
                replies.append(_dump(transaction, name, detail, aggregate_at - 1))
            else:
                replies.append(b"F" + transaction.hash(name).get(detail, b""))
        except WrongType as damage:
            replies.append(b"D" + str(damage).encode())
    return replies


def _dump(transaction: Transaction, name: bytes, sets: bytes, aggregate_at: int) -> bytes:
    parts = [b"H"]
    for field, stored in transaction.hash(name).items():
        value = stored
        if sets and field[aggregate_at : aggregate_at + 1] == b"\x06":
            value += b"".join(transaction.members(sets + field))
        parts += (pack(">I", len(field)), field, pack(">I", len(value)), value)
    return b"".join(parts)


def _scan(transaction: Transaction, cursor: Cursor) -> list[bytes]:
    """The cursor is a position here; nothing is promised of it but that a scan ends and misses nothing."""
    tag, position = cursor.text(), int(cursor.text("B"))
    found = sorted(transaction.hash(keys.index_key(tag)).items())
    page = found[position : position + SCANNED]
    following = position + SCANNED if position + SCANNED < len(found) else 0
    return [b"%d" % following, *(part for pair in page for part in pair)]


def _list(transaction: Transaction, cursor: Cursor) -> list[bytes]:
    tag, first, last, limit = cursor.text(), cursor.text("I"), cursor.text("I"), cursor.number("I")
    members = transaction.members(tag + b"j")
    included = first[:1] == b"["
    return sorted(member for member in members if first[1:] <= member < last[1:] and (included or member != first[1:]))[
        :limit
    ]
