"""Servers that let only those in who say who they are, and a look for what must not be seen."""

import base64
import json
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from engine import Secret
from engine.adapters.kafka import KafkaSecurity, Login, Tls
from engine.embedded.apache import ApacheKafka
from engine.embedded.process import free_port
from engine.embedded.redis import EmbeddedRedis
from engine.embedded.resp import ask
from tests.integration.certificates import HOST, Authority

PASSWORD = "pa55-word:with-marks"
WRONG = "wr0ng-word"
USER = "keylane"
LISTENERS = ("CERTIFIED", "PASSWORDS", "TOKENS", "CLEAR")
ACL = ("on", f">{PASSWORD}", "~{keylane:*", "~keylane:*", "+@read", "+@write", "+fcall", "+function|load", "+info",
       "+wait", "+waitaof", "+cluster|slots")  # fmt: skip
"""As the engine's README names them."""


class Secured:
    """One Apache Kafka with a listener for each way to connect."""

    def __init__(self, authority: Authority, ports: dict[str, int]) -> None:
        self.authority = authority
        self.ports = ports
        self.client = authority.issue("client")

    def at(self, listener: str) -> str:
        return f"{HOST}:{self.ports[listener]}"

    @property
    def tls(self) -> Tls:
        return Tls(ca_file=self.authority.ca_file)

    def login(self, mechanism: str, password: str = PASSWORD) -> KafkaSecurity:
        return KafkaSecurity(tls=self.tls, sasl=Login(USER, Secret(password), mechanism))


@contextmanager
def secured_kafka(authority: Authority) -> Iterator[Secured]:
    """Starts it."""
    made = Secured(authority, {name: free_port() for name in LISTENERS})
    users = [
        option
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        for option in ("--add-scram", f'{mechanism}=[name={USER},password="{PASSWORD}"]')
    ]
    listeners = [f"{name}://{made.at(name)}" for name in LISTENERS]
    settings = _kafka_settings(authority)
    with ApacheKafka(listeners=listeners, settings=settings, format_options=users, quick=True):
        yield made


def _kafka_settings(authority: Authority) -> dict[str, str]:
    certificate, key = authority.issue("broker")
    both = authority.folder / "broker-both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    module = "org.apache.kafka.common.security"
    plain = f'{module}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    scram = f"{module}.scram.ScramLoginModule required;"
    bearer = f'{module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
    protocols = "CERTIFIED:SSL,PASSWORDS:SASL_SSL,TOKENS:SASL_SSL,CLEAR:SASL_PLAINTEXT"
    return {
        "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,{protocols}",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.ca_file),
        "listener.name.certified.ssl.client.auth": "required",
        "listener.name.passwords.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.passwords.plain.sasl.jaas.config": plain,
        "listener.name.passwords.scram-sha-256.sasl.jaas.config": scram,
        "listener.name.passwords.scram-sha-512.sasl.jaas.config": scram,
        "listener.name.tokens.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.tokens.oauthbearer.sasl.jaas.config": bearer,
        "listener.name.clear.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.clear.plain.sasl.jaas.config": plain,
    }


@contextmanager
def guarded_redis() -> Iterator[EmbeddedRedis]:
    """A Redis that lets only one user in, with no more rights than are needed."""
    with EmbeddedRedis() as server:
        ask(server.port, "ACL", "SETUSER", USER, *ACL)
        ask(server.port, "ACL", "SETUSER", "default", "off")
        yield server


def shown(text: str) -> list[str]:
    """What of all that must not be seen is in the text."""
    return [secret for secret in (PASSWORD, WRONG, *TOKENS) if secret in text]


LINE = logging.Formatter()
TOKENS: list[str] = []
"""How every token that a test made begins."""


def token(lasts_s: int = 600) -> str:
    """As Kafka's validator for tests takes it: a JWT that nobody signed."""

    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    now_s = int(time.time())
    made = f"{part({'alg': 'none'})}.{part({'sub': USER, 'iat': now_s, 'exp': now_s + lasts_s})}."
    TOKENS.append(made[:60])  # aiokafka shows the beginning of a request
    return made


def shown_in_logs(records: Iterable[logging.LogRecord]) -> list[str]:
    """The same, of what was logged."""
    return shown("\n".join(map(LINE.format, records)))
