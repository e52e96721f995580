"""Bugs on purpose: each takes one rule or guard out of the production code, or out of the simulated function library.

The simulation proves something only if it finds these: the rules of the protocol, and guards of the runtime.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from engine.sim.patching import Patch, Patching
from engine.sim.plants_of_identities import IDENTITIES
from engine.sim.plants_of_progress import PROGRESS
from engine.sim.plants_of_reactions import REACTIONS
from engine.sim.plants_of_runtime import GUARDS

Plant = Callable[[Patch], None]

PLANTS: Final[Mapping[str, Plant]] = {**PROGRESS, **IDENTITIES, **REACTIONS, **GUARDS}


@contextmanager
def plant(name: str) -> Iterator[None]:
    """While it lasts, the bug is in; "" plants nothing."""
    patching = Patching()
    if name:
        PLANTS[name](patching.patch)
    try:
        yield
    finally:
        patching.undo()
