"""What workers saw, one line an occurrence, in the order of their clocks.

A worker appends to a file of its own with one write a line, so a line that was written survives a SIGKILL. A test reads
all the files of a group together. A line is tab-separated: time, what happened, then what it happened to.

    103.250001  started  2  17  6b31        partition, offset, key in hexadecimal
    103.250001  assigned 0,2,5              all partitions of the worker from now on
    103.250001  warned   partition 2 ...    a text without line breaks

The times of one machine's processes can be compared: they come from its monotonic clock.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from engine.event import Event

OF_HANDLERS = frozenset({"started", "done", "failed"})


class Occurrence(NamedTuple):
    """`what`: started, done or failed (a handler, with its event); assigned, revoked, warned, ended (the worker); and
    what only the test knows of a worker: paused, died."""

    time_s: float
    worker: str
    what: str
    partition: int = -1
    offset: int = -1
    key: bytes = b""
    partitions: frozenset[int] = frozenset()
    text: str = ""

    @classmethod
    def of(cls, what: str, event: Event, *, worker: str, time_s: float = 0.0) -> Self:
        """For checkers that watch handlers in their own process."""
        return cls(time_s, worker, what, event.partition, event.offset, event.key or b"")

    @property
    def lane(self) -> tuple[int, bytes]:
        return self.partition, self.key


class Journal:
    """The worker's side."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def started(self, event: Event) -> None:
        self._event("started", event)

    def done(self, event: Event) -> None:
        self._event("done", event)

    def failed(self, event: Event) -> None:
        self._event("failed", event)

    def assigned(self, partitions: Iterable[int]) -> None:
        self._line("assigned", ",".join(map(str, sorted(partitions))))

    def revoked(self, partitions: Iterable[int]) -> None:
        self._line("revoked", ",".join(map(str, sorted(partitions))))

    def warned(self, text: str) -> None:
        self._line("warned", text.replace("\t", " ").replace("\n", " "))

    def ended(self) -> None:
        """The worker has stopped in an orderly way."""
        self._line("ended")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _event(self, what: str, event: Event) -> None:
        self._line(what, str(event.partition), str(event.offset), (event.key or b"").hex())

    def _line(self, *fields: str) -> None:
        self._file.write(("\t".join((f"{time.monotonic():.6f}", *fields)) + "\n").encode())


def read_journals(journals: Mapping[str, Path]) -> list[Occurrence]:
    """The occurrences of all workers in the order of time; a last line that was cut off is left out.

    Raises:
        ValueError: a line is not of this format.
    """
    found: list[Occurrence] = []
    for worker, path in journals.items():
        *lines, _ = path.read_bytes().split(b"\n")
        found += [_parsed(worker, line.decode().split("\t")) for line in lines]
    return sorted(found, key=lambda occurrence: occurrence.time_s)


def _parsed(worker: str, fields: Sequence[str]) -> Occurrence:
    match fields:
        case [at, what, partition, offset, key] if what in OF_HANDLERS:
            return Occurrence(float(at), worker, what, int(partition), int(offset), bytes.fromhex(key))
        case [at, "assigned" | "revoked" as what, numbers]:
            return Occurrence(float(at), worker, what, partitions=frozenset(map(int, filter(None, numbers.split(",")))))
        case [at, "warned", text]:
            return Occurrence(float(at), worker, "warned", text=text)
        case [at, "ended"]:
            return Occurrence(float(at), worker, "ended")
    raise ValueError(f"{worker}'s journal has the line {fields}")
