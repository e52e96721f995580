"""Engine settings. Durations end in `_s`, sizes in `_bytes`, limits in `_max`. Checked as a whole, before any I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from engine.errors import ConfigError

Ordering = Literal["key", "partition", "none"]
Durability = Literal["memory", "aof", "replica"]
PREFIX = "ENGINE_"
AUTO = "auto"
"""`ENGINE_CONCURRENCY`: as many lanes as the engine sees fit, which is the default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What one engine does. `from_settings` reads the fields from names like `ENGINE_IN_FLIGHT_MAX`."""

    topic: str = "events"
    group: str = "engine"
    concurrency: int = 1_000
    """Lanes running at once in this process, over all partitions."""
    in_flight_max: int = 20_000
    """Events of a partition that were read and are not done."""
    in_flight_bytes_max: int = 64 * 1024 * 1024
    batch_max: int = 500
    """Consecutive events of one key handed over together."""
    fetch_max: int = 2_000
    """Events taken from the log's client at once."""
    fetch_wait_s: float = 0.1
    """How long a fetch may wait at the log's end."""
    call_events_max: int = 3_000
    """Events in one call to Redis: bounds the time for which a call holds the server up."""
    calls_in_flight_max: int = 2
    call_timeout_s: float = 5.0
    """After this a call is in doubt, and the same bytes are sent again."""
    commit_interval_s: float = 1.0
    idle_write_s: float = 1.0
    """Slices in which nothing moved are compared this often: how lost writes are noticed where nothing else happens."""
    status_interval_s: float = 0.25
    drain_s: float = 10.0
    """How long a revoked partition, or a stop, may finish its open events before it lets go."""
    session_s: float = 45.0
    rebalance_s: float = 60.0
    instance_id: str | None = None
    """Static membership: a restart within the session moves no partition."""
    ordering: Ordering = "key"
    retry_max: int = 5
    retry_base_s: float = 0.1
    retry_cap_s: float = 30.0
    handler_timeout_s: float = 60.0
    durability: Durability = "memory"
    buckets: int = 64
    horizon_d: int = 34
    """An identity counts again only further away than this many days of arrival."""
    from_log_start: bool = False
    """Start a new group on a log that no longer begins at offset 0."""
    accept_lost_state: bool = False
    """Go on where state was lost and the log cannot rebuild it: the figures are incomplete from then on."""

    def __post_init__(self) -> None:
        problems = [
            f"{field.name} is {value}: must be above 0"
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), int | float)
            and not isinstance(value, bool)
            and value <= 0
            and field.name != "retry_max"
        ]
        if self.retry_max < 0:
            problems.append(f"retry_max is {self.retry_max}: must not be negative")
        if self.drain_s >= self.rebalance_s:
            problems.append(
                f"drain_s is {self.drain_s}: must be below rebalance_s ({self.rebalance_s}), "
                "or the group evicts this member while it drains"
            )
        for name, kind in (("ordering", Ordering), ("durability", Durability)):
            if getattr(self, name) not in get_args(kind):
                problems.append(f"{name} is {getattr(self, name)!r}: must be one of {', '.join(get_args(kind))}")
        if self.buckets > 4096:
            problems.append(f"buckets is {self.buckets}: must be at most 4096")
        if problems:
            raise ConfigError(problems)

    @classmethod
    def from_settings(cls, settings: Mapping[str, object], **given: Any) -> "EngineConfig":
        """Reads `ENGINE_*` names (text or the values of a TOML file); `given` fields win.

        Raises:
            ConfigError: an unknown name, a value that does not parse, or a combination that cannot work.
        """
        known = {PREFIX + field.name.upper(): field for field in fields(cls)}
        values: dict[str, Any] = {}
        problems: list[str] = []
        for name, raw in settings.items():
            if name not in known:
                problems.append(f"{name} is not a setting; known are {', '.join(sorted(known))}")
                continue
            if name == PREFIX + "CONCURRENCY" and raw == AUTO:
                continue
            try:
                values[known[name].name] = _parse(str(known[name].type), raw)
            except ValueError as error:
                problems.append(f"{name} is {raw!r}: {error}")
        if problems:
            raise ConfigError(problems)
        return cls(**(values | given))


def _parse(kind: str, raw: object) -> object:
    """`kind` is the annotation of the field as written above."""
    text = str(raw).strip()
    if kind.endswith("int'>") or kind == "int":
        return int(text)
    if kind.endswith("float'>") or kind == "float":
        return float(text)
    if kind.endswith("bool'>") or kind == "bool":
        if text.lower() not in {"true", "false", "1", "0"}:
            raise ValueError("must be true or false")
        return text.lower() in {"true", "1"}
    return text
