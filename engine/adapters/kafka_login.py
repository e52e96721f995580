"""Where aiokafka's way to log in is not good enough, and what a server says to one connection.

Written against aiokafka 0.14, which is pinned; `tests/integration/test_security.py` runs through all of it.
"""

# ruff: noqa: SLF001

import json
import logging
from collections.abc import Mapping
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator, collect_hosts, create_conn
from aiokafka.errors import AuthenticationFailedError
from aiokafka.protocol.admin import SaslAuthenticateRequest

from engine.adapters.kafka_security import TokenSource
from engine.errors import Unanswered


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """A source of tokens as aiokafka asks it."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    async def token(self) -> str:
        """Raises AuthenticationFailedError: none can be had."""
        try:
            return (await self._source()).reveal()
        except Unanswered as error:
            raise AuthenticationFailedError(str(error)) from error


class _TokenLogin(OAuthAuthenticator):  # type: ignore[misc]
    """aiokafka takes whatever is answered to a token for a yes: it would go on with a connection that is none.

    A server that refuses one says so in a challenge (RFC 7628, section 3.2.2); what it accepts has no answer.
    """

    async def step(self, payload: bytes | None) -> Any:
        if payload:
            raise AuthenticationFailedError(f"the token was refused: {_status(payload)}")
        return await super().step(payload)


def _status(challenge: bytes) -> str:
    """Nothing else of a challenge: who knows what it repeats."""
    try:
        return str(json.loads(challenge)["status"])[:64]
    except (ValueError, KeyError, TypeError):
        return "no reason is given"


def _token_login(connection: AIOKafkaConnection) -> _TokenLogin:
    return _TokenLogin(sasl_oauth_token_provider=connection._sasl_oauth_token_provider)


def _shows_no_password(record: logging.LogRecord) -> bool:
    """aiokafka logs every request where a program asks for its DEBUG; that of a SASL login is the password itself."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not any(getattr(argument, "API_KEY", None) == SaslAuthenticateRequest.API_KEY for argument in arguments)


AIOKafkaConnection.authenticator_oauth = _token_login
logging.getLogger("aiokafka.conn").addFilter(_shows_no_password)


async def connect_once(server: str, options: Mapping[str, Any]) -> None:
    """Connects to this one of the servers, says who we are, and closes. Raises KafkaError, OSError: what went wrong."""
    ((host, port, _),) = collect_hosts(server)
    own = {name: value for name, value in options.items() if name != "bootstrap_servers"}
    connection = await create_conn(host, port, **own)
    await connection.close()
