"""Where tokens for SASL OAUTHBEARER come from: a file that somebody keeps fresh, or a command that prints one."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL
from typing import Final

import anyio

from engine.adapters.kafka_security import TokenSource
from engine.errors import Unanswered
from engine.ports import Clock
from engine.secret import Secret

COMMAND_S: Final = 15.0
REUSED_MS: Final = 30_000
"""How long a token that does not tell its end is used again."""
SPARE_MS: Final = 15_000
"""So long before its end a token is not used any more."""


def token_from_file(path: Path) -> TokenSource:
    """The file is read at each connection."""

    async def token() -> Secret:
        try:
            text = await anyio.Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise Unanswered(f"the token file {path} cannot be read: {reason}") from None
        return _token(text, f"the token file {path}")

    return token


def token_from_command(command: Sequence[str], clock: Clock) -> TokenSource:
    """What the command writes to standard output; a token is used again until shortly before its end.

    What the command says beside is not repeated: it could be secret.
    """
    lock = anyio.Lock()
    kept: list[tuple[Secret, int]] = []
    name = command[0]

    async def token() -> Secret:
        async with lock:
            now_ms = clock.now_ms()
            if not kept or kept[0][1] <= now_ms:
                found = await _run(command)
                end_ms = _end_ms(found)
                kept[:] = [(found, now_ms + REUSED_MS if end_ms is None else end_ms - SPARE_MS)]
            return kept[0][0]

    async def _run(command: Sequence[str]) -> Secret:
        try:
            with anyio.fail_after(COMMAND_S):
                done = await anyio.run_process(command, check=False, stdin=DEVNULL, stderr=DEVNULL)
        except TimeoutError as error:
            raise Unanswered(f"the token command {name} did not end within {COMMAND_S:g} s") from error
        except OSError as error:
            raise Unanswered(f"the token command {name} cannot be run: {error.strerror}") from None
        if done.returncode:
            raise Unanswered(f"the token command {name} ended with {done.returncode}")
        return _token(done.stdout.decode(errors="replace"), f"the token command {name}")

    return token


def _token(text: str, source: str) -> Secret:
    words = text.split()
    if len(words) != 1:
        raise Unanswered(f"{source} gives {len(words)} words: a token is one")
    return Secret(words[0])


def _end_ms(token: Secret) -> int | None:
    """When a token that is a JWT ends, by its own word."""
    parts = token.reveal().split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return int(claims["exp"]) * 1_000
    except (ValueError, KeyError, TypeError):
        return None
