"""Traps of lanes and retries: odd keys, one key on two topics, back-off, and what a stuck key says of the load."""

from collections.abc import Sequence

import anyio

from engine import Event
from engine.adapters.otel import OpenTelemetry
from engine.errors import Unsendable
from engine.event import Message
from engine.notice import key_hash
from engine.runtime.observed import observe
from engine.sim.broker import SimulatedSender
from engine.sim.loop import run
from tests.simulation.plain import TOPIC, all_committed, broker_with, parked, running, until

MIB = 1024 * 1024


class Small(SimulatedSender):
    """Takes messages of a mebibyte, as Kafka's defaults do."""

    async def send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            size = len(message.key or b"") + len(message.value or b"")
            if size + sum(len(name) + len(value) for name, value in message.headers) > MIB:
                raise Unsendable(f"a message of {size} bytes is too large")
        await super().send(messages)


def test_every_key_has_a_lane_also_none_and_a_large_one() -> None:
    """Trap 18. Guards KEY_BYTES_MAX: the dead letter of a large key can be sent.

    No key and the empty key share a lane; a key's bytes need not be text; of a large key the letter holds a prefix.
    """

    async def scenario() -> None:
        names = [None, b"\xff\xfe", b"k" * MIB, b""]
        broker = broker_with([])
        for number in range(12):
            broker.append(TOPIC, 0, names[number % 4], b"%d" % number)
        handled: list[int] = []

        async def handle(event: Event) -> None:
            if event.offset >= 8:
                raise ValueError("poison")
            await anyio.sleep(0.1)
            handled.append(event.offset)

        async with running(broker, handle, sender=Small(broker), retry_max=1, retry_base_s=0.01, breaker_keys=0):
            await until(all_committed(broker))
        lanes = [[offset for offset in handled if offset % 4 in lane] for lane in ({0, 3}, {1}, {2})]
        assert lanes == [[0, 3, 4, 7], [1, 5], [2, 6]], "each key's events in their order"
        letters = broker.logs[f"{TOPIC}.dead", 0]
        assert sorted((letter.key or b"")[:2] for letter in letters) == [b"", b"", b"kk", b"\xff\xfe"]
        assert key_hash(None) == key_hash(b"")

    run(scenario)


def test_one_key_on_two_topics_is_two_lanes() -> None:
    """Trap 18: an order is of a key and a partition of a topic, so neither topic's key waits for the other's."""

    async def scenario() -> None:
        stuck, free = broker_with(["k"]), broker_with(["k"] * 5)
        handled: list[int] = []

        async def never(event: Event) -> None:
            await anyio.sleep_forever()

        async def handle(event: Event) -> None:
            handled.append(event.offset)

        async with running(stuck, never, drain_s=0.1), running(free, handle):
            await until(all_committed(free))
        assert handled == [0, 1, 2, 3, 4]

    run(scenario)


def test_retries_back_off_with_jitter_and_hold_only_their_key() -> None:
    """Trap 21. Guards `retry_delay_s`: the waits grow up to a cap, and those of two keys differ."""

    async def scenario() -> None:
        broker = broker_with([f"bad{number}" for number in range(30)] + ["good"] * 30)
        tried_s: dict[bytes, list[float]] = {}
        good: list[int] = []

        async def handle(event: Event) -> None:
            if event.key == b"good":
                good.append(event.offset)
                return
            tried_s.setdefault(event.key or b"", []).append(anyio.current_time())
            raise ConnectionError("away")

        async with running(broker, handle, retry_max=4, retry_base_s=1.0, retry_cap_s=4.0, breaker_keys=0):
            await until(lambda: len(good) == 30, within_s=1)
            await until(all_committed(broker))
        assert {len(times) for times in tried_s.values()} == {5}
        for attempt, longest_s in enumerate((1.0, 2.0, 4.0, 4.0)):
            waits_s = [times[attempt + 1] - times[attempt] for times in tried_s.values()]
            assert max(waits_s) < longest_s + 0.2
            assert max(waits_s) > longest_s / 2, "up to so long"
            assert len({round(wait_s, 3) for wait_s in waits_s}) > 20, "and each by chance"

    run(scenario)


def test_a_stuck_key_is_no_reason_for_more_workers() -> None:
    """Trap 24. Guards `_unstarted`: what one key holds back is in the lag, and not in what there is to scale by."""

    async def scenario() -> None:
        broker = broker_with(["stuck"] * 500 + [f"k{number}" for number in range(500)])

        async def handle(event: Event) -> None:
            if event.key == b"stuck":
                await anyio.sleep_forever()

        async with running(broker, handle, stops=False) as engine:
            await anyio.sleep(10)
            (partition,) = engine.statistics().partitions
            assert partition.end is not None
            assert partition.watermark is not None
            assert partition.end - partition.watermark == 1_000
            assert partition.unstarted == 0

    run(scenario)


def test_metrics_do_not_grow_with_keys_commits_and_time() -> None:
    """Trap 25. Guards PARKED_MAX: what a worker shows of 500 keys, all parked, is as long as what it shows of 150."""

    async def shown(keys: int) -> tuple[set[bytes], int]:
        broker = broker_with([f"k{number}" for number in range(keys)])
        failed = 0

        async def handle(event: Event) -> None:
            nonlocal failed
            failed += 1
            raise ValueError("poison")

        telemetry = OpenTelemetry("g", "worker")
        async with running(broker, handle, on_failure="park", retry_max=0, breaker_keys=0, stops=False) as engine:
            observe(telemetry, TOPIC, "g", engine.statistics)
            await until(lambda: failed == keys)
            await anyio.sleep(keys / 10)
            series = {line.rpartition(b" ")[0] for line in telemetry.exposition().splitlines()}
            telemetry.close()
            return series, len(parked(engine))

    assert run(lambda: shown(500)) == run(lambda: shown(150))
