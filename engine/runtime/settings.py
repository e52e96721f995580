"""The settings in force: whoever needs one asks here each time, so that a change holds from the next turn on."""

from collections.abc import Callable, Mapping
from dataclasses import fields

from engine.config import EngineConfig


class Settings:
    """Holds the configuration; `change` replaces it as a whole."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self._changed: list[Callable[[], None]] = []

    def on_change(self, changed: Callable[[], None]) -> None:
        """`changed` is called after every change."""
        self._changed.append(changed)

    def change(self, changes: Mapping[str, object]) -> Mapping[str, tuple[object, object]]:
        """All or nothing. Returns what is different now: before and after, by field. Raises ConfigError."""
        before, self.config = self.config, self.config.changed(changes)
        for changed in self._changed:
            changed()
        pairs = {each.name: (getattr(before, each.name), getattr(self.config, each.name)) for each in fields(before)}
        return {name: (was, now) for name, (was, now) in pairs.items() if was != now}
