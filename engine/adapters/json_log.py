"""Notices and log records on stderr, by the standard library's logging: as text for people, or one JSON object a line.

A JSON line has `time` (RFC 3339, UTC), `level`, `name` (of the notice, else of the logger), `text` and `fields`. What
looks like a credential of a URL is masked in both forms.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

import orjson

from engine.notice import Level, Notice
from engine.secret import masked

LogFormat = Literal["text", "json"]
OWN: Final = ("engine", "billing", "keylane")
"""Loggers whose level is the one that was asked for; all others say warnings only."""
OF_LEVEL: Final[dict[Level, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_notices = logging.getLogger("keylane")


def tell(notice: Notice) -> None:
    """A `Tell` that logs."""
    _notices.log(OF_LEVEL[notice.level], "%s", notice.text, extra={"notice": notice})


def set_up_logging(form: LogFormat = "text", level: Level = "info", stream: TextIO | None = None) -> None:
    """To be called once by a process, before anything is logged. `stream` is stderr if none is given."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines(TEXT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it says of servers the adapters say in our words
    set_level(level)


def set_level(level: Level) -> None:
    """What is less than `level` is not logged from now on."""
    for name in OWN:
        logging.getLogger(name).setLevel(OF_LEVEL[level])


class TextLines(logging.Formatter):
    """A notice is its text and nothing else; other records say when and who."""

    def format(self, record: logging.LogRecord) -> str:
        notice = _notice_of(record)
        return masked(notice.text if notice is not None else super().format(record))


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        notice = _notice_of(record)
        fields: dict[str, object] = dict(notice.fields) if notice is not None else {}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        fields = {name: masked(value) if isinstance(value, str) else value for name, value in fields.items()}
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "name": notice.name if notice is not None else record.name,
            "text": masked(record.getMessage()),
            "fields": fields,
        }
        return orjson.dumps(line, default=str).decode()


def _notice_of(record: logging.LogRecord) -> Notice | None:
    notice = getattr(record, "notice", None)
    return notice if isinstance(notice, Notice) else None
