"""The peers by name: how each is started, and about how fast each was found to be, so that logs have a fitting size."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from perf.peers import java
from perf.peers.environment import pyrallel_python

LIFT_HEAP_MB = 1_024
STREAMS_HEAP_MB = 2_048
PYTHON_WARMS_UP = 0.1
JAVA_WARMS_UP = 0.5
"""Shares of a log. A virtual machine that is still compiling would be measured unfairly."""


class Point(NamedTuple):
    """What a handler waits for, and how many may at once."""

    wait_ms: int
    concurrency: int

    def __str__(self) -> str:
        return f"{self.wait_ms} ms × {self.concurrency:,}"


POINTS = (Point(10, 100), Point(10, 1_000), Point(1, 100), Point(1, 1_000))


class Peer(NamedTuple):
    """`command` gives what starts it, without the work, and raises Missing; `rates` are events/s where it runs."""

    name: str
    command: Callable[[], list[str]]
    warms_up: float
    rates: Mapping[Point, float]


def python(module: str, interpreter: Path = Path(sys.executable)) -> list[str]:
    return [str(interpreter), "-m", f"perf.peers.{module}"]


def _parallel_consumer(kind: str) -> list[str]:
    return java.command("lift", "Lift", heap_mb=LIFT_HEAP_MB, settings=[f"kind={kind}"])


def streams(store: str, commit_ms: int) -> list[str]:
    """Kafka Streams; `store` is memory or rocksdb. Needs a `folder` for its state too. Raises Missing."""
    settings = [f"store={store}", f"commit_ms={commit_ms}"]
    return java.command("streams", "Totals", heap_mb=STREAMS_HEAP_MB, settings=settings)


def _rates(*values: float | None) -> Mapping[Point, float]:
    return {point: value for point, value in zip(POINTS, values, strict=True) if value is not None}


OURS = Peer("keylane", lambda: python("keylane_lift"), PYTHON_WARMS_UP, _rates(9_000, 40_000, 30_000, 40_000))
LIFTS = (
    Peer(
        "Parallel Consumer, threads",
        lambda: _parallel_consumer("threads"),
        JAVA_WARMS_UP,
        _rates(9_000, 25_000, 30_000, 25_000),
    ),
    Peer(
        "Parallel Consumer, Vert.x",
        lambda: _parallel_consumer("vertx"),
        JAVA_WARMS_UP,
        _rates(9_000, 50_000, 30_000, 50_000),
    ),
    Peer("aiokafka, gather", lambda: python("gather"), PYTHON_WARMS_UP, _rates(4_000, 28_000, 25_000, 60_000)),
    Peer(
        "pyrallel-consumer",
        lambda: python("pyrallel", pyrallel_python()),
        PYTHON_WARMS_UP,
        _rates(5_000, 1_200, 8_000, 1_200),
    ),
    Peer("aiokafka, sequential", lambda: python("sequential"), PYTHON_WARMS_UP, _rates(None, 97, None, 800)),
)
"""The sequential one knows no concurrency, so it runs once a wait."""
