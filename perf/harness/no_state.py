"""A state server that answers at once and keeps nothing: the engine with the call to Redis left out."""

from collections.abc import Callable, Mapping, Sequence
from struct import pack, unpack_from

from engine.ports import Answer, Call

_APPLIED = b"A0" + pack(">III", 0, 0, 0)
_NEVER_WRITTEN = b"S" + pack(">IHII", 0, 0, 0, 0)


class NoState:
    """Takes every write, remembers no identity, owes nothing."""

    clustered = False

    async def call(self, function: str, payload: bytes, *, key: bytes, writes: bool) -> list[bytes]:
        match function:
            case "apply":
                return [_APPLIED] * int(unpack_from(">HBH", payload)[2])
            case "check":
                return [_APPLIED] * int(unpack_from(">H", payload)[0])
            case "read":
                return [_NEVER_WRITTEN] * int(unpack_from(">H", payload)[0])
        raise AssertionError(f"{function} was called: apply, check and read were expected, nothing else is answered")

    async def call_many(
        self, function: str, calls: Sequence[Call], *, writes: bool, answered: Callable[[int, Answer], None]
    ) -> None:
        for place, call in enumerate(calls):
            answered(place, await self.call(function, call.payload, key=call.key, writes=writes))

    async def make_durable(self, level: str) -> None:
        return

    async def post(self, board: str, name: str, notice: bytes | None, *, lasts_s: int = 60) -> None:
        return

    async def posted(self, board: str) -> Mapping[str, bytes]:
        return {}
