"""The dead-letter topic: the original bytes, with the cause in the headers. Acknowledged before the event is done."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from engine.core.lanes import Lane
from engine.errors import Unanswered, Unsendable
from engine.event import Event, Message, trace_headers
from engine.notice import Tell, notice
from engine.ports import Sender
from engine.telemetry import SENT, Telemetry, sending

PAYLOAD_BYTES_MAX = 900_000
KEY_BYTES_MAX = 65_536
"""Kafka's default limit of a message is 1 MiB with key and headers: of what is larger the letter holds a prefix."""
SHORT_BYTES = 1_000
"""What is left of a letter that the log refuses for its size all the same."""

ERROR_BYTES_MAX = 4_096
SEND_BYTES_MAX = 1_000_000
"""About so much is sent together."""
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
            *trace_headers(event.headers),
        ),
    )


@dataclass(slots=True)
class Waiting:
    """A lane, its letters, and what follows their acknowledgement."""

    lane: Lane
    letters: list[Message]
    acknowledged: Callable[[], None]


class DeadLetters:
    """Sends what many lanes have to say together. While the topic is away they wait, and keep no place to run.

    Bounded by what is in flight: a lane has at most its own events here. `run` in a task group.
    """

    def __init__(self, sender: Sender, telemetry: Telemetry, tell: Tell) -> None:
        self._sender = sender
        self._telemetry = telemetry
        self._tell = tell
        self._waiting: deque[Waiting] = deque()
        self._bell = anyio.Event()

    def push(self, lane: Lane, letters: list[Message], acknowledged: Callable[[], None]) -> None:
        """`acknowledged` is called once all stand in the topic, unless the lane's epoch has ended by then."""
        lane.running = False
        lane.reason = "its dead letter is not acknowledged yet"
        self._waiting.append(Waiting(lane, letters, acknowledged))
        self._bell.set()

    def forget_dropped(self) -> None:
        """An epoch has ended: its lanes wait no more. Each would keep its events, epoch after epoch."""
        self._waiting = deque(waiting for waiting in self._waiting if not waiting.lane.dropped)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            while True:
                if not self._waiting:
                    self._bell = anyio.Event()
                    await self._bell.wait()
                for refused in await self._send(self._next()):
                    tasks.start_soon(self._send_each, refused)

    def _next(self) -> list[Waiting]:
        some: list[Waiting] = []
        size = 0
        while self._waiting and size < SEND_BYTES_MAX:
            waiting = self._waiting.popleft()
            if not waiting.lane.dropped:
                some.append(waiting)
                size += sum(len(letter.value or b"") for letter in waiting.letters)
        return some

    async def _send(self, some: list[Waiting]) -> list[Waiting]:
        """Together, until they are acknowledged. Returns them if the log refuses one of them: nobody says which."""
        delay_s = RESEND_BASE_S
        while some:
            letters = [letter for waiting in some for letter in waiting.letters]
            try:
                await self._sender.send(letters)
            except Unsendable:
                return some
            except Unanswered as error:
                self._say_waiting(some, len(letters), error)
                await anyio.sleep(delay_s)
                delay_s = min(delay_s * 2, RESEND_CAP_S)
                some = [waiting for waiting in some if not waiting.lane.dropped]
            else:
                self._acknowledged(some, letters)
                break
        return []

    async def _send_each(self, waiting: Waiting) -> None:
        """One by one. A letter that is refused is cut; one that is refused all the same waits, and holds its key."""
        delay_s, unsent, cut = RESEND_BASE_S, list(waiting.letters), False
        while unsent and not waiting.lane.dropped:
            try:
                await self._sender.send(unsent[:1])
            except Unsendable as error:
                if not cut:
                    self._tell(notice("dead_letter.cut", f"a dead letter is cut to {SHORT_BYTES} bytes: {error}"))
                    unsent[0], cut = _short(unsent[0]), True
                    continue
                self._say_waiting([waiting], len(unsent), error)
            except Unanswered as error:
                self._say_waiting([waiting], len(unsent), error)
            else:
                unsent, cut, delay_s = unsent[1:], False, RESEND_BASE_S
                continue
            await anyio.sleep(delay_s)
            delay_s = min(delay_s * 2, RESEND_CAP_S)
        self._acknowledged([waiting], waiting.letters)

    def _say_waiting(self, some: list[Waiting], letters: int, error: Unanswered | Unsendable) -> None:
        for waiting in some:
            waiting.lane.reason = f"the dead-letter topic does not answer: {error}"
        text = f"{letters} dead letters are not acknowledged ({error}): their keys wait"
        self._tell(notice("dead_letters.unanswered", text, letters=letters))

    def _acknowledged(self, some: list[Waiting], letters: list[Message]) -> None:
        self._telemetry.add(SENT, len(letters), sending(letters[0].topic))
        for waiting in some:
            if not waiting.lane.dropped:
                waiting.acknowledged()


def _short(letter: Message) -> Message:
    """What the log takes, if it takes anything: where the letter came from is whole."""
    headers = tuple((name, value[:SHORT_BYTES]) for name, value in letter.headers)
    return letter._replace(
        key=_prefix(letter.key, SHORT_BYTES), value=_prefix(letter.value, SHORT_BYTES), headers=headers
    )


def _prefix(original: bytes | None, bytes_max: int) -> bytes | None:
    return original if original is None else original[:bytes_max]
