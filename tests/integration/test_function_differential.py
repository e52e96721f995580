"""The simulated function library against the real one: the same random calls, every reply and all that is stored.

What the simulation proves rests on this. Calls are valid, stale, repeated, wrongly judged, beyond the horizon, at the
limits of numbers, and on values that somebody damaged.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from engine.aggregate import Aggregate, Cell, Period
from engine.core.record import Record, Stamp
from engine.embedded.redis import EmbeddedRedis
from engine.errors import StateDamaged
from engine.event import Counts
from engine.sim.function import SimulatedFunctions
from engine.sim.owing import read_entries
from engine.sim.store import Geometry
from engine.state import keys
from engine.state.identity import digest_of
from engine.state.library import TEXT, VERSION
from engine.state.packing import (
    Applied,
    Damaged,
    SliceWrite,
    Stored,
    Verdicts,
    pack_apply,
    pack_check,
    pack_read,
    unpack_apply,
    unpack_read,
)
from engine.state.summing import sum_up
from tests.unit.state.events import FakeEvent

GROUP, BUCKETS, HORIZON_D = "g{%}", 2, 3
DAY, HOUR_S = 20_000, 3600
KEYS = (b"acme", b"\xff\x00{}", b"", b"a:1", b"1:a")
STARTS = tuple((DAY * 24 + hour) * HOUR_S for hour in (0, 1, 23, 24, 50))
PERIODS = (
    Period.of(STARTS[0], STARTS[3], keep=False, watched=False),
    Period.of(STARTS[0], STARTS[3], keep=True, watched=False),
    Period.of(STARTS[0], STARTS[3], keep=True, watched=True),
    Period.of(STARTS[1], STARTS[4] + 900, keep=True, watched=True),
    None,
)
LARGEST = 10**27 - 1


class Pair:
    """Both libraries, asked the same; `text` may change the real one's constants."""

    def __init__(self, client: Redis, text: str = TEXT, geometry: Geometry | None = None) -> None:
        self.client = client
        client.flushall()
        client.function_flush()
        client.function_load(text)
        self.simulated = SimulatedFunctions(geometry=geometry)
        self.digests: dict[bytes, bytes] = {}
        """What the real one owes, and what the simulated one owes: the same in another order of values."""

    def call(self, function: str, payload: bytes) -> tuple[list[bytes], list[bytes]]:
        real: Any = self.client.fcall(f"{function}_{VERSION}", 1, "k", payload)
        for digest, other in self.digests.items():
            payload = payload.replace(digest, other)
        simulated = self.simulated.call(function, payload)
        for left, right in zip(map(readable, real), map(readable, simulated), strict=True):
            if isinstance(left, Applied) and isinstance(right, Applied) and left.owed and right.owed:
                self.digests[left.owed.digest] = right.owed.digest
        return real, simulated

    def stored(self) -> dict[bytes, Any]:
        found: dict[bytes, Any] = {}
        for key in self.client.scan_iter(count=10_000):
            match self.client.type(key):
                case b"hash":
                    found[key] = self.client.hgetall(key)
                case b"set":
                    found[key] = self.client.smembers(key)
                case b"zset":
                    found[key] = set(self.client.zrange(key, 0, -1))
                case other:
                    found[key] = other
        return found

    def compare(self) -> int:
        real, simulated = self.stored(), self.simulated.state
        assert real.keys() == simulated.keys()
        for key, value in real.items():
            assert plain(value) == plain(simulated[key]), key
        return len(real)


def plain(value: Any) -> Any:
    """The order of a total's values in what a slice owes is Redis's own, for large hashes."""
    if isinstance(value, dict) and b"o" in value:
        owing = value[b"o"]
        return value | {
            b"o": (owing[:16], [sorted(struct.iter_unpack("B", one.packed)) for one in read_entries(owing)])
        }
    return value


