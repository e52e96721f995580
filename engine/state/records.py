"""Reads what Redis holds of slices, in few calls."""

from collections.abc import Sequence

from engine.ports import Call, StateServer
from engine.state.calling import read_each, shares
from engine.state.keys import slice_key, tag
from engine.state.packing import Stored, pack_read, unpack_read

SLICES_PER_CALL = 256


async def read_slices(server: StateServer, group: str, slices: Sequence[tuple[int, int]]) -> list[Stored]:
    """What is stored of slices (bucket, partition), given by bucket, in their order.

    Raises Unanswered, and StateDamaged: a slice is not what the engine writes.
    """
    parts = [
        share[first : first + SLICES_PER_CALL]
        for share in shares(server, slices, lambda place: place[0])
        for first in range(0, len(share), SLICES_PER_CALL)
    ]
    calls = [Call(slice_key(tag(group, part[0][0]), part[0][1]), pack_read(group, part)) for part in parts]
    return [stored for reply in await read_each(server, "read", calls) for stored in unpack_read(reply)]
