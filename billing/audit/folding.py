"""How values come together in a cell: plain Python on exact integers, written again from the contract.

A cell's address is (start in seconds since 1970, series). A series is (aggregate, meter, version, group values in the
order of the group's names). Quantities are integers of 10**-12.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import NamedTuple, TypeAlias

SCALE = 10**12

Figure: TypeAlias = tuple[object, ...] | AbstractSet[bytes]
"""What a cell says, comparable: count (n), sum (n, sum), min/max (value), latest (rank, value), unique {digests}."""


class Series(NamedTuple):
    aggregate: str
    meter: str
    version: int
    group: tuple[str, ...]


class Address(NamedTuple):
    start_s: int
    series: Series


class Addition(NamedTuple):
    """What one event adds to one cell. `figure` is the cell as if there were no other event."""

    address: Address
    figure: Figure


def figure_of_one(aggregate: str, value: int, rank: tuple[int, int, int, int], digest: bytes) -> Figure:
    """`value`: the quantity; `rank`: (time in microseconds, arrival in milliseconds, partition, offset)."""
    match aggregate:
        case "count":
            return (1,)
        case "sum":
            return (1, value)
        case "min" | "max":
            return (value,)
        case "latest":
            return (rank, value)
        case "unique":
            return frozenset((digest,))
        case _:
            raise AssertionError(aggregate)


def together(aggregate: str, figures: Iterable[Figure]) -> Figure:
    """The figure of all of them; at least one."""
    every = list(figures)
    match aggregate:
        case "count" | "sum":
            return tuple(sum(column) for column in zip(*every, strict=True))
        case "min":
            return min(every, key=_number)
        case "max" | "latest":
            return max(every, key=_number)
        case "unique":
            return frozenset[bytes]().union(*every)  # type: ignore[arg-type]
        case _:
            raise AssertionError(aggregate)


def in_words(aggregate: str, figure: Figure | None) -> str | None:
    """For people: the value as a plain decimal, with the number of events where there is one."""
    if figure is None:
        return None
    if isinstance(figure, AbstractSet):
        return f"{len(figure)}"
    match aggregate, figure:
        case "count", (int(count),):
            return str(count)
        case "sum", (int(count), int(value)):
            return f"{decimal_text(value)} in {count} events"
        case "latest", ((int(time_us), *_), int(value)):
            return f"{decimal_text(value)} of {time_us} us"
        case "min" | "max", (int(value),):
            return decimal_text(value)
        case _:
            return str(figure[0])


def decimal_text(scaled: int) -> str:
    whole, rest = divmod(abs(scaled), SCALE)
    text = f"{whole}.{rest:012d}".rstrip("0").rstrip(".")
    return f"-{text}" if scaled < 0 else text


def _number(figure: Figure) -> tuple[object, ...]:
    assert isinstance(figure, tuple)
    return figure
