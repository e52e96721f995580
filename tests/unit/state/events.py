"""An event as small as the state needs it."""

from typing import NamedTuple


class FakeEvent(NamedTuple):
    key: bytes | None
    timestamp: int
    partition: int = 0
    offset: int = 0
    topic: str = "events"
    value: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
