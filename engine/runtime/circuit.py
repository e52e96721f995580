"""The circuit breaker at work: whether user code may be called now, and what its outcome says of everybody's."""

import anyio

from engine.core.breaker import Breaker
from engine.core.lanes import Lane, LaneName
from engine.notice import Tell, notice
from engine.runtime.settings import Settings


class Circuit:
    """Follows the settings; `breaker_keys` of 0 leaves it closed for ever."""

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self._settings = settings
        self._tell = tell
        self._numbers = (0, 0.0, 0.0)
        self._breaker: Breaker | None = None
        self._configure()
        settings.on_change(self._configure)

    @property
    def is_open(self) -> bool:
        return self._breaker is not None and self._breaker.is_open

    def admit(self, lane: Lane) -> float:
        """0.0: call; else the seconds to wait before asking again."""
        if self._breaker is None or not self._breaker.is_open:
            return 0.0
        return self._breaker.admit(_name(lane), anyio.current_time(), failing=lane.failing)

    def succeeded(self) -> None:
        """User code returned, for whatever key."""
        if self._breaker is None or self._breaker.calm:
            return
        self._say_closed("the circuit breaker is closed: a handler has succeeded")
        self._breaker.succeeded()

    def failed(self, lane: Lane) -> bool:
        """Whether the fault may be everybody's: the breaker is open now."""
        if self._breaker is None:
            return False
        was_open = self._breaker.is_open
        self._breaker.failed(_name(lane), anyio.current_time(), failing=lane.failing)
        if self._breaker.is_open and not was_open:
            text = "the circuit breaker is open: the handlers of all keys fail, one at a time is tried"
            self._tell(notice("breaker.opened", text, keys=self._settings.config.breaker_keys))
        return self._breaker.is_open

    def abandoned(self, lane: Lane) -> None:
        """A call ended without an outcome."""
        if self._breaker is not None:
            self._breaker.abandoned(_name(lane))

    def _say_closed(self, text: str) -> None:
        if self.is_open:
            self._tell(notice("breaker.closed", text))

    def _configure(self) -> None:
        config = self._settings.config
        keys, open_s, open_max_s = config.breaker_keys, config.breaker_open_s, config.breaker_cap_s
        if self._numbers != (keys, open_s, open_max_s):
            self._numbers = (keys, open_s, open_max_s)
            self._say_closed("the circuit breaker is closed: its settings have changed")
            self._breaker = Breaker(keys=keys, open_s=open_s, open_max_s=open_max_s) if keys else None


def _name(lane: Lane) -> tuple[int, LaneName]:
    """What counts as one of many: a key, a partition, or an event, whatever shares an order."""
    return lane.events[0].partition, lane.name