class Caller:
    """Makes calls as workers would, and as they should not."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.records: dict[tuple[int, int], bytes] = {}
        self.owed: dict[tuple[int, int], bytes] = {}
        self.serial = 0
        self.day = DAY
        self.sent: list[bytes] = []
        self.duplicates: dict[tuple[int, int], set[int]] = {}
        self.partitions = 2

    def record(self, day: int) -> bytes:
        self.serial += 1
        return Record(position=self.serial, day=day, buckets=BUCKETS, stamp=Stamp(1, self.serial)).encode()

    def identity(self) -> bytes:
        return digest_of(b"%d" % self.random.randrange(150))

    def counts(self, identity: bytes) -> Counts:
        adds = []
        for _ in range(self.random.choice((0, 1, 1, 1, 2, 4))):
            aggregate = self.random.choice(tuple(Aggregate))
            cell = Cell.of(aggregate, self.random.choice(STARTS), self.random.choice((b"", b"n", b"tokens")))
            adds.append((cell, self.value(aggregate)))
        return Counts(identity, tuple(adds), self.random.choice(PERIODS))

    def value(self, aggregate: Aggregate) -> Any:
        number = self.random.choice(
            (0, 1, -1, 10**12, LARGEST, -LARGEST, 10**15, -(10**15), self.random.randrange(10**27))
        )
        match aggregate:
            case Aggregate.COUNT:
                return None
            case Aggregate.LATEST:
                return (self.random.choice((-(10**15), 0, 10**15, 10**15 + 1)), number)
            case Aggregate.UNIQUE:
                return digest_of(b"%d" % self.random.randrange(9))
        return number

    def write(self, place: tuple[int, int]) -> SliceWrite:
        batch, judged = [], []
        guess = self.duplicates.pop(place, None)
        for index in range(self.random.randrange(9)):
            identity, day = self.identity(), self.day - self.random.choice((0, 0, 0, 1, 4, 9))
            event = FakeEvent(
                self.random.choice(KEYS), day * 86_400_000 + self.random.randrange(9), place[1], self.serial + index
            )
            left_out = index in guess if guess is not None else self.random.random() < 0.1
            judged.append((identity, day, left_out))
            if not left_out:
                batch.append((event, self.counts(identity)))
        before = self.records.get(place, b"")
        effects = [
            (key, period, self.random.choice((b"50%", b"80%")))
            for key in KEYS
            for period in PERIODS[2:4]
            if period and self.random.random() < 0.3
        ]
        return SliceWrite(
            bucket=place[0], partition=place[1], before=before, after=self.record(self.day),
            judged=judged, updates=sum_up(batch), counted=len(batch), unmetered=1, duplicate=2, dead=3,
            ask=[(self.identity(), self.day) for _ in range(self.random.randrange(5))],
            reacted=self.owed.get(place, b"") if self.random.random() < 0.7 else b"\x01" * 16,
            effects=effects, partitions=self.partitions,
        )  # fmt: skip

    def learn(self, write: SliceWrite, answer: Any) -> None:
        place = write.bucket, write.partition
        if isinstance(answer, Applied):
            self.records[place] = write.after
            self.owed[place] = answer.owed.digest if answer.owed else b""


@pytest.fixture(scope="module")
def client(redis_server: EmbeddedRedis) -> Iterator[Redis]:
    with Redis(port=redis_server.port) as client:
        yield client


def same(real: Sequence[bytes], simulated: Sequence[bytes]) -> list[Any]:
    """Damage is told in each one's own words; what an answer hands on of a damaged total cannot be read from either."""
    left, right = [readable(answer) for answer in real], [readable(answer) for answer in simulated]
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert undigested(one) == undigested(other) or (isinstance(one, Damaged) and isinstance(other, Damaged))
    return left


def undigested(answer: Any) -> Any:
    if isinstance(answer, Applied | Stored) and answer.owed is not None:
        return replace(answer, owed=replace(answer.owed, digest=b""))
    return answer


def readable(answer: bytes) -> Any:
    try:
        return unpack_apply([answer])[0]
    except StateDamaged as error:
        return Damaged(str(error))


def damage(pair: Pair, random: Random) -> None:
    """Somebody writes what the engine never would, in both."""
    state = pair.simulated.state
    key = random.choice(sorted(state))
    value = state[key]
    if random.random() < 0.2 and not key.endswith((b"j",)):
        pair.client.delete(key)
        state[key] = {b"set"} if isinstance(value, dict) else {b"hash": b"1"}
        if isinstance(value, dict):
            pair.client.sadd(key, b"set")
        else:
            pair.client.hset(key, b"hash", b"1")
    elif isinstance(value, dict) and (fields := [field for field in sorted(value) if field not in {b"o", b"r"}]):
        if b"x:" in key:
            return  # the text of an entry is not checked
        field = random.choice(fields)
        bad = random.choice((b"", b"\x7f" * len(value[field]), struct.pack(">d", float("nan")) * 4, b"x" * 31))
        pair.client.hset(key, field, bad)
        state[key] = value | {field: bad}


@pytest.mark.parametrize("seed", [*range(12), 103, 129])
@pytest.mark.parametrize("damaging", [False, True])
def test_random_calls(client: Redis, seed: int, damaging: bool) -> None:
    random = Random(seed)
    pair, caller = Pair(client), Caller(random)
    seen: dict[str, int] = {}
    for turn in range(120):
        if turn % 20 == 19:
            caller.day += random.choice((1, 2, 5))
        if turn == 60:
            caller.partitions = 3
        places = [(bucket, partition) for bucket in range(BUCKETS) for partition in range(caller.partitions)]
        writes = [caller.write(place) for place in random.sample(places, random.randrange(1, 4))]
        if random.random() < 0.1:
            writes[0].before = b"another"
        payload = pack_apply(GROUP, BUCKETS, HORIZON_D, True, writes)
        if random.random() < 0.2:
            same(*pair.call("apply", payload))
        answers = same(*pair.call("apply", payload))
        if caller.sent and random.random() < 0.1:
            same(*pair.call("apply", random.choice(caller.sent)))
        caller.sent.append(payload)
        for write, answer in zip(writes, answers, strict=True):
            seen[type(answer).__name__] = seen.get(type(answer).__name__, 0) + 1
            if isinstance(answer, Verdicts):
                repeated = rejudged(write, answer, caller)
                answers = same(*pair.call("apply", pack_apply(GROUP, BUCKETS, HORIZON_D, True, [repeated])))
                caller.learn(repeated, answers[0])
            else:
                caller.learn(write, answer)
        if damaging and turn in {40, 60, 80, 100}:
            damage(pair, random)
    checks = pack_check(GROUP, [(0, 0, caller.records.get((0, 0), b"")), (1, 1, b"")])
    same(*pair.call("check", checks))
    if not damaging:
        real, simulated = pair.call("read", pack_read(GROUP, [(0, 0), (0, 1), (1, 0), (1, 1)]))
        assert list(map(undigested, unpack_read(real))) == list(map(undigested, unpack_read(simulated)))
        assert seen["Applied"] > 50
    assert pair.compare() > 20


