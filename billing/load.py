"""A realistic load: usage of language models by customers, seeded, the same for the same seed.

`Load` is pure: it makes events from a random generator and the instants it is given. Customers follow Zipf's law and
come in runs; arrivals come in bursts; 1 % of the events are sent again as they were, some tell a time hours ago, one
in a thousand is malformed. `Drive` sends a load at an open-loop rate, or as fast as it is taken, and knows what it
sent.
"""

import asyncio
import bisect
import itertools
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

EVENT_TYPE = "llm.request"
SOURCE = "gateway"
MODELS = {"m-small": (0.55, 900), "m-medium": (0.3, 1_600), "m-large": (0.15, 2_400)}
"""Share of the requests, and the median number of prompt tokens."""
REGIONS = {"eu": 0.5, "us": 0.35, "ap": 0.15}
_MODEL_NAMES, _MODEL_SHARES = list(MODELS), list(itertools.accumulate(share for share, _ in MODELS.values()))
_REGION_NAMES, _REGION_SHARES = list(REGIONS), list(itertools.accumulate(REGIONS.values()))
FIRST_NAMES = (
    "acme",
    "globex",
    "initech",
    "umbra",
    "hooli",
    "vandelay",
    "tyrell",
    "stark",
    "wayne",
    "oscorp",
)
SECOND_NAMES = (
    "",
    "-labs",
    "-cloud",
    "-media",
    "-games",
    "-health",
    "-bank",
    "-retail",
    "-energy",
    "-travel",
)
RESENT_WINDOW = 2_000
"""A duplicate is a copy of one of so many events before it."""
BURST = 3.0
"""How much faster than on average events come within a burst; bursts fill a fifth of the time."""
BURST_SHARE = 0.2
BURST_S = 0.3


class Kind(StrEnum):
    FRESH = "fresh"
    LATE = "late"
    DUPLICATE = "duplicate"
    MALFORMED = "malformed"


