"""What travels through the engine: the event of a partition, and what a processor says of it.

An event is whatever the log's client delivers, as long as it has these attributes: the engine copies nothing on the
hot path.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec

from engine.aggregate import Cell, Period, Reading, Series, Value

Headers: TypeAlias = Sequence[tuple[str, bytes]]
TRACE_PARENT: Final = "traceparent"
TRACE_HEADERS: Final = frozenset({TRACE_PARENT, "tracestate"})
"""Source: W3C Recommendation "Trace Context", 2021."""


class Event(Protocol):
    """One record of a partition, as the log's client delivers it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Arrival: the record's own timestamp, in milliseconds since 1970 in UTC."""
        ...

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


def trace_headers(headers: Headers) -> tuple[tuple[str, bytes], ...]:
    """Those of a record's headers that name its trace; none in most records."""
    return tuple([(name, value) for name, value in headers if name in TRACE_HEADERS]) if headers else ()


EVENT_BYTES = 1_024
"""What an event costs in memory beside its key, value and headers. Measured: 200 bytes behind others of its key, 1,000
with a lane of its own, 2,500 with a dead letter that waits."""


def memory_bytes(event: Event) -> int:
    """What the event counts against limits of bytes."""
    size = EVENT_BYTES + len(event.key or b"") + len(event.value or b"")
    if event.headers:
        size += sum([len(name) + len(value or b"") for name, value in event.headers])
    return size


def memory_bytes_of(events: Sequence[Event]) -> int:
    """The sum of their `memory_bytes`."""
    if len(events) == 1:
        return memory_bytes(events[0])
    size = EVENT_BYTES * len(events) + sum([len(event.key or b"") + len(event.value or b"") for event in events])
    for headers in [event.headers for event in events if event.headers]:
        size += sum([len(name) + len(value or b"") for name, value in headers])
    return size


class Counts(msgspec.Struct, frozen=True, gc=False):
    """The event counts, unless its identity is remembered already.

    `identity` is 16 bytes, made by `identity_of`. `adds` names the cells that it moves and by how much (none: the
    event is remembered and counted as unmetered). `period`, if any, is the running total that the same values raise.
    """

    identity: bytes
    adds: tuple[tuple[Cell, Value], ...] = ()
    period: Period | None = None


class Dead(NamedTuple):
    """The event can never count, for a reason that follows from its bytes, its arrival and the facts alone."""

    reason: str


class Message(NamedTuple):
    """A record to produce. Partitioned by `key` as Java's producer does (murmur2)."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Effect(NamedTuple):
    """Something that is due at a total and stands once, whatever is replayed.

    `name` follows from content (rule, customer, group, threshold, period), at most 512 bytes. `message`, if any, is
    acknowledged before the effect is inserted under its name; a crash in between repeats it.
    """

    name: bytes
    message: Message | None = None


class Totals(NamedTuple):
    """A running total as a write left it: what `react` looks at.

    `values` maps series (the bytes given to `Cell.of`) and aggregate to the value; `standing` are the names of the
    effects that stand already.
    """

    key: bytes
    period: Period
    values: dict[Series, Reading]
    standing: frozenset[bytes]
