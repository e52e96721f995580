"""What the runtime needs of the world. Adapters and the simulation implement these; nothing else is spoken to.

Every method that talks to a server says what an unknown outcome looks like: `Unanswered`, never a library's own error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from engine.errors import StateDamaged, Unanswered
from engine.event import Event, Message


class RebalanceListener(Protocol):
    """Told by the log about the group. Both calls may take until the rebalance deadline, and never raise."""

    async def revoked(self, partitions: frozenset[int]) -> None:
        """These partitions go elsewhere when this returns."""
        ...

    async def assigned(self, partitions: frozenset[int]) -> None:
        """All partitions that are ours from now on. Nothing is fetched of them before it was sought and named."""
        ...


@dataclass(frozen=True, slots=True)
class Committed:
    """What the group's coordinator remembers of a partition."""

    offset: int
    metadata: str


class Log(Protocol):
    """One member of a consumer group on one topic. Partitions are numbers of that topic."""

    async def start(self, listener: RebalanceListener) -> None: ...

    async def stop(self) -> None:
        """Leaves the group (a static member stays); never calls the listener."""
        ...

    async def fetch(
        self, partitions: Sequence[int], *, events_max: int, wait_s: float, bytes_max: int | None = None
    ) -> Mapping[int, Sequence[Event]]:
        """Events of the named partitions, ascending from their positions, which move past them. Possibly none.

        At most `events_max` of all partitions together, and none after the one whose `memory_bytes` reach `bytes_max`.
        Never cancel it: events could vanish after the position moved.

        Raises:
            OffsetOutOfRange: a named partition's position is outside the log.
            Unanswered: nothing moved; try again.
        """
        ...

    def position(self, partition: int) -> int:
        """The offset that the next fetch starts from: past every delivered event and every gap that was crossed."""
        ...

    def high_watermark(self, partition: int) -> int | None:
        """The end of the log as the last answer said, None before the first."""
        ...

    async def seek(self, partition: int, offset: int) -> None: ...

    async def beginning(self, partition: int) -> int:
        """The first offset that the log still holds. Raises Unanswered."""
        ...

    async def end(self, partition: int) -> int:
        """The offset after the last event, asked of the server now. Raises Unanswered."""
        ...

    async def committed(self, partition: int) -> Committed | None:
        """Raises Unanswered."""
        ...

    async def commit(self, offsets: Mapping[int, Committed]) -> bool:
        """True if the coordinator took it in the current generation; False if it refused. Raises Unanswered."""
        ...

    async def confirm_ownership(self, partition: int) -> bool:
        """Whether the coordinator, asked after this call began, still counts the partition as this member's.

        The client's own assignment is stale in a zombie; only an answered heartbeat or commit tells.
        """
        ...

    async def count_partitions(self) -> int:
        """How many partitions the topic has, asked of the server now. Raises Unanswered."""
        ...


class OffsetOutOfRange(Exception):
    """A position is outside the log: truncated, recreated, or cut by retention."""

    def __init__(self, partition: int, offset: int) -> None:
        super().__init__(f"partition {partition}: offset {offset} is outside the log")
        self.partition = partition
        self.offset = offset


class Sender(Protocol):
    """Produces to the log's servers."""

    async def send(self, messages: Sequence[Message]) -> None:
        """Returns when all in-sync replicas have acknowledged all.

        Raises:
            Unanswered: some may stand; send all again.
            Unsendable: one of them will never be taken; others may stand.
        """
        ...


class Call(NamedTuple):
    """One function call: its packed argument, and any state key of the bucket meant (it only routes)."""

    key: bytes
    payload: bytes


Answer: TypeAlias = list[bytes] | Unanswered | StateDamaged
"""What became of a call."""


class StateServer(Protocol):
    """One Redis (or a cluster of them) with the engine's function library."""

    @property
    def clustered(self) -> bool:
        """Whether a call may hold one bucket only, since every bucket may be on a node of its own."""
        ...

    async def call(self, function: str, payload: bytes, *, key: bytes, writes: bool) -> list[bytes]:
        """Runs one function of the library, by its short name (`apply`, `read`, ...), with one packed argument.

        `key` is any state key of the bucket meant (it only routes). A missing library is loaded and the same bytes
        are sent again.

        Raises:
            Unanswered: executed or not; also where the server is loading, read-only, out of memory, busy.
            StateDamaged: the server says that the payload is malformed.
        """
        ...

    async def call_many(
        self, function: str, calls: Sequence[Call], *, writes: bool, answered: Callable[[int, Answer], None]
    ) -> None:
        """Runs calls like `call`, each by itself; those for one node travel together.

        `answered` is told the place in `calls` and what became of it, once a call, as soon as it is known: a node that
        does not answer holds back no other. Returns when all are told.
        """
        ...

    async def make_durable(self, level: str) -> None:
        """Returns when everything that was acknowledged is on disk (`aof`) or on a replica (`replica`).

        Raises Unanswered when that could not be had in time.
        """
        ...

    async def post(self, board: str, name: str, notice: bytes | None, *, lasts_s: int = 60) -> None:
        """Writes a notice (for people, not state) onto a board, or takes it down. Raises Unanswered.

        A board goes `lasts_s` after its last notice.
        """
        ...

    async def posted(self, board: str) -> Mapping[str, bytes]:
        """All notices of a board. Raises Unanswered."""
        ...


class Clock(Protocol):
    """Wall time, for comparing with arrivals. Durations use the event loop's monotonic time."""

    def now_ms(self) -> int: ...
