"""How much of what has gathered goes into one call: a call holds the server up, so it is bounded by what it touches.

Measured on Valkey: an event of a key that the call touches anyway costs 4 to 6 µs (its identity, its part of the sums),
the first event of a key up to 40 (its day, its running total, both perhaps new), each further cell about as much as an
event; a question about an identity a quarter of an event. So a call of the default size takes about 4 ms where a
thousand keys come round again and again.
"""

from collections.abc import Sequence

from engine.event import Counts, Dead, Event

KEY_WEIGHT = 8
"""What touching one more key adds, in events."""
QUESTIONS_AN_EVENT = 4
"""So many identities can be asked about for what an event costs."""


def cut(gathered: Sequence[tuple[Event, Counts | Dead]], room: int, most: int) -> tuple[int, int]:
    """How many of the first `most` events fit into `room`, and what they weigh: at least one does."""
    first = gathered[:most]
    if most + KEY_WEIGHT <= room:
        weight = sum([_adds(answer) for _, answer in first]) + KEY_WEIGHT * len({event.key for event, _ in first})
        if weight <= room:
            return most, weight
    keys: set[bytes | None] = set()
    weight = 0
    for index, (event, answer) in enumerate(first):
        weighs = _adds(answer)
        if event.key not in keys:
            keys.add(event.key)
            weighs += KEY_WEIGHT
        if index and weight + weighs > room:
            return index, weight
        weight += weighs
    return most, weight


def _adds(answer: Counts | Dead) -> int:
    return 1 if isinstance(answer, Dead) else len(answer.adds) or 1
