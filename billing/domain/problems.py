"""What is wrong with something that somebody gave us: every problem at once, each with its place."""

from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    """`field` is the place (`data.tokens`, `plans[0].rates[1].rate.unit`), "" for the whole; `line` counts from 1."""

    field: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.field}: " if self.field else ""
        line = f"line {self.line}: " if self.line else ""
        return f"{line}{place}{self.message}"


class Invalid(ValueError):
    """Base class: what was given cannot be used. `problems` lists everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


class InvalidEvent(Invalid):
    """A usage event that can never count: refused at the door, dead-lettered in the log."""


class InvalidCatalog(Invalid):
    """A catalog, or a change of one, that cannot take effect."""


class InvalidRate(Invalid):
    """A rate that cannot price, or not what it was asked to price."""
