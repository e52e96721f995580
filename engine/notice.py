"""What the engine tells of its life: one notice an event of the pipeline, never one an event of a topic.

Names are public API, as are the names of their fields. No key stands in a notice (`key_hash` names it), no payload and
no secret; a handler's error is cut to `CAUSE_MAX` characters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import xxhash

Level = Literal["debug", "info", "warning", "error"]
Field: TypeAlias = str | int | float | bool | None

CAUSE_MAX: Final = 300
LEVELS: Final[Mapping[str, Level]] = {
    "engine.started": "info",
    "engine.stopped": "info",
    "partition.assigned": "info",
    "partition.waiting": "warning",  # its records, the log or the group do not answer yet
    "partition.drained": "info",
    "partition.halted": "error",  # needs a person
    "epoch.began": "info",
    "epoch.read_again": "warning",  # an old hole: so much is read again whenever the partition moves
    "epoch.ended": "warning",
    "key.parked": "warning",
    "key.released": "info",
    "paused": "info",
    "resumed": "info",
    "settings.changed": "info",
    "breaker.opened": "warning",
    "breaker.closed": "info",
    "held_back": "warning",  # the watermark of a partition stands still
    "log.unanswered": "warning",
    "commit.unanswered": "warning",
    "commit.missing": "warning",
    "commit.foreign": "warning",
    "state.unanswered": "warning",
    "state.damaged": "error",
    "effects.unanswered": "warning",
    "reaction.failed": "error",
    "dead_letters.unanswered": "warning",
    "dead_letter.cut": "warning",
    "handler.left_running": "warning",
    "board.left": "warning",
    "waiting": "warning",  # a process that starts waits for a server or a topic
    "metrics.served": "info",
}
"""Every notice of the engine and its level."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened to the pipeline: `text` for people, `name` and `fields` for machines."""

    name: str
    text: str
    level: Level = "info"
    fields: Mapping[str, Field] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text


Tell: TypeAlias = Callable[[Notice], None]
"""Where notices go. It neither waits nor fails."""


def notice(name: str, text: str, **fields: Field) -> Notice:
    """A notice of the engine, with the level that `LEVELS` gives to its name."""
    return Notice(name, text, LEVELS[name], fields)


def commanded(name: str, partition: int | None, key: bytes | None, more: str = "") -> Notice:
    """That an operator's command was carried out, for a partition, a key, or without both the topic."""
    fields: dict[str, Field] = {} if partition is None else {"partition": partition}
    if key is not None:
        fields["key_hash"] = key_hash(key)
    what = " and ".join(f"{field.removesuffix('_hash')} {value}" for field, value in fields.items()) or "the topic"
    return notice(name, f"{name.rpartition('.')[2]} by command: {what}{more}", **fields)


def telling(tell: Tell | None, warn: Callable[[str], None] | None) -> Tell:
    """Both as one: `tell` gets every notice, `warn` the text of those that somebody should read."""

    def told(notice: Notice) -> None:
        if tell is not None:
            tell(notice)
        if warn is not None and notice.level in {"warning", "error"}:
            warn(notice.text)

    return told


def key_hash(key: bytes | None) -> str:
    """How a key is named to people, since keys are the customer's: xxh3_64 in hexadecimal, as for buckets."""
    return xxhash.xxh3_64_hexdigest(key or b"")


def shortened(cause: str) -> str:
    """What user code or a server said, of bounded length."""
    return cause if len(cause) <= CAUSE_MAX else f"{cause[:CAUSE_MAX]}…"
