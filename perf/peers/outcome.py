"""What a peer's program said, and whether its figures may be used: nothing lost, doubled or reordered. Pure."""

import msgspec

from perf.harness.checks import CheckFailed
from perf.peers.totals import Cells


class PeerFailed(Exception):
    """A program ended without its line, and what it said instead."""


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a program; see `program.py`. The times are those of the span that was measured."""

    events: int
    span_events: int
    seconds: float
    cpu_s: float
    """User and system time of the whole process."""
    broker_cpu_s: float
    state_cpu_s: float
    lost: int
    doubled: int
    order_violations: int
    rss_bytes: int
    """The most that was ever resident."""
    cells: int | None = None
    digest: str | None = None

    def check(self, committed: int, expected: Cells | None = None) -> None:
        """`committed`: the offset as the broker tells it. Raises CheckFailed: all that is wrong."""
        counts = {"lost": self.lost, "doubled": self.doubled, "out of order": self.order_violations}
        wrong = [f"{count} {what}" for what, count in counts.items() if count]
        if committed != self.events:
            wrong.append(f"offset {committed} is committed, {self.events} was expected")
        if expected and (self.cells, self.digest) != expected:
            wrong.append(f"{self.cells} cells with digest {self.digest}, {expected} was expected")
        if not wrong and (self.seconds <= 0 or self.span_events <= 0):
            wrong.append(f"{self.span_events} events in {self.seconds} s are no span")
        if wrong:
            raise CheckFailed(f"of {self.events} events: {'; '.join(wrong)}")

    def figures(self) -> dict[str, float]:
        """Of a sample. Those of servers only where their processor time was told; `all_us` is that of all together."""
        found = {
            "events_per_s": self.span_events / self.seconds,
            "worker_us": self.cpu_s / self.span_events * 1e6,
            "broker_us": self.broker_cpu_s / self.span_events * 1e6,
            "redis_us": self.state_cpu_s / self.span_events * 1e6,
            "all_us": (self.cpu_s + self.broker_cpu_s + self.state_cpu_s) / self.span_events * 1e6,
            "rss_mb": self.rss_bytes / 1e6,
        }
        return {name: value for name, value in found.items() if value or name in {"events_per_s", "worker_us"}}


def read(said: str) -> Outcome:
    """The last line of what a program wrote. Raises PeerFailed: it is not what was expected."""
    lines = said.strip().splitlines()
    if not lines:
        raise PeerFailed("the program wrote nothing, one line of JSON was expected")
    try:
        return msgspec.json.decode(lines[-1], type=Outcome)
    except msgspec.DecodeError as error:
        raise PeerFailed(f"the program wrote {lines[-1][:200]!r}: {error}") from error
