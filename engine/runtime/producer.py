"""What handlers send with: a `Sender` whose messages go on in the trace of the event that is being handled."""

from collections import Counter
from collections.abc import Sequence

from engine.event import TRACE_PARENT, Message
from engine.ports import Sender
from engine.telemetry import SENT, Telemetry, sending


class Producer:
    """Wraps a sender. A message that names a trace by itself keeps it."""

    def __init__(self, sender: Sender, telemetry: Telemetry) -> None:
        self._sender = sender
        self._telemetry = telemetry

    async def send(self, messages: Sequence[Message]) -> None:
        """Returns when all in-sync replicas have acknowledged all.

        Raises Unanswered: some may stand; let the handler fail, and its event is tried again. Raises Unsendable: one
        will never be taken.
        """
        trace = self._telemetry.carried()
        if trace:
            messages = [message if _names_trace(message) else _traced(message, trace) for message in messages]
        await self._sender.send(messages)
        for topic, count in Counter(message.topic for message in messages).items():
            self._telemetry.add(SENT, count, sending(topic))

    async def produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """One message; see `send`."""
        await self.send([Message(topic, key, value, tuple(headers))])


def _names_trace(message: Message) -> bool:
    return any(name == TRACE_PARENT for name, _ in message.headers)


def _traced(message: Message, trace: tuple[tuple[str, bytes], ...]) -> Message:
    return message._replace(headers=(*message.headers, *trace))
