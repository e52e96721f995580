"""`perf backlog` with a small one: two processes share it, and events that are committed by others give no figures."""

from collections.abc import Iterator
from itertools import count

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from perf.harness.burning import PARTITIONS, Backlog, burn_together
from perf.harness.checks import CheckFailed
from perf.harness.produce import produce
from perf.harness.servers import Servers, running
from perf.harness.usage import UsageLog

LOG = UsageLog(20_000, 200)
TOPIC = "backlog"
BACKLOG = Backlog(LOG, workers=1, least_s=0.01, least_events=1)
groups = map("group-{}".format, count())


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with running("embedded") as started:
        produce(started.bootstrap, TOPIC, LOG, partitions=PARTITIONS)
        yield started


@pytest.mark.parametrize(("workers", "counts", "window_s"), [(2, False, None), (1, True, None), (1, False, 0.3)])
async def test_workers_burn_it_down(servers: Servers, workers: int, counts: bool, window_s: float | None) -> None:
    backlog = BACKLOG._replace(workers=workers, counts=counts, window_s=window_s)
    figures = await burn_together(servers=servers, topic=TOPIC, group=next(groups), backlog=backlog)

    assert figures["events_per_s"] > 0
    assert 0 < figures["events"] <= LOG.events
    assert ("whole_s" in figures) == (window_s is None)


async def test_what_is_committed_and_was_not_handled_gives_no_figures(servers: Servers) -> None:
    group = next(groups)
    consumer = AIOKafkaConsumer(bootstrap_servers=servers.bootstrap, group_id=group, enable_auto_commit=False)
    consumer.assign([TopicPartition(TOPIC, 0)])
    await consumer.start()
    await consumer.commit({TopicPartition(TOPIC, 0): 10})
    await consumer.stop()

    with pytest.raises(CheckFailed, match=f"{LOG.events - 10} events were handled, but {LOG.events} are committed"):
        await burn_together(servers=servers, topic=TOPIC, group=group, backlog=BACKLOG)
