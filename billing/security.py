"""From settings to how servers are spoken to: TLS, users and passwords, tokens. Also what in them cannot work."""

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine import ConfigError, Secret
from engine.adapters.clock import SystemClock
from engine.adapters.kafka_security import MECHANISMS, Bearer, KafkaSecurity, Login, TokenSource
from engine.adapters.tls import Tls

if TYPE_CHECKING:
    from billing.config import BillingConfig

OAUTHBEARER: Final = "OAUTHBEARER"
PROTOCOLS: Final = {  # whether it is encrypted, and whether it asks who we are
    "plaintext": (False, False),
    "tls": (True, False),
    "sasl_plaintext": (False, True),
    "sasl_tls": (True, True),
    "ssl": (True, False),
    "sasl_ssl": (True, True),  # Kafka's own names
}
TLS_SETTINGS: Final = ("ca_file", "certificate_file", "key_file", "key_password")
SASL_SETTINGS: Final = ("sasl_mechanism", "username", "password", "token_file", "token_command")


def security_problems(config: "BillingConfig") -> list[str]:
    """What cannot work, in the words of the settings; files are tried only where everything else fits."""
    problems = _kafka_problems(config) + _redis_problems(config)
    if problems:
        return problems
    for build in (kafka_security, redis_tls):
        try:
            build(config)
        except ConfigError as error:
            problems += error.problems
    return problems


def kafka_security(config: "BillingConfig") -> KafkaSecurity:
    """How to connect to Kafka. Raises ConfigError: the files of TLS cannot be used."""
    encrypted, asks = PROTOCOLS[config.kafka_protocol.lower()]
    tls = _tls(config.kafka_ca_file, config.kafka_certificate_file, config.kafka_key_file, config.kafka_key_password)
    return KafkaSecurity(tls=tls() if encrypted else None, sasl=_sasl(config) if asks else None)


def redis_tls(config: "BillingConfig") -> Tls | None:
    """None where the URL does not begin with rediss. Raises ConfigError: the files of TLS cannot be used."""
    tls = _tls(config.redis_ca_file, config.redis_certificate_file, config.redis_key_file, config.redis_key_password)
    return tls() if config.redis.startswith("rediss") else None


def _tls(ca: Path | None, certificate: Path | None, key: Path | None, password: Secret) -> Callable[[], Tls]:
    return partial(Tls, ca_file=ca, certificate_file=certificate, key_file=key, key_password=password)


def _sasl(config: "BillingConfig") -> Login | Bearer:
    mechanism = config.kafka_sasl_mechanism.upper()
    if mechanism != OAUTHBEARER:
        return Login(config.kafka_username, config.kafka_password, mechanism)
    return Bearer(_token_source(config))


def _token_source(config: "BillingConfig") -> TokenSource:
    from engine.adapters.kafka_token import token_from_command, token_from_file

    if config.kafka_token_file is not None:
        return token_from_file(config.kafka_token_file)
    return token_from_command(shlex.split(config.kafka_token_command), SystemClock())


# -------------------------------------------------------------------- problems
def _kafka_problems(config: "BillingConfig") -> list[str]:
    chosen = config.kafka_protocol.lower()
    if chosen not in PROTOCOLS:
        known = "plaintext, tls, sasl_plaintext or sasl_tls"
        return [f"BILLING_KAFKA_PROTOCOL is {config.kafka_protocol!r}: must be {known}"]
    encrypted, asks = PROTOCOLS[chosen]
    problems = [] if encrypted else _superfluous(config, "kafka", TLS_SETTINGS, f"BILLING_KAFKA_PROTOCOL is {chosen}")
    problems += _key_problems(config, "kafka")
    if not asks:
        return problems + _superfluous(config, "kafka", SASL_SETTINGS, f"BILLING_KAFKA_PROTOCOL is {chosen}")
    mechanism = config.kafka_sasl_mechanism.upper()
    if mechanism == OAUTHBEARER:
        return problems + _token_problems(config)
    if mechanism not in MECHANISMS:
        known = f"{', '.join(MECHANISMS)} or {OAUTHBEARER}"
        said = f"is {config.kafka_sasl_mechanism!r}: must be" if mechanism else f"is not set, but {chosen} needs it:"
        return [*problems, f"BILLING_KAFKA_SASL_MECHANISM {said} {known}"]
    problems += [
        f"BILLING_KAFKA_{name.upper()} is not set: {mechanism} needs it"
        for name in ("username", "password")
        if not getattr(config, f"kafka_{name}")
    ]
    return problems + _superfluous(config, "kafka", ("token_file", "token_command"), f"{mechanism} takes no token")


def _token_problems(config: "BillingConfig") -> list[str]:
    problems = _superfluous(config, "kafka", ("username", "password"), f"{OAUTHBEARER} takes a token")
    if (config.kafka_token_file is None) == (not config.kafka_token_command):
        problems.append(f"{OAUTHBEARER} needs one of BILLING_KAFKA_TOKEN_FILE and BILLING_KAFKA_TOKEN_COMMAND")
    try:
        words = shlex.split(config.kafka_token_command)
    except ValueError:
        words = []
    if config.kafka_token_command and not words:
        problems.append("BILLING_KAFKA_TOKEN_COMMAND: a quotation mark is not closed")
    return problems


def _redis_problems(config: "BillingConfig") -> list[str]:
    problems = _key_problems(config, "redis")
    if config.redis and not config.redis.startswith("rediss"):
        problems += _superfluous(config, "redis", TLS_SETTINGS, "BILLING_REDIS does not begin with rediss")
    in_url = "@" in config.redis
    if in_url:
        problems += _superfluous(config, "redis", ("username", "password"), "BILLING_REDIS says who we are already")
    if config.redis_username and not config.redis_password:
        problems.append("BILLING_REDIS_USERNAME is set, but not BILLING_REDIS_PASSWORD")
    return problems


def _key_problems(config: "BillingConfig", server: str) -> list[str]:
    def has(name: str) -> bool:
        return bool(getattr(config, f"{server}_{name}"))

    prefix = f"BILLING_{server.upper()}"
    problems = []
    if has("key_file") and not has("certificate_file"):
        problems.append(f"{prefix}_KEY_FILE is set, but not {prefix}_CERTIFICATE_FILE")
    if has("key_password") and not has("certificate_file"):
        problems.append(f"{prefix}_KEY_PASSWORD is set, but not {prefix}_CERTIFICATE_FILE")
    return problems


def _superfluous(config: "BillingConfig", server: str, names: tuple[str, ...], why: str) -> list[str]:
    """A setting that would do nothing is a mistake: it could be believed to protect something."""
    return [
        f"BILLING_{server.upper()}_{name.upper()} is set, but {why}"
        for name in names
        if getattr(config, f"{server}_{name}")
    ]
