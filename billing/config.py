"""Billing's settings: the environment over a TOML file over defaults, checked as a whole before any I/O.

`BILLING_*` names are the fields of `BillingConfig`; `ENGINE_*` names go to `EngineConfig`. In the file the same names
stand at the top, or without their prefix in the tables `[billing]` and `[engine]`. `NAME_FILE` reads the value of
NAME from a file, for secrets (where NAME_FILE is not a setting by itself, as of certificates). A name that nobody knows
is an error, and all problems are listed at once. No message repeats a secret.
"""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from billing.security import security_problems
from engine import ConfigError, EngineConfig, Level, Secret
from engine.adapters.json_log import LogFormat

PREFIX = "BILLING_"
PORTS = ("api_port", "worker_port")
ENGINE_PREFIX = "ENGINE_"
SHARED = {"ENGINE_TOPIC": "BILLING_TOPIC", "ENGINE_GROUP": "BILLING_GROUP", "ENGINE_HORIZON_D": "BILLING_HORIZON_D"}
"""Engine settings that billing derives from its own."""
MEANINGS = {
    "kafka": "the Kafka servers, for example BILLING_KAFKA=localhost:9092",
    "redis": "the Redis URL, for example BILLING_REDIS=redis://localhost:6379",
}


NOTHING = Secret("")


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingConfig:
    """What a worker or an API needs to know. Durations end in `_s` or `_d` (days), sizes in `_bytes`."""

    kafka: str = ""
    """host:port, separated by commas."""
    kafka_protocol: str = "plaintext"
    """plaintext, tls, sasl_plaintext or sasl_tls; or Kafka's own names."""
    kafka_ca_file: Path | None = None
    """Certificates to trust, PEM; without it those that the system trusts."""
    kafka_certificate_file: Path | None = None
    """Our own, PEM, where Kafka wants one."""
    kafka_key_file: Path | None = None
    """Its key, PEM, where it is not in the same file."""
    kafka_key_password: Secret = NOTHING
    kafka_sasl_mechanism: str = ""
    """PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER."""
    kafka_username: str = ""
    kafka_password: Secret = NOTHING
    kafka_token_file: Path | None = None
    """Holds a token for OAUTHBEARER; read at each connection."""
    kafka_token_command: str = field(default="", repr=False)
    """Prints a token for OAUTHBEARER, for example: get-token --audience kafka."""
    redis: str = field(default="", repr=False)
    """redis://, rediss://, redis+cluster:// or rediss+cluster:// URL; may carry a password."""
    redis_username: str = ""
    redis_password: Secret = NOTHING
    redis_ca_file: Path | None = None
    """Certificates to trust, PEM, for rediss; without it those that the system trusts."""
    redis_certificate_file: Path | None = None
    redis_key_file: Path | None = None
    redis_key_password: Secret = NOTHING
    catalog: Path | None = None
    """The first catalog: registered as version 1 where none is registered yet."""
    topic: str = "usage-events"
    alerts_topic: str = "billing-alerts"
    facts_topic: str = "billing-facts"
    group: str = "billing"
    horizon_d: int = 34
    """Days of arrival within which a second event with the same identity is a duplicate."""
    log_format: LogFormat = "text"
    """text, or json: one object a line. Worker and API; SIGHUP changes it."""
    log_level: Level = "info"
    """debug, info, warning or error. Worker and API; SIGHUP changes it."""
    worker_host: str = "127.0.0.1"
    worker_port: int | None = None
    """Where a worker answers: health, metrics, statistics and commands, for whoever reaches it. 0 takes a free port."""
    api_host: str = "127.0.0.1"
    api_port: int = 8080
    """0 takes a free port."""
    partitions: int = 12
    """Partitions of the topics that are created here; facts always have one."""
    replication: int = 1
    retention_d: int = 70
    request_bytes_max: int = 1024 * 1024
    request_events_max: int = 1_000
    requests_max: int = 64
    """Requests with events that may be in flight to Kafka at once; more are answered with 429."""
    alerts_kept_max: int = 100_000
    """Alerts that the API keeps to answer from, newest first."""
    viewers_max: int = 500
    """Open streams; more are answered with 503."""
    engine: EngineConfig = field(default_factory=EngineConfig)

    def __post_init__(self) -> None:
        problems = [
            f"{PREFIX}{name.upper()} is {value}: must be above 0"
            for name, value in ((entry.name, getattr(self, entry.name)) for entry in fields(self))
            if isinstance(value, int | float) and value <= 0 and name not in PORTS
        ]
        problems += [
            f"{PREFIX}{name.upper()} is {port}: must be from 0 to 65535"
            for name in PORTS
            if (port := getattr(self, name)) is not None and not 0 <= port <= 65_535
        ]
        for name, kind in (("log_format", LogFormat), ("log_level", Level)):
            if getattr(self, name) not in get_args(kind):
                known = ", ".join(get_args(kind))
                problems.append(f"{PREFIX}{name.upper()} is {getattr(self, name)!r}: must be one of {known}")
        if self.redis and not self.redis.startswith(
            ("redis://", "rediss://", "redis+cluster://", "rediss+cluster://", "unix://")
        ):
            problems.append("BILLING_REDIS must be a URL that begins with redis://, rediss:// or redis+cluster://")
        problems += security_problems(self)
        problems += [
            f"BILLING_KAFKA has {server!r}: every server must be host:port"
            for server in self.kafka.split(",")
            if self.kafka and not _is_server(server)
        ]
        if self.retention_d <= self.horizon_d:
            problems.append(
                f"BILLING_RETENTION_D is {self.retention_d}: must be above BILLING_HORIZON_D ({self.horizon_d}), "
                "or what Redis loses could not be counted again from the log"
            )
        if problems:
            raise ConfigError(problems)

    @property
    def dead_topic(self) -> str:
        return f"{self.topic}.dead"


