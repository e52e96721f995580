"""Replaces attributes, and puts them back."""

from collections.abc import Callable
from typing import TypeAlias

Patch: TypeAlias = Callable[[object, str, object], None]
"""Owner, name of its attribute, and what stands there from now on."""


class Patching:
    def __init__(self) -> None:
        self._before: list[tuple[object, str, object]] = []

    def patch(self, owner: object, name: str, value: object) -> None:
        found = vars(owner)[name]  # not `getattr`: a property or static method is to be put back as it is
        self._before.append((owner, name, found))
        setattr(owner, name, value)

    def undo(self) -> None:
        while self._before:
            owner, name, value = self._before.pop()
            setattr(owner, name, value)


class Named:
    """Plants by name, in the order in which they are written."""

    def __init__(self) -> None:
        self.plants: dict[str, Callable[[Patch], None]] = {}

    def __call__(self, plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
        self.plants[plant.__name__.rstrip("_")] = plant
        return plant
