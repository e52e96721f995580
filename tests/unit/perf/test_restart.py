"""A restart lasts from the first assignment to the first commit beyond the old one."""

import pytest

from engine.notice import notice
from perf.harness.restart import RestartWatch


async def test_only_a_commit_beyond_the_old_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([1.0, 1.5, 2.0, 3.0])
    monkeypatch.setattr("perf.harness.restart.time.perf_counter", lambda: next(moments))
    watch = RestartWatch(100)

    watch.tell(notice("partition.assigned", "assigned", partition=0))
    watch.tell(notice("epoch.began", "begins", partition=0))
    watch.committed(100)
    watch.tell(notice("engine.stopped", "something else"))
    watch.committed(101)

    assert await watch.figures() == {"begin_ms": 500.0, "commit_ms": 2_000.0}


async def test_without_a_commit_there_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perf.harness.restart.WITHIN_S", 0.01)
    watch = RestartWatch(100)
    watch.committed(100)

    with pytest.raises(TimeoutError):
        await watch.figures()
