"""Values that must not be seen: passwords, tokens, and URLs that carry one."""

import re
from typing import Final

HIDDEN: Final = "***"
_CREDENTIALS: Final = re.compile(r"(?<=://)\S*@")
"""User and password of a URL; also where they have characters in them that a URL would not allow."""
_PARAMETER: Final = re.compile(r"(?i)((?:password|token|secret)=)[^&\s]*")


class Secret:
    """A text that shows itself to nobody who does not ask with `reveal`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself: for whoever hands it to a server, never for a log."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Secret({HIDDEN!r})" if self._text else "Secret('')"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")


def masked(url: str) -> str:
    """The URL, or a text with URLs, without user, password and what else is secret in it."""
    return _PARAMETER.sub(rf"\g<1>{HIDDEN}", _CREDENTIALS.sub(f"{HIDDEN}@", url))
