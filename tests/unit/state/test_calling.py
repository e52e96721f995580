"""Calls that are answered one by one: what is in doubt goes again with the same bytes, and holds nothing else back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from engine.errors import StateDamaged, Unanswered
from engine.ports import Answer, Call
from engine.state.calling import READS_TOGETHER_MAX, Calling, Pending, read_each, shares
from engine.state.counts import WriterCounts
from engine.telemetry import Silence


@dataclass
class Nodes:
    """A clustered server: keys that begin with `down` are of a node that does not answer, until `up`."""

    clustered: bool = True
    up: bool = False
    sent: list[Call] = field(default_factory=list)
    together: list[int] = field(default_factory=list)

    async def call(self, function: str, payload: bytes, *, key: bytes, writes: bool) -> list[bytes]:
        self.sent.append(Call(key, payload))
        return [payload]

    async def call_many(
        self, function: str, calls: Sequence[Call], *, writes: bool, answered: Callable[[int, Answer], None]
    ) -> None:
        self.sent += calls
        self.together.append(len(calls))
        for place, call in reversed(list(enumerate(calls))):
            if call.key.startswith(b"down") and not self.up:
                answered(place, Unanswered("away"))
            elif call.key.startswith(b"bad"):
                answered(place, StateDamaged("malformed"))
            else:
                answered(place, [call.payload])


def pending(key: bytes, payload: bytes) -> Pending:
    own: Any = SimpleNamespace(epoch=SimpleNamespace(ended=False), bucket=0)
    return Pending(Call(key, payload), [own], [])


def calling(server: Any, told: list[tuple[bytes, list[bytes] | StateDamaged]]) -> tuple[Calling, WriterCounts]:
    counts = WriterCounts()
    made = Calling(
        server,
        "group",
        counts=counts,
        telemetry=Silence(),
        tell=lambda _: None,
        answered=lambda _, each, reply: told.append((each.call.key, reply)),
    )
    return made, counts


async def test_a_node_that_is_away_leaves_only_its_own_calls_in_doubt() -> None:
    server, told = Nodes(), []  # type: ignore[var-annotated]
    calls, counts = calling(server, told)
    doubtful = await calls.once("apply", [pending(b"a", b"1"), pending(b"down", b"2"), pending(b"b", b"3")])
    assert [each.call.key for each in doubtful] == [b"down"]
    assert sorted(told) == [(b"a", [b"1"]), (b"b", [b"3"])]
    assert (counts.calls, counts.unanswered) == (2, 1)
    server.sent.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(calls.until_answered, "apply", doubtful)
        await anyio.sleep(0.1)
        server.up = True
    assert len(server.sent) > 1
    assert set(server.sent) == {Call(b"down", b"2")}, "the same bytes"
    assert told[-1] == (b"down", [b"2"])


async def test_a_call_that_nobody_waits_for_is_given_up() -> None:
    server, told = Nodes(), []  # type: ignore[var-annotated]
    calls, _ = calling(server, told)
    gone, stays = pending(b"down-1", b"1"), pending(b"down-2", b"2")
    gone.slices[0].epoch.ended = True
    with anyio.move_on_after(0.1):
        await calls.until_answered("apply", [gone, stays])
    assert {call.key for call in server.sent} == {b"down-2"}
    assert told == []


async def test_what_a_server_calls_damaged_is_handed_on() -> None:
    told: list[tuple[bytes, list[bytes] | StateDamaged]] = []
    calls, counts = calling(Nodes(), told)
    assert await calls.once("apply", [pending(b"bad", b"1")]) == []
    ((_, reply),) = told
    assert isinstance(reply, StateDamaged)
    assert counts.calls == 0


async def test_replies_are_in_the_order_of_the_calls() -> None:
    server: Any = Nodes()
    calls = [Call(b"%d" % number, b"%d" % number) for number in range(READS_TOGETHER_MAX + 5)]
    assert await read_each(server, "read", calls) == [[call.payload] for call in calls]
    assert server.together == [READS_TOGETHER_MAX, 5]
    with pytest.raises(Unanswered):
        await read_each(server, "read", [Call(b"a", b""), Call(b"down", b"")])
    with pytest.raises(StateDamaged):
        await read_each(server, "read", [Call(b"bad", b""), Call(b"down", b"")])


def test_what_may_share_a_call() -> None:
    one: Any = Nodes(clustered=False)
    many: Any = Nodes()
    assert shares(one, [5, 1, 5, 2], lambda bucket: bucket) == [[5, 1, 5, 2]]
    assert shares(many, [5, 1, 5, 2], lambda bucket: bucket) == [[5, 5], [1], [2]]
    assert shares(one, [], lambda bucket: bucket) == shares(many, [], lambda bucket: bucket) == []