def rejudged(write: SliceWrite, verdicts: Verdicts, caller: Caller) -> SliceWrite:
    """As a worker does: those that the answer names are left out; what the others add is made anew."""
    judged = [(identity, day, out) for (identity, day, _), out in zip(write.judged, verdicts.duplicates, strict=True)]
    batch = [
        (FakeEvent(b"acme", day * 86_400_000, write.partition, index), caller.counts(identity))
        for index, (identity, day, out) in enumerate(judged)
        if not out
    ]
    write.judged, write.updates = judged, sum_up(batch)
    return write


@pytest.mark.parametrize("level", [8, 15])
def test_chunks_split_and_are_swept_alike(client: Redis, level: int) -> None:
    """At level 15 a split shortens the fields; the constants are changed in both to get there."""
    random = Random(level)
    text, geometry = TEXT, Geometry()
    if level == 15:
        text = TEXT.replace("LEVEL_MIN, LEVEL_MAX = 8", "LEVEL_MIN, LEVEL_MAX = 15")
        text = text.replace("CHUNK_LOAD = 24", "CHUNK_LOAD = 0")
        assert text.count("LEVEL_MAX = 15") == text.count("CHUNK_LOAD = 0 ") == 1
        geometry = Geometry(level_min=15, chunk_load=0)
    pair = Pair(client, text, geometry)
    before, known = b"", list[bytes]()
    turns = 40 if level == 15 else 160
    for turn in range(turns):
        day = DAY + turn // (4 if level == 15 else 10)
        new = [
            random.randbytes(13) + (random.randrange(64) + 32_768 * random.randrange(4)).to_bytes(3, "big")
            if level == 15
            else random.randbytes(16)
            for _ in range(60)
        ]
        after = Record(position=turn + 1, day=day, stamp=Stamp(1, turn)).encode()
        write = SliceWrite(
            bucket=0, partition=0, before=before, after=after, judged=[(one, day, False) for one in new], updates={},
            counted=0, unmetered=60, duplicate=0, dead=0, ask=[(one, day) for one in random.sample([*known, *new], 20)],
            reacted=b"", effects=[], partitions=1,
        )  # fmt: skip
        (answer,) = same(*pair.call("apply", pack_apply(GROUP, BUCKETS, HORIZON_D, True, [write])))
        assert isinstance(answer, Applied)
        before = after
        known += new
    chunks = [key for key in pair.simulated.state if b"}x:" in key]
    assert len(chunks) > (100 if level == 15 else 256)
    meta = pair.simulated.state[keys.tag(GROUP, 0) + b"m"]
    assert isinstance(meta, dict)
    left = struct.unpack(">BBIdiiiII", meta[b"i"])[3]
    assert left < 60 * turns, "some were forgotten"
    pair.compare()


@pytest.mark.parametrize("seed", range(4))
def test_a_payload_that_is_cut_short_writes_nothing(client: Redis, seed: int) -> None:
    """A script that fails half-way would keep its first writes: a slice comes as a whole, or nothing is written."""
    random = Random(seed)
    pair, caller = Pair(client), Caller(random)
    for _ in range(10):
        write = caller.write((0, 0))
        (answer,) = same(*pair.call("apply", pack_apply(GROUP, BUCKETS, HORIZON_D, True, [write])))
        caller.learn(write, answer)
    before = pair.stored()
    refused = 0
    for function, payload in (
        ("apply", pack_apply(GROUP, BUCKETS, HORIZON_D, True, [caller.write((0, 0))])),
        ("check", pack_check(GROUP, [(0, 0, caller.records.get((0, 0), b"")), (1, 1, b"")])),
        ("read", pack_read(GROUP, [(0, 0), (1, 1)])),
    ):
        for end in sorted({0, 1, len(payload) - 1, *(random.randrange(len(payload)) for _ in range(60))}):
            cut = payload[:end]
            real = refuses(partial(client.fcall, f"{function}_{VERSION}", 1, "k"), cut, ResponseError)
            simulated = refuses(partial(pair.simulated.call, function), cut, StateDamaged)
            assert real == simulated or function != "apply"
            refused += real
    assert refused > 60
    assert pair.stored() == before
    pair.compare()


def refuses(call: Callable[[bytes], Any], payload: bytes, error: type[Exception]) -> bool:
    """Whether the call fails, or says of a slice that it is damaged."""
    try:
        return any(answer[:1] == b"D" for answer in call(payload))
    except error:
        return True
