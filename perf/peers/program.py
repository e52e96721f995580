"""What every program of a peer is told and says, whatever its language: arguments `name=value`, and one line of JSON.

Runs in the peers' own environments too, so it needs nothing but the standard library.

The span that is measured begins when `warm_events` are done and ends with the last of `events`. A program that sees
nothing move for `idle_s`, or does not begin within a minute, gives up and says what is missing.
"""

import gc
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

GC_THRESHOLDS = (50_000, 50, 50)
"""As the worker of `billing` sets them: all Python programs run alike."""
STATE_AT = 11
"""Of the fields of /proc/PID/stat behind the name: user time, and system time after it."""
TICK_S = 0.01
START_S = 60.0


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done. `broker_pid` and `state_pid`: whose processor time is told too, 0 for nobody's."""

    bootstrap: str
    topic: str
    group: str
    events: int
    """The topic's one partition holds so many."""
    warm_events: int
    wait_s: float = 0.0
    """What the handler waits for, as if something answered."""
    concurrency: int = 1
    """Events that may wait at once."""
    idle_s: float = 20.0
    broker_pid: int = 0
    state_pid: int = 0
    redis_url: str = ""

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Self:
        """Raises ValueError: not name=value, or no number where one is expected; TypeError: a name that is none."""
        kinds = {each.name: each.type for each in fields(cls)}
        given = dict(argument.split("=", 1) for argument in arguments)
        values: dict[str, Any] = {name: _value(kinds.get(name, str), text) for name, text in given.items()}
        return cls(**values)

    def patience_s(self, done: int) -> float:
        """How long nothing may move when so many events are done: starting may take longer than going on."""
        return self.idle_s if done else max(START_S, self.idle_s)

    def of_group(self, group: str) -> Self:
        return replace(self, group=group)

    def arguments(self) -> list[str]:
        return [f"{each.name}={getattr(self, each.name)}" for each in fields(self)]


@dataclass(slots=True)
class Stopwatch:
    """Time and processor time between two moments."""

    work: Work
    _start: tuple[float, ...] = ()
    _end: tuple[float, ...] = ()

    def start(self) -> None:
        self._start = self._now()

    def stop(self) -> None:
        self._end = self._now()

    def figures(self) -> dict[str, float]:
        """All 0 where the span did not end."""
        names = ("seconds", "cpu_s", "broker_cpu_s", "state_cpu_s")
        if not self._start or not self._end:
            return dict.fromkeys(names, 0.0)
        return {name: end - start for name, start, end in zip(names, self._start, self._end, strict=True)}

    def _now(self) -> tuple[float, ...]:
        others = (_cpu_s(pid) for pid in (self.work.broker_pid, self.work.state_pid))
        return (time.perf_counter(), time.process_time(), *others)


@dataclass(slots=True)
class Tally:
    """Told of every event that a handler begins and ends: order, losses and doubles come out at the end.

    An event is out of order when one of its key that comes later has begun, or when another of its key still runs.
    """

    work: Work
    watch: Stopwatch = field(init=False)
    done: int = 0
    doubled: int = 0
    order_violations: int = 0
    _seen: bytearray = field(init=False)
    _newest: dict[bytes, int] = field(default_factory=dict)
    _running: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.watch = Stopwatch(self.work)
        self._seen = bytearray(self.work.events)

    def begin(self, key: bytes, offset: int) -> None:
        if offset <= self._newest.get(key, -1) or key in self._running:
            self.order_violations += 1
        self._newest[key] = offset
        self._running.add(key)
        if self._seen[offset]:
            self.doubled += 1
        self._seen[offset] = 1

    def end(self, key: bytes) -> bool:
        """Whether that was the last one."""
        self._running.discard(key)
        self.done += 1
        if self.done == self.work.warm_events:
            self.watch.start()
        elif self.done == self.work.events + self.doubled:
            self.watch.stop()
            return True
        return False

    def line(self) -> dict[str, float]:
        return {
            "events": self.work.events,
            "span_events": self.work.events - self.work.warm_events,
            **self.watch.figures(),
            "lost": self.work.events - sum(self._seen),
            "doubled": self.doubled,
            "order_violations": self.order_violations,
            "rss_bytes": rss_peak_bytes(),
        }


def told() -> Work:
    """The work that this program was started for, and a garbage collector that seldom looks."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    return Work.of(sys.argv[1:])


def say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def rss_peak_bytes() -> int:
    """The most memory that this process ever had resident."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _cpu_s(pid: int) -> float:
    if not pid:
        return 0.0
    behind_the_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return sum(map(int, behind_the_name[STATE_AT : STATE_AT + 2])) * TICK_S


def _value(kind: object, text: str) -> object:
    return kind(text) if isinstance(kind, type) else text
