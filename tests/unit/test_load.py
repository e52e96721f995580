"""The load generator: the same for the same seed, and what it says of itself is true."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from billing.load import Drive, Kind, Load, Mixture, Sendable, arrivals, customer_names, zipf_shares

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def make(seed: int, count: int, mixture: Mixture | None = None) -> list[Sendable]:
    load = Load(seed, customer_names(50), mixture)
    return [load.make(NOW + timedelta(milliseconds=number)) for number in range(count)]


def test_the_same_seed_gives_the_same_events() -> None:
    assert make(7, 500) == make(7, 500)
    assert make(7, 500) != make(8, 500)


def test_shares_are_as_the_mixture_says() -> None:
    mixture = Mixture(duplicates=0.1, late=0.2, malformed=0.05)
    kinds = Counter(event.kind for event in make(1, 20_000, mixture))
    assert kinds[Kind.DUPLICATE] == pytest.approx(2_000, rel=0.1)
    assert kinds[Kind.LATE] == pytest.approx(4_000, rel=0.1)
    assert kinds[Kind.MALFORMED] == pytest.approx(1_000, rel=0.15)


@pytest.mark.parametrize("seed", range(20))
def test_malformed_events_come_as_often_as_said_in_a_short_run_too(seed: int) -> None:
    """A demo of some seconds shows what becomes of them, whatever its seed."""
    kinds = [event.kind for event in make(seed, 3_000)]
    assert [kinds[first : first + 1_000].count(Kind.MALFORMED) for first in (0, 1_000, 2_000)] == [1, 1, 1]


def test_a_duplicate_is_a_copy_and_everything_else_is_new() -> None:
    events = make(2, 5_000, Mixture(duplicates=0.1, malformed=0))
    seen: set[bytes] = set()
    for event in events:
        assert (event.value in seen) == (event.kind is Kind.DUPLICATE)
        seen.add(event.value)


def test_well_formed_events_are_what_the_contract_asks_for() -> None:
    for event in make(3, 2_000, Mixture(malformed=0)):
        content = json.loads(event.value)
        assert content["subject"].encode() == event.key
        assert content["specversion"] == "1.0"
        happened = datetime.fromisoformat(content["time"])
        assert (happened < NOW - timedelta(minutes=1)) == (event.kind is Kind.LATE) or event.kind is Kind.DUPLICATE
        assert content["data"]["prompt_tokens"] > 0


def test_the_first_customer_is_the_heaviest_and_runs_are_runs() -> None:
    events = make(4, 20_000, Mixture(malformed=0, duplicates=0))
    shares = Counter(event.key for event in events)
    assert shares.most_common(1)[0][0] == customer_names(1)[0].encode()
    runs = sum(1 for _ in itertools.groupby(event.key for event in events))
    assert runs < len(events) / 2


def test_zipf_shares_add_up() -> None:
    shares = zipf_shares(200, 1.1)
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    assert len(set(customer_names(450))) == 450


def test_arrivals_keep_the_rate_in_bursts() -> None:
    times = list(itertools.takewhile(lambda at_s: at_s < 400, arrivals(1, 100)))
    assert times == sorted(times)
    assert len(times) == pytest.approx(40_000, rel=0.1)
    by_tenth = Counter(int(at_s * 10) for at_s in times)
    assert max(by_tenth.values()) > 25, "there are bursts"


class Receiver:
    def __init__(self) -> None:
        self.got: list[Sendable] = []
        self.under_way = 0
        self.most_under_way = 0

    async def take(self, batch: Sequence[Sendable]) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0.001)
        self.got.extend(batch)
        self.under_way -= 1


def drive(accepted: Receiver, published: Receiver, rate: float | None) -> Drive:
    load = Load(5, customer_names(20), Mixture(malformed=0.1))
    return Drive(load=load, post=accepted.take, publish=published.take, now=lambda: NOW, rate=rate, batch_max=50)


@pytest.mark.parametrize("rate", [None, 20_000.0])
async def test_what_was_sent_is_known_exactly(rate: float | None) -> None:
    accepted, published = Receiver(), Receiver()
    sent = await drive(accepted, published, rate).run(asyncio.Event(), events_max=2_000)
    assert sent.events == 2_000
    assert Counter(event.kind for event in accepted.got + published.got) == Counter(sent.by_kind)
    assert {event.kind for event in published.got} == {Kind.MALFORMED}
    assert accepted.most_under_way <= 8


async def test_it_stops_when_told_and_waits_for_what_is_under_way() -> None:
    accepted, published, stop = Receiver(), Receiver(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(drive(accepted, published, 5_000.0).run(stop))
        await asyncio.sleep(0.2)
        stop.set()
    assert running.result().events == len(accepted.got) + len(published.got) > 0


async def test_a_failure_to_send_ends_the_drive() -> None:
    async def refuse(batch: Sequence[Sendable]) -> None:
        raise ConnectionError(f"{len(batch)} events")

    load = Load(5, customer_names(20))
    failing = Drive(load=load, post=refuse, publish=refuse, now=lambda: NOW, rate=None)
    with pytest.raises(ExceptionGroup) as raised:
        await failing.run(asyncio.Event())
    assert raised.group_contains(ConnectionError)