KNOWN = {PREFIX + entry.name.upper(): entry.name for entry in fields(BillingConfig) if entry.name != "engine"}
"""Names of settings, and the fields they go to."""


def load_config(
    environment: Mapping[str, str], file: Path | None = None, *, needs: Collection[str] = (), **given: Any
) -> BillingConfig:
    """The settings of a process. `given` fields win over everything.

    Raises:
        ConfigError: unknown names, values that do not parse, combinations that cannot work, or one of `needs` is not
            set; all of them at once.
    """
    problems: list[str] = []
    settings = _read_file(file, problems) if file else {}
    settings |= {name: raw for name, raw in environment.items() if name.startswith((PREFIX, ENGINE_PREFIX))}
    settings = _read_secrets(settings, problems)
    problems += [f"{name} is not a setting here: set {SHARED[name]}" for name in settings.keys() & SHARED.keys()]
    values = _parse({name: raw for name, raw in settings.items() if name.startswith(PREFIX)}, problems)
    engine_settings = {
        name: raw for name, raw in settings.items() if name.startswith(ENGINE_PREFIX) and name not in SHARED
    }
    values |= given
    problems += [f"{PREFIX}{name.upper()} is not set: {MEANINGS[name]}" for name in needs if not values.get(name)]
    return _build(values, engine_settings, problems)


def _build(values: dict[str, Any], engine_settings: Mapping[str, object], problems: list[str]) -> BillingConfig:
    """Checks both halves, so that the problems of one do not hide those of the other."""
    shared, engine = BillingConfig(), EngineConfig()
    try:
        shared = BillingConfig(**values)
    except ConfigError as error:
        problems += error.problems
    try:
        engine = EngineConfig.from_settings(
            engine_settings, topic=shared.topic, group=shared.group, horizon_d=shared.horizon_d
        )
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return BillingConfig(**values, engine=engine)


def _read_file(file: Path, problems: list[str]) -> dict[str, object]:
    """The names of the file as they would be in the environment."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{file}: {error.strerror}")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file}: not TOML: {error}")
        return {}
    settings: dict[str, object] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            settings |= {f"{name}_{inner}".upper(): raw for inner, raw in value.items()}
        else:
            settings[name] = value
    problems += [
        f"{file}: {name} is not a setting" for name in settings if not name.startswith((PREFIX, ENGINE_PREFIX))
    ]
    return settings


def _read_secrets(settings: Mapping[str, object], problems: list[str]) -> dict[str, object]:
    """Replaces every NAME_FILE by NAME with the content of that file, unless NAME_FILE is a setting by itself."""
    names = [name for name in settings if name.endswith("_FILE") and name not in KNOWN]
    values = {name: raw for name, raw in settings.items() if name not in names}
    for name in names:
        raw = settings[name]
        plain = name.removesuffix("_FILE")
        if plain in values:
            problems.append(f"{plain} and {name} are both set: keep one")
            continue
        try:
            values[plain] = Path(str(raw)).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            problems.append(f"{name} names a file that cannot be read: {reason}")
    return values


def _parse(settings: Mapping[str, object], problems: list[str]) -> dict[str, Any]:
    kinds = get_type_hints(BillingConfig)
    values: dict[str, Any] = {}
    for name, raw in settings.items():
        if name not in KNOWN:
            problems.append(f"{name} is not a setting; known are {', '.join(sorted(KNOWN))}")
            continue
        kind = _plain(kinds[KNOWN[name]])
        text = str(raw).strip()
        try:
            values[KNOWN[name]] = kind(text)
        except ValueError:
            shown = "a whole number" if kind is int else "a number"
            problems.append(f"{name} is {text!r}: must be {shown}")
    return values


def _plain(hint: Any) -> Any:
    """What makes a value of a text: the type, also where None is allowed; of a choice, the text itself."""
    if get_origin(hint) is Literal:
        return str
    return next((each for each in get_args(hint) if each is not NoneType), hint)


def _is_server(text: str) -> bool:
    host, colon, port = text.strip().rpartition(":")
    return bool(host and colon) and port.isdecimal() and 0 < int(port) < 65_536
