"""How to connect to Kafka's servers: in plain text or by TLS, as nobody, as a user, or with a token."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from engine.adapters.tls import Tls
from engine.errors import ConfigError
from engine.secret import Secret

MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
"""Of users with a password."""

TokenSource: TypeAlias = Callable[[], Awaitable[Secret]]
"""Gives a token that is valid now. Raises Unanswered where none can be had."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user with a password (SASL PLAIN or SCRAM). Raises ConfigError for what cannot work."""

    username: str
    password: Secret
    mechanism: str = "SCRAM-SHA-512"

    def __post_init__(self) -> None:
        problems = []
        if self.mechanism not in MECHANISMS:
            problems.append(f"SASL mechanism {self.mechanism}: must be one of {', '.join(MECHANISMS)}")
        if not self.username or not self.password:
            problems.append("a login needs both a user name and a password")
        if problems:
            raise ConfigError(problems)


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that is asked for at each connection (SASL OAUTHBEARER); see `kafka_token` for where it may come from."""

    token: TokenSource


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSecurity:
    """`tls`: None sends everything in plain text. `sasl`: None says not who we are, unless a certificate does."""

    tls: Tls | None = None
    sasl: Login | Bearer | None = None


class Servers(NamedTuple):
    """Where Kafka is, and how to connect."""

    bootstrap: str
    """host:port, separated by commas."""
    security: KafkaSecurity | None = None
