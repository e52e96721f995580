"""The dead-letter topic: the original bytes, with the cause in the headers. Acknowledged before the event is done."""

from collections.abc import Callable, Sequence

import anyio

from engine.errors import Unanswered, Unsendable
from engine.event import Event, Message
from engine.ports import Sender

PAYLOAD_BYTES_MAX = 900_000
KEY_BYTES_MAX = 65_536
"""Kafka's default limit of a message is 1 MiB with key and headers: of what is larger the letter holds a prefix."""
SHORT_BYTES = 1_000
"""What is left of a letter that the log refuses for its size all the same."""

ERROR_BYTES_MAX = 4_096
RESEND_BASE_S = 0.1
RESEND_CAP_S = 5.0


def dead_letter(event: Event, reason: str, attempts: int) -> Message:
    """The letter of an event that can never count."""
    return Message(
        f"{event.topic}.dead",
        _prefix(event.key, KEY_BYTES_MAX),
        _prefix(event.value, PAYLOAD_BYTES_MAX),
        (
            ("error", reason.encode(errors="replace")[:ERROR_BYTES_MAX]),
            ("attempts", str(attempts).encode()),
            ("source-topic", event.topic.encode()),
            ("source-partition", str(event.partition).encode()),
            ("source-offset", str(event.offset).encode()),
        ),
    )


async def send_dead_letters(sender: Sender, letters: Sequence[Message], warn: Callable[[str], None]) -> None:
    """Returns when all are acknowledged; while the topic is away the lane waits, and nothing is lost."""
    delay_s = RESEND_BASE_S
    while True:
        try:
            await sender.send(letters)
        except Unsendable as error:
            warn(f"dead letters are cut to {SHORT_BYTES} bytes: {error}")
            letters = [letter._replace(value=_prefix(letter.value, SHORT_BYTES)) for letter in letters]
        except Unanswered as error:
            warn(
                f"{len(letters)} dead letters are not acknowledged ({error}): their keys wait, and they are sent again"
            )
            await anyio.sleep(delay_s)
            delay_s = min(delay_s * 2, RESEND_CAP_S)
        else:
            return


def _prefix(original: bytes | None, bytes_max: int) -> bytes | None:
    return original if original is None else original[:bytes_max]
