"""What the writer did, in numbers."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class WriterCounts:
    """What happened since the start; the source of metrics."""

    calls: int = 0
    events: int = 0
    unanswered: int = 0
    rejected: int = 0
    refused: dict[str, int] = field(default_factory=lambda: {"rollback": 0, "other owner": 0, "fork": 0})
    counted: int = 0
    unmetered: int = 0
    duplicates_dropped: int = 0
    dead_lettered: int = 0
    effects: int = 0
    damaged: int = 0
