"""What the aggregation must hold in the end, as every peer tells it: the digest of all cells in their order.

A cell is a line of text: customer, hour or month, model, number of events and sum of tokens.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from perf.harness.usage import Usage, UsageLog

HOUR_LETTERS = len("2025-11-24T16")
MONTH_LETTERS = len("2025-11")


class Cells(NamedTuple):
    """How many there are, and a digest of what is in them."""

    cells: int
    digest: str


def digest_of(lines: Iterable[str]) -> Cells:
    """Of lines in any order."""
    ordered, digest = sorted(lines), hashlib.sha256()
    for line in ordered:
        digest.update(f"{line}\n".encode())
    return Cells(len(ordered), digest.hexdigest())


def expected(log: UsageLog) -> Cells:
    """By a dictionary; an identity counts once."""
    decode = msgspec.json.Decoder(Usage).decode
    counts: dict[tuple[str, str, str], list[int]] = {}
    known: set[tuple[str, str]] = set()
    for key, value in log.records():
        usage = decode(value)
        if (usage.source, usage.id) in known:
            continue
        known.add((usage.source, usage.id))
        for letters in (HOUR_LETTERS, MONTH_LETTERS):
            cell = counts.setdefault((key.decode(), usage.time[:letters], usage.model), [0, 0])
            cell[0] += 1
            cell[1] += usage.tokens
    return digest_of(line_of(*place, *cell) for place, cell in counts.items())


def line_of(customer: str, when: str, model: str, count: int, tokens: int) -> str:
    return f"{customer}\t{when}\t{model}\t{count}\t{tokens}"
