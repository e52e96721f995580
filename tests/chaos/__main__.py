"""`python -m tests.chaos`: minutes of mixed faults with a seed, and one line that says what came of it.

chaos with seed 7: 412 s, 96,210 events in 12 partitions, 1,842 repeats; 9 kills, ...; lag 0: ok, ...
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from engine.adapters.kafka import KafkaSender, TopicSpec, ensure_topics
from engine.embedded.apache import ApacheKafka
from engine.embedded.redis import EmbeddedRedis
from tests.chaos.conftest import BROKERS, CLUSTER, PARTITIONS
from tests.chaos.fleet import Fleet, Verdict
from tests.chaos.mixed import WORKERS, MixedFaults
from tests.chaos.topic import TestTopic

ROUND_S = 60.0
"""After so long the load stops, and everything has to come to rest before it goes on."""
FAULTS_SHOWN_MAX = 10


async def chaos(seconds: float, seed: int, per_s: int, folder: Path) -> bool:
    """Prints the report; whether every promise was kept."""
    random = Random(seed)
    loop = asyncio.get_running_loop()
    async with ApacheKafka(brokers=BROKERS, settings=CLUSTER, quick=True) as cluster, EmbeddedRedis() as redis:
        specs = [TopicSpec(name, PARTITIONS, replication=BROKERS) for name in ("chaos", "chaos.dead")]
        await ensure_topics(cluster.bootstrap, specs)
        sender = KafkaSender(cluster.bootstrap, linger_ms=5)
        await sender.start()
        try:
            topic = TestTopic(cluster.bootstrap, "chaos", sender)
            async with Fleet(topic, redis.url, folder, static=random.random() < 0.5) as fleet:
                faults = MixedFaults(random, cluster, fleet, partitions=PARTITIONS)
                began_s = loop.time()
                await in_rounds(faults, fleet, seconds, per_s)
                await fleet.stop_all()
                verdict = await fleet.verdict()
        finally:
            await sender.stop()
    took_s = loop.time() - began_s
    faults_text = ", ".join(f"{count} × {kind}" for kind, count in sorted(faults.seen.items()))
    print(report(f"chaos with seed {seed}: {took_s:.0f} s", verdict, faults_text))
    return not verdict.faults


async def in_rounds(faults: MixedFaults, fleet: Fleet, seconds: float, per_s: int) -> None:
    """Load and faults, then rest, and so on; ends early where it does not come to rest, which the verdict tells."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    await fleet.start(*WORKERS)
    await fleet.until_shared(PARTITIONS)
    while (left_s := end_s - loop.time()) > 0:
        async with asyncio.TaskGroup() as tasks:
            load = tasks.create_task(fleet.topic.produce_forever(per_s))
            await faults.run(min(ROUND_S, left_s))
            load.cancel()
        try:
            await fleet.topic.until_settled(fleet.group, fleet.aggregates_group)
        except TimeoutError as error:
            print(error)
            return
        print(f"{loop.time() - end_s + seconds:.0f} s: at rest after {faults.seen.total()} faults", flush=True)


def report(head: str, verdict: Verdict, faults: str) -> str:
    """One line, and behind it what was wrong."""
    partitions = len({event.partition for event in verdict.events})
    checks = ", ".join(f"{name}: {'FAILED' if name in verdict.faults else 'ok'}" for name in verdict.checked)
    repeats = verdict.guarantees.at_least_once.repeats
    amounts = f"{len(verdict.events):,} events in {partitions} partitions, {repeats:,} handled again"
    lines = [f"{head}, {amounts}; {faults}; {checks}"]
    lines += [f"  {name}: {fault}" for name, each in verdict.faults.items() for fault in each[:FAULTS_SHOWN_MAX]]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-s", type=int, default=300, help="events produced a second")
    given = parser.parse_args(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells each broken connection, and here they all break
    with tempfile.TemporaryDirectory(prefix="keylane-chaos-") as folder:
        kept = asyncio.run(chaos(given.seconds, given.seed, given.per_s, Path(folder)))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
