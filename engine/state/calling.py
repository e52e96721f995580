"""Many function calls at once, and calls that are sent until they are answered.

On one Redis a call carries as many slices as are ready. In a cluster it holds one bucket, and the calls for a node
travel together. Either way each call is answered by itself; one whose outcome is unknown is sent again by itself, with
the same bytes.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import anyio

from engine import telemetry as catalogue
from engine.errors import StateDamaged, Unanswered
from engine.notice import Tell, notice
from engine.ports import Answer, Call, StateServer
from engine.state.counts import WriterCounts
from engine.state.packing import SliceWrite
from engine.state.slices import Slice
from engine.telemetry import Telemetry

RESEND_BASE_S = 0.02
RESEND_CAP_S = 1.0
READS_TOGETHER_MAX = 128

Member = TypeVar("Member")


class Pending(NamedTuple):
    """A call that is not answered yet, and what it is about."""

    call: Call
    slices: Sequence[Slice]
    writes: Sequence[SliceWrite]

    @property
    def over(self) -> bool:
        """Whether nobody waits for the answer any more: every epoch concerned has ended."""
        return all(own.epoch.ended for own in self.slices)


class Calling:
    """Sends calls of the writer. `answered` gets each with its reply, or with what the server calls damaged."""

    def __init__(
        self,
        server: StateServer,
        group: str,
        *,
        counts: WriterCounts,
        telemetry: Telemetry,
        tell: Tell,
        answered: Callable[[str, Pending, list[bytes] | StateDamaged], None],
    ) -> None:
        self._server = server
        self._counts = counts
        self._telemetry = telemetry
        self._attributes = {
            function: {catalogue.GROUP: group, catalogue.FUNCTION: function} for function in ("apply", "check")
        }
        self._tell = tell
        self._answered = answered
        self.doubt: str | None = None
        """Why the newest attempt left calls unanswered; None if it did not."""

    async def once(self, function: str, pending: Sequence[Pending], *, warn: bool = False) -> list[Pending]:
        """One attempt. Returns those whose outcome is unknown."""
        doubtful: list[Pending] = []
        attributes = self._attributes[function]
        began_s = anyio.current_time()
        reasons: set[str] = set()

        def answered(place: int, answer: Answer) -> None:
            if isinstance(answer, Unanswered):
                self._counts.unanswered += 1
                reasons.add(str(answer))
                doubtful.append(pending[place])
                return
            if not isinstance(answer, StateDamaged):
                self._counts.calls += function == "apply"
                self._telemetry.record(catalogue.CALL_DURATION, anyio.current_time() - began_s, attributes)
            self._answered(function, pending[place], answer)

        with self._telemetry.span(catalogue.CALL_SPAN, attributes):
            calls = [each.call for each in pending]
            await self._server.call_many(function, calls, writes=function == "apply", answered=answered)
        self.doubt = min(reasons, default=None)
        if reasons and warn:
            text = f"the state server does not answer ({min(reasons)}): the same call is sent again"
            self._tell(notice("state.unanswered", text, calls=len(doubtful)))
        return doubtful

    async def until_answered(self, function: str, doubtful: Sequence[Pending]) -> None:
        """Goes on after a first attempt: the same bytes, until all are answered or over."""
        delay_s = RESEND_BASE_S
        while doubtful:
            await anyio.sleep(delay_s)
            delay_s = min(delay_s * 2, RESEND_CAP_S)
            doubtful = [each for each in doubtful if not each.over]
            if doubtful:
                doubtful = await self.once(function, doubtful, warn=delay_s > RESEND_CAP_S / 2)


def shares(server: StateServer, members: Iterable[Member], bucket: Callable[[Member], int]) -> list[list[Member]]:
    """What may share a call: everything, or in a cluster what is of one bucket. Keeps the order within a share."""
    if not server.clustered:
        everything = list(members)
        return [everything] if everything else []
    found: dict[int, list[Member]] = {}
    for member in members:
        found.setdefault(bucket(member), []).append(member)
    return list(found.values())


async def read_each(server: StateServer, function: str, calls: Sequence[Call]) -> list[list[bytes]]:
    """The replies to calls that only read, in their order. Raises Unanswered, StateDamaged: that of the first."""
    if not server.clustered:  # one by one, so that others get their turn between them
        return [await server.call(function, call.payload, key=call.key, writes=False) for call in calls]
    replies: list[list[bytes]] = []
    for first in range(0, len(calls), READS_TOGETHER_MAX):
        some = calls[first : first + READS_TOGETHER_MAX]
        found: dict[int, Answer] = {}
        await server.call_many(function, some, writes=False, answered=found.__setitem__)
        for place in range(len(some)):
            answer = found[place]
            if isinstance(answer, Exception):
                raise answer
            replies.append(answer)
    return replies