class Sendable(NamedTuple):
    """One record: `key` is its subject. A malformed one cannot pass the API's door and goes into the log directly."""

    kind: Kind
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Shares of all events, and the shape of the customers."""

    duplicates: float = 0.01
    late: float = 0.01
    malformed: float = 0.001
    """These come at even distances: by chance a short run would have none."""
    zipf_exponent: float = 1.1
    run_mean: float = 4.0
    """Consecutive events of one customer, on average."""


def customer_names(count: int) -> list[str]:
    """`count` distinct names, the heaviest customer first."""
    names = (f"{first}{second}{number}" for number in itertools.chain([""], itertools.count(2))
             for second in SECOND_NAMES for first in FIRST_NAMES)  # fmt: skip
    return list(itertools.islice(names, count))


def zipf_shares(count: int, exponent: float) -> list[float]:
    """The share of each rank; they add up to 1."""
    weights = [rank**-exponent for rank in range(1, count + 1)]
    whole = sum(weights)
    return [weight / whole for weight in weights]


class Load:
    """Makes events. `customers`: heaviest first."""

    def __init__(self, seed: int, customers: Sequence[str], mixture: Mixture | None = None) -> None:
        self._random = random.Random(seed)
        self._mixture = mixture or Mixture()
        self._customers = list(customers)
        shares = zipf_shares(len(self._customers), self._mixture.zipf_exponent)
        self._cumulated = list(itertools.accumulate(shares))
        self._resendable: deque[Sendable] = deque(maxlen=RESENT_WINDOW)
        self._serial = self._made = 0
        self._run = f"{self._random.getrandbits(48):012x}"
        self._runs_left = 0
        self._customer = self._customers[0]

    def make(self, now: datetime) -> Sendable:
        """The next event, sent at `now` (aware)."""
        mixture = self._mixture
        self._made += 1
        if int(self._made * mixture.malformed) > int((self._made - 1) * mixture.malformed):
            return self._malformed(now)
        chance = self._random.random()
        if chance < mixture.duplicates and self._resendable:
            copied = self._random.choice(self._resendable)
            return copied._replace(kind=Kind.DUPLICATE)
        chance -= mixture.duplicates
        kind = Kind.LATE if chance < mixture.late else Kind.FRESH
        happened = now - timedelta(minutes=self._random.uniform(2, 180)) if kind is Kind.LATE else now
        subject, event = self._event(happened)
        made = Sendable(kind, subject.encode(), _encode(event))
        self._resendable.append(made)
        return made

    def _event(self, happened: datetime) -> tuple[str, dict[str, Any]]:
        chance = self._random
        if self._runs_left == 0:
            position = bisect.bisect(self._cumulated, chance.random() * self._cumulated[-1])
            self._customer = self._customers[min(position, len(self._customers) - 1)]
            self._runs_left = 1 + int(chance.expovariate(1 / max(self._mixture.run_mean - 0.5, 0.01)))
        self._runs_left -= 1
        self._serial += 1
        (model,) = chance.choices(_MODEL_NAMES, cum_weights=_MODEL_SHARES)
        (region,) = chance.choices(_REGION_NAMES, cum_weights=_REGION_SHARES)
        data = {
            "prompt_tokens": 1 + int(chance.lognormvariate(0, 0.9) * MODELS[model][1]),
            "completion_tokens": 1 + int(chance.expovariate(1 / 260)),
            "model": model,
            "region": region,
        }
        return self._customer, {
            "specversion": "1.0",
            "id": f"{self._run}-{self._serial}",
            "source": SOURCE,
            "type": EVENT_TYPE,
            "subject": self._customer,
            "time": happened.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "data": data,
        }

    def _malformed(self, now: datetime) -> Sendable:
        subject, event = self._event(now)
        whole = _encode(event)
        match self._random.randrange(5):
            case 0:
                value = whole[: len(whole) // 2]
            case 1:
                del event["id"]
                value = _encode(event)
            case 2:
                event["data"]["prompt_tokens"] = "many"
                value = _encode(event)
            case 3:
                event["time"] = (now - timedelta(days=400)).isoformat()
                value = _encode(event)
            case _:
                event["subject"] = f"{subject}-of-somebody-else"
                value = _encode(event)
        return Sendable(Kind.MALFORMED, subject.encode(), value)


def arrivals(seed: int, rate: float) -> Iterator[float]:
    """Seconds from the start at which events come, for ever: `rate` a second on average, in bursts."""
    chance = random.Random(seed)
    calm = (1 - BURST * BURST_SHARE) / (1 - BURST_SHARE)
    at_s = begun_s = 0.0
    while True:
        burst_s = BURST_S * chance.uniform(0.5, 1.5)
        for pace, ends_s in ((BURST, begun_s + burst_s), (calm, begun_s + burst_s / BURST_SHARE)):
            while (at_s := at_s + chance.expovariate(rate * pace)) < ends_s:
                yield at_s
            at_s = ends_s  # what would have come later comes at the other pace: chance has no memory
        begun_s = at_s


@dataclass(slots=True)
class Sent:
    """What was sent and acknowledged, by kind. A request that was repeated counts once here."""

    by_kind: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))

    @property
    def events(self) -> int:
        return sum(self.by_kind.values())


Post = Callable[[Sequence[Sendable]], Awaitable[None]]
"""Returns when the batch is acknowledged; raises what ends the drive."""


@dataclass(slots=True, kw_only=True)
class Drive:
    """One run of a load. `post` takes what the API accepts, `publish` what it would refuse.

    `rate`: events a second, None: as fast as they are taken. `in_flight_max` batches are under way at once; when the
    other side is slower than the rate, events are sent late and none is left out.
    """

    load: Load
    post: Post
    publish: Post
    now: Callable[[], datetime]
    rate: float | None
    seed: int = 1
    batch_max: int = 500
    tick_s: float = 0.02
    in_flight_max: int = 8
    sent: Sent = field(default_factory=Sent)

    async def run(self, stop: asyncio.Event, *, events_max: int | None = None) -> Sent:
        """Sends until `stop` is set or `events_max` were sent; returns when all of it is acknowledged."""
        room = asyncio.Semaphore(self.in_flight_max)
        async with asyncio.TaskGroup() as tasks:
            async for count in self._due(stop, events_max):
                batch = [self.load.make(self.now()) for _ in range(count)]
                await room.acquire()
                tasks.create_task(self._deliver(batch, room))
        return self.sent

    async def _due(self, stop: asyncio.Event, events_max: int | None) -> AsyncIterator[int]:
        """How many events to send next, when it is time for them."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        times = arrivals(self.seed, self.rate) if self.rate else None
        following_s = next(times) if times else 0.0
        left = events_max if events_max is not None else 2**63
        while left and not stop.is_set():
            due = 0
            if times is None:
                due = min(self.batch_max, left)
                await asyncio.sleep(0)
            else:
                while due < min(self.batch_max, left) and following_s <= loop.time() - began:
                    due += 1
                    following_s = next(times)
            if due:
                left -= due
                yield due
            else:
                await asyncio.sleep(max(self.tick_s, following_s - (loop.time() - began)))

    async def _deliver(self, batch: list[Sendable], room: asyncio.Semaphore) -> None:
        try:
            for send, chosen in (
                (self.post, [one for one in batch if one.kind is not Kind.MALFORMED]),
                (self.publish, [one for one in batch if one.kind is Kind.MALFORMED]),
            ):
                if chosen:
                    await send(chosen)
                    for one in chosen:
                        self.sent.by_kind[one.kind] += 1
        finally:
            room.release()


def _encode(event: dict[str, Any]) -> bytes:
    return orjson.dumps(event)
