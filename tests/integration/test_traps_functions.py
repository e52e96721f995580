"""Traps of identities, owing and forgetting, in the function library on a real server."""

import itertools
from collections.abc import AsyncIterator, Sequence

import pytest

from engine.adapters.redis import RedisServer
from engine.aggregate import Aggregate, Cell, Period
from engine.core.record import Record, Stamp
from engine.event import Counts
from engine.state import keys
from engine.state.identity import digest_of
from engine.state.packing import Answer, Applied, SliceWrite, Verdicts, pack_apply, unpack_apply
from engine.state.summing import sum_up
from tests.unit.state.events import FakeEvent

GROUP, HORIZON_D, DAY = "{g}", 34, 20_000
START_S = DAY * 86_400
PERIOD = Period.of(START_S, START_S + 30 * 86_400, keep=True, watched=True)
SUM = Cell.of(Aggregate.SUM, START_S, b"s")
KEY = b"{acme}"
FULL = b"full"
SWEPT = 400
"""Writes after which everything that may be forgotten is: 256 chunks, one a write, and a look every 16."""


class Slices:
    """The slices of one bucket as their owners write them; all events are of one key and count 1."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._records: dict[int, bytes] = {}
        self._serials = itertools.count(1)

    def write(
        self,
        partition: int,
        *identities: bytes,
        day: int = DAY,
        known: Sequence[bytes] = (),
        ask: Sequence[bytes] = (),
        reacted: bytes = b"",
        effects: Sequence[bytes] = (),
        partitions: int = 2,
    ) -> SliceWrite:
        """Events with these identities that arrived on `day`; those in `known` are left out as duplicates."""
        serial = next(self._serials)
        fresh = [identity for identity in identities if identity not in known]
        adds = [(FakeEvent(KEY, START_S * 1000, partition), Counts(each, ((SUM, 1),), PERIOD)) for each in fresh]
        record = Record(position=serial, day=day, buckets=1, horizon_d=HORIZON_D, stamp=Stamp(1, serial))
        return SliceWrite(
            bucket=0, partition=partition, before=self._records.get(partition, b""), after=record.encode(),
            judged=[(each, day, each in known) for each in identities], updates=sum_up(adds), counted=len(fresh),
            unmetered=0, duplicate=len(identities) - len(fresh), dead=0, ask=[(each, day) for each in ask],
            reacted=reacted, effects=[(KEY, PERIOD, name) for name in effects], partitions=partitions,
        )  # fmt: skip

    async def send(self, write: SliceWrite) -> Answer:
        payload = pack_apply(GROUP, 1, HORIZON_D, True, [write])
        (answer,) = unpack_apply(await self._server.call("apply", payload, key=keys.tag(GROUP, 0), writes=True))
        if isinstance(answer, Applied):
            self._records[write.partition] = write.after
        return answer

    async def apply(self, write: SliceWrite) -> Applied:
        answer = await self.send(write)
        assert isinstance(answer, Applied), answer
        return answer

    async def is_duplicate(self, partition: int, identity: bytes, day: int) -> bool:
        """What the library says of an event that is sent as one that counts; it is taken if it does."""
        answer = await self.send(self.write(partition, identity, day=day))
        return answer == Verdicts([True])

    async def idle(self, partition: int, day: int, *, writes: int = SWEPT, partitions: int = 2) -> None:
        for _ in range(writes):
            await self.apply(self.write(partition, day=day, partitions=partitions))


def identity(number: int) -> bytes:
    return digest_of(b"%d" % number)


@pytest.fixture
async def slices(redis_url: str) -> AsyncIterator[Slices]:
    async with RedisServer(redis_url) as server:
        yield Slices(server)


async def test_a_copy_is_known_in_its_batch_and_in_every_partition(slices: Slices) -> None:
    """Trap 27. Guards the verdicts of `judge`: an event that was counted is not counted again."""
    one, two = identity(1), identity(2)
    twice = slices.write(0, one, two)
    twice.judged.append((one, DAY, False))
    assert await slices.send(twice) == Verdicts([False, False, True])
    await slices.apply(slices.write(0, one, two))
    assert await slices.send(slices.write(1, two, identity(3))) == Verdicts([True, False])


async def test_the_day_on_which_the_horizon_ends(slices: Slices) -> None:
    """Trap 27. Guards the comparison in `remembers`: that day is within, the next is not, in both directions."""
    await slices.apply(slices.write(0, identity(1), identity(2)))
    assert await slices.is_duplicate(0, identity(1), DAY + HORIZON_D)
    assert await slices.is_duplicate(1, identity(2), DAY - HORIZON_D)
    assert not await slices.is_duplicate(0, identity(1), DAY + HORIZON_D + 1)
    assert not await slices.is_duplicate(1, identity(2), DAY - HORIZON_D - 1)


async def test_an_identity_that_must_be_known_and_is_not_counts(slices: Slices) -> None:
    """Trap 28. Guards the check of what is left out in `judge`: the write that remembered it was lost."""
    lost = identity(1)
    answer = await slices.send(slices.write(0, lost, known=[lost]))
    assert answer == Verdicts([False]), "else it would be counted nowhere"
    await slices.apply(slices.write(0, lost))


async def test_a_repeated_call_tells_nothing_of_what_comes_next(slices: Slices) -> None:
    """Trap 28. Guards the first answer of `apply_slice`: what it would say of identities may be undone since."""
    write = slices.write(0, identity(1), ask=[identity(1)])
    first = await slices.apply(write)
    assert (first.repeated, first.remembered) == (False, [True])
    again = await slices.apply(write)
    assert (again.repeated, again.remembered) == (True, [])


async def test_what_a_lagging_partition_still_needs_is_not_forgotten(slices: Slices) -> None:
    """Trap 29. Guards `oldest_day`: what may be forgotten follows from the partition that is furthest behind."""
    await slices.apply(slices.write(0, identity(1)))
    await slices.apply(slices.write(1, identity(2)))
    await slices.idle(0, DAY + 10 * HORIZON_D)
    assert await slices.is_duplicate(1, identity(1), DAY + 1)
    await slices.idle(1, DAY + 10 * HORIZON_D)
    assert not await slices.is_duplicate(1, identity(1), DAY + 1), "once nobody can need it, it is"


async def test_a_partition_without_a_record_holds_back_every_deletion(slices: Slices) -> None:
    """Trap 37. Guards BEGINNING in `oldest_day`: a partition that was added is at the beginning of time."""
    await slices.apply(slices.write(0, identity(1), partitions=1))
    await slices.idle(0, DAY + 10 * HORIZON_D, partitions=2)
    assert await slices.is_duplicate(1, identity(1), DAY + 1)


async def test_an_alert_of_two_partitions_stands_once_also_for_a_late_call(slices: Slices) -> None:
    """Trap 30. Guards the insertion of effects in `write_slice`: who comes later is told that it stands."""
    first = await slices.apply(slices.write(0, identity(1)))
    late = slices.write(1, identity(2))
    assert first.owed is not None
    assert first.owed.totals[0].standing == frozenset()
    await slices.apply(slices.write(0, reacted=first.owed.digest, effects=[FULL]))
    second = await slices.apply(late)
    assert second.owed is not None
    assert second.owed.totals[0].standing == {FULL}
    assert second.owed.totals[0].values[SUM.series].number == 2
    cleared = await slices.apply(slices.write(1, reacted=second.owed.digest, effects=[FULL]))
    assert cleared.owed is None


async def test_a_third_copy_that_lags_is_still_a_duplicate(slices: Slices) -> None:
    """Trap 35. Guards the joined entries of `judge`: a copy beyond the horizon adds an entry of its own."""
    await slices.apply(slices.write(0, identity(1)))
    assert not await slices.is_duplicate(0, identity(1), DAY + HORIZON_D + 6), "it counts"
    assert await slices.is_duplicate(1, identity(1), DAY + 1)
    assert await slices.is_duplicate(1, identity(1), DAY + HORIZON_D + 7)


async def test_a_reaction_to_totals_that_have_changed_is_refused(slices: Slices) -> None:
    """Trap 36. Guards the digest of what is owed in `apply_slice`: nothing is inserted, and the key goes on owing."""
    seen = await slices.apply(slices.write(0, identity(1)))
    assert seen.owed is not None
    now = await slices.apply(slices.write(0, identity(2)))
    assert now.owed is not None
    assert now.owed.digest != seen.owed.digest
    stale = await slices.apply(slices.write(0, reacted=seen.owed.digest, effects=[FULL]))
    assert stale.owed == now.owed, "it owes what it owed, and no effect stands"
