"""Engine settings. Durations end in `_s`, sizes in `_bytes`, limits in `_max`. Checked as a whole, before any I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from engine.errors import ConfigError

Ordering = Literal["key", "partition", "none"]
Durability = Literal["memory", "aof", "replica"]
OnFailure = Literal["dead_letter", "park", "stop"]
PREFIX = "ENGINE_"
AUTO = "auto"
MAY_BE_ZERO = frozenset({"retry_max", "batch_linger_s", "breaker_keys"})
LIVE = frozenset(
    {
        *{"concurrency", "concurrency_max", "batch_max", "batch_linger_s", "handler_timeout_s"},
        *{"retry_max", "retry_base_s", "retry_cap_s", "on_failure", "breaker_keys", "breaker_open_s", "breaker_cap_s"},
        "held_back_interval_s",
    }
)
"""What `Engine.change` may change while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What one engine does. `from_settings` reads the fields from names like `ENGINE_IN_FLIGHT_MAX`."""

    topic: str = "events"
    group: str = "engine"
    concurrency: int | Literal["auto"] = 1_000
    """Lanes running at once in this process, over all partitions; `auto` finds the knee of the handler's latency."""
    concurrency_max: int = 4_000
    """The most that `auto` may choose."""
    in_flight_max: int = 20_000
    """Events of a partition that were read and are not done."""
    in_flight_bytes_max: int = 64 * 1024 * 1024
    """Their size in memory: key, value, and what an event costs by itself."""
    batch_max: int = 500
    """Consecutive events of one key handed over together."""
    batch_linger_s: float = 0.0
    """How long a key's batch that is not full may wait for more."""
    fetch_max: int = 2_000
    """Events taken from the log's client at once."""
    fetch_wait_s: float = 0.1
    """How long a fetch may wait at the log's end."""
    call_events_max: int = 1_600
    """Events in one call to Redis, where one more key counts as eight: what a call holds the server up for."""
    calls_in_flight_max: int = 2
    call_timeout_s: float = 5.0
    """After this a call is in doubt, and the same bytes are sent again."""
    commit_interval_s: float = 1.0
    idle_write_s: float = 1.0
    """Slices in which nothing moved are compared this often: how lost writes are noticed where nothing else happens."""
    status_interval_s: float = 0.25
    held_back_interval_s: float = 60.0
    """While the watermark of a partition stands still, a notice so often says what holds it back."""
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
    """For one call of the handler: one event, or one batch."""
    on_failure: OnFailure = "dead_letter"
    """After the last retry: write a dead letter, park the key until it is released by command, or stop the engine."""
    breaker_keys: int = 20
    """When events of this many keys in a row fail and none succeeds, the fault is not theirs: everything waits, and
    one at a time is tried. 0: never."""
    breaker_open_s: float = 1.0
    """The first wait for such a try; doubles up to `breaker_cap_s`."""
    breaker_cap_s: float = 30.0
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
            f"{field.name} is {value}: must {'not be negative' if field.name in MAY_BE_ZERO else 'be above 0'}"
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), int | float)
            and not isinstance(value, bool)
            and not (value > 0 or (value == 0 and field.name in MAY_BE_ZERO))
        ]
        if isinstance(self.concurrency, str) and self.concurrency != AUTO:
            problems.append(f"concurrency is {self.concurrency!r}: must be a number, or {AUTO}")
        if self.drain_s >= self.rebalance_s:
            problems.append(
                f"drain_s is {self.drain_s}: must be below rebalance_s ({self.rebalance_s}), "
                "or the group evicts this member while it drains"
            )
        for name, kind in (("ordering", Ordering), ("durability", Durability), ("on_failure", OnFailure)):
            if getattr(self, name) not in get_args(kind):
                problems.append(f"{name} is {getattr(self, name)!r}: must be one of {', '.join(get_args(kind))}")
        if self.breaker_cap_s < self.breaker_open_s:
            problems.append(f"breaker_cap_s is {self.breaker_cap_s}: must be at least breaker_open_s")
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
            try:
                values[known[name].name] = _parse(str(known[name].type), raw)
            except ValueError as error:
                problems.append(f"{name} is {raw!r}: {error}")
        if problems:
            raise ConfigError(problems)
        return cls(**(values | given))

    def changed(self, changes: Mapping[str, object]) -> "EngineConfig":
        """A copy with other values, by field (`retry_max`) or setting (`ENGINE_RETRY_MAX`), checked as at start.

        Raises:
            ConfigError: an unknown name, one that needs a restart, or a value that is not valid.
        """
        problems: list[str] = []
        values: dict[str, Any] = {}
        kinds = {field.name: str(field.type) for field in fields(self)}
        for given, raw in changes.items():
            name = given.removeprefix(PREFIX).lower()
            if name not in kinds:
                problems.append(f"{given} is not a setting")
            elif name not in LIVE:
                problems.append(f"{given} needs a restart; without one can change: {', '.join(sorted(LIVE))}")
            else:
                try:
                    values[name] = _parse(kinds[name], raw)
                except ValueError as error:
                    problems.append(f"{given} is {raw!r}: {error}")
        if problems:
            raise ConfigError(problems)
        return replace(self, **values)


def _parse(kind: str, raw: object) -> object:
    """`kind` is the annotation of the field as written above."""
    text = str(raw).strip()
    if f"Literal['{AUTO}']" in kind:
        return AUTO if text == AUTO else int(text)
    if kind.endswith("int'>") or kind == "int":
        return int(text)
    if kind.endswith("float'>") or kind == "float":
        return float(text)
    if kind.endswith("bool'>") or kind == "bool":
        if text.lower() not in {"true", "false", "1", "0"}:
            raise ValueError("must be true or false")
        return text.lower() in {"true", "1"}
    return text
