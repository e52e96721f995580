"""TLS as clients speak it: whom to trust, and who we are."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import ConfigError
from engine.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files in PEM form; the server's certificate and host name are always verified.

    Raises ConfigError where the files cannot be used.
    """

    ca_file: Path | None = None
    """Whom to trust; None: whom the system trusts."""
    certificate_file: Path | None = None
    """Our certificate, where the server wants one; may hold its key too."""
    key_file: Path | None = None
    key_password: Secret = field(default_factory=lambda: Secret(""))

    def __post_init__(self) -> None:
        self.context()

    def context(self) -> ssl.SSLContext:
        """Read from the files now, so that renewed certificates are taken up. Raises ConfigError."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file and str(self.ca_file))
        except OSError as error:
            raise ConfigError([f"the CA file {self.ca_file} cannot be used: {_reason(error)}"]) from error
        if self.certificate_file is None:
            if self.key_file is not None:
                raise ConfigError([f"the key {self.key_file} has no certificate"])
            return context
        try:
            # A function, and never None: without one OpenSSL would ask at the terminal.
            context.load_cert_chain(self.certificate_file, self.key_file, self.key_password.reveal)
        except OSError as error:
            files = f"{self.certificate_file}, {self.key_file}" if self.key_file else str(self.certificate_file)
            raise ConfigError([f"the client certificate ({files}) cannot be used: {_reason(error)}"]) from error
        return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason.lower().replace("_", " ") if error.reason else "it is not in PEM form"
    return error.strerror or type(error).__name__
