"""What the user wrote, and whom it needs: shared by all epochs of a process."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from engine.config import EngineConfig
from engine.core.lanes import LaneName, Ready
from engine.errors import ConfigError, HandlerFailed
from engine.event import Event
from engine.notice import Tell
from engine.ports import StateServer
from engine.processor import BatchHandler, Handler, Processor, Waits
from engine.runtime.circuit import Circuit
from engine.runtime.dead_letters import DeadLetters
from engine.runtime.deferred import Deferred
from engine.runtime.holds import Holds
from engine.runtime.settings import Settings
from engine.telemetry import Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Exactly one of `processor`, `handler` and `batch_handler` is given."""

    settings: Settings
    ready: Ready
    deferred: Deferred
    letters: DeadLetters
    holds: Holds
    circuit: Circuit
    random: Random
    telemetry: Telemetry
    tell: Tell
    eased: Callable[[], None]
    """A partition that was full may be fetched again."""
    wake: Callable[[], None]
    """Lanes became ready outside of a turn."""
    retried: Callable[[], None]
    handled: Callable[[float], None]
    """User code took this many seconds."""
    broken: Callable[[BaseException], None]
    """A fault that nobody else can raise: the engine ends with it."""
    fatal: Callable[[HandlerFailed], None]
    """The engine must stop."""
    processor: Processor | None = None
    handler: Handler | None = None
    batch_handler: BatchHandler | None = None
    waits: Waits | None = None
    """The processor, if what it knows can lag behind the events."""

    @property
    def config(self) -> EngineConfig:
        """The settings in force now."""
        return self.settings.config

    @property
    def inline(self) -> bool:
        """Whether the processor answers without awaiting, so that no lane is needed."""
        return (
            self.processor is not None
            and self.config.ordering == "key"
            and not inspect.iscoroutinefunction(self.processor.prepare)
        )

    def lane_name(self, event: Event) -> LaneName:
        """What the event shares an order with."""
        match self.config.ordering:
            case "key":
                return event.key or b""
            case "partition":
                return "partition"
            case "none":
                return event.offset

    def until_ms(self) -> int | None:
        """Events with a later arrival wait; None: all are handed out."""
        return None if self.waits is None else self.waits.handles_until_ms()


def check_given(config: EngineConfig, given: list[object], state: StateServer | None) -> None:
    """`given`: processor, handler and batch handler. Raises ConfigError: they do not fit each other or the settings."""
    problems = []
    processor, *_ = given
    if sum(each is not None for each in given) != 1:
        problems.append("give a processor (with a state server), or a handler or batch_handler (without)")
    if (processor is None) != (state is None):
        problems.append("a processor needs a state server, and a handler must have none")
    if processor is not None and config.ordering == "none":
        problems.append("ordering is 'none': a processor with aggregates needs 'key' or 'partition'")
    if problems:
        raise ConfigError(problems)
