"""SIGHUP: the settings are read again. What may change while the process runs does; a notice says what cannot."""

import asyncio
from collections.abc import Callable
from dataclasses import fields

from billing.config import PREFIX, BillingConfig
from engine import LIVE, ConfigError, Engine, Notice, Tell
from engine.adapters.json_log import set_up_logging

LIVE_HERE = frozenset({"log_format", "log_level"})
"""Fields of `BillingConfig` that may change while the process runs."""


class Reload:
    """`load` reads the settings as at the start. A file that cannot be used changes nothing."""

    def __init__(
        self, config: BillingConfig, load: Callable[[], BillingConfig], tell: Tell, engine: Callable[[], Engine | None]
    ) -> None:
        self._started = self._config = config
        self._load = load
        self._tell = tell
        self._engine = engine

    async def run(self, hangup: asyncio.Event) -> None:
        """Reads the settings whenever `hangup` is set."""
        while True:
            await hangup.wait()
            hangup.clear()
            self.reload()

    def reload(self) -> None:
        """Reads the settings now."""
        try:
            found = self._load()
            changed = self._change_engine(found)
        except ConfigError as error:
            text = f"the settings are not taken over, nothing was changed: {error}"
            self._tell(Notice("settings.refused", text, "error", {"problems": len(error.problems)}))
            return
        changed += self._change_logs(found)
        waiting = self._needs_restart(found)
        self._config = found
        if waiting:
            text = f"these settings hold from the next start on: {', '.join(waiting)}"
            self._tell(Notice("settings.restart_needed", text, "warning", {"names": ", ".join(waiting)}))
        text = f"the settings were read again; changed: {', '.join(changed) or 'nothing'}"
        self._tell(Notice("settings.read", text, "info", {"changed": ", ".join(changed)}))

    def _change_engine(self, found: BillingConfig) -> list[str]:
        """What commands have changed since is as the settings say again. Raises ConfigError."""
        engine = self._engine()
        if engine is None:
            return []  # it will begin with what its process was started with: see `_needs_restart`
        wanted = {name: getattr(found.engine, name) for name in sorted(LIVE)}
        return [f"ENGINE_{name.upper()}" for name in engine.change(wanted)]

    def _change_logs(self, found: BillingConfig) -> list[str]:
        changed = [name for name in sorted(LIVE_HERE) if getattr(found, name) != getattr(self._config, name)]
        if changed:
            set_up_logging(found.log_format, found.log_level)
        return [PREFIX + name.upper() for name in changed]

    def _needs_restart(self, found: BillingConfig) -> list[str]:
        """Names only: a value may be a secret."""
        before, running = self._started, self._engine() is not None
        own = [
            PREFIX + each.name.upper()
            for each in fields(found)
            if each.name not in LIVE_HERE | {"engine"} and getattr(found, each.name) != getattr(before, each.name)
        ]
        shared = {"topic", "group", "horizon_d"}  # which follow from our own
        engines = [
            f"ENGINE_{each.name.upper()}"
            for each in fields(found.engine)
            if each.name not in shared | (LIVE if running else frozenset())
            and getattr(found.engine, each.name) != getattr(before.engine, each.name)
        ]
        return own + engines
