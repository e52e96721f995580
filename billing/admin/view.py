"""What the worker's HTTP routes see of its process."""

from collections.abc import Callable
from dataclasses import dataclass

from engine import Engine


@dataclass(slots=True, kw_only=True)
class WorkerView:
    """`engine` is None until the worker has joined its group."""

    name: str
    exposition: Callable[[], bytes]
    catalog_version: Callable[[], int]
    waits_for: str = "the worker is starting"
    """Why there is no engine yet, in words."""
    engine: Engine | None = None

    def warnings(self) -> list[str]:
        """What a person should look at although the worker runs."""
        if self.engine is None:
            return []
        return [
            f"partition {each.partition} is {each.state}: {each.held_back_by.reason}"
            for each in self.engine.statistics().partitions
            if each.state == "halted" and each.held_back_by is not None
        ]
