from dataclasses import dataclass

from billing.progress import DISTRUST_MS, SAMPLES_MAX, EndHistory, Notice, Tracks


@dataclass(frozen=True)
class Part:
    bucket: int
    partition: int
    low: int
    position: int
    owing: bool = False


def notice(watermark: int | None, *, worker: str = "w", time_ms: int = 1_000, partition: int = 0) -> Notice:
    return Notice(worker, time_ms, {"partitions": [{"partition": partition, "watermark": watermark}]})


def tracks(end: int = 100, low: int = 100, *, time_ms: int = 1_000) -> Tracks:
    found = Tracks()
    found.see_ends(time_ms, {0: end})
    found.see_records([Part(0, 0, low, low), Part(1, 0, end, end)], time_ms)
    return found


def test_what_is_done_is_of_no_age() -> None:
    assert tracks().lag_ms(None, 5_000) == 0
    assert tracks().lag_ms(0, 5_000) == 0


def test_the_age_of_what_lies_beyond_is_bounded_by_the_last_end_that_was_reached() -> None:
    ends = EndHistory()
    for time_ms, end in ((1_000, 10), (2_000, 10), (3_000, 20), (4_000, 30)):
        ends.add(time_ms, end)
    assert ends.age_ms(30, 9_000) == 0
    assert ends.age_ms(29, 9_000) == 6_000
    assert ends.age_ms(20, 9_000) == 6_000
    assert ends.age_ms(19, 9_000) == 7_000
    assert ends.age_ms(10, 9_000) == 7_000
    assert ends.age_ms(9, 9_000) is None, "nobody saw the log as short as that"


def test_the_history_of_ends_is_bounded_and_never_tells_too_little() -> None:
    ends, exact = EndHistory(), {}
    for step in range(3 * SAMPLES_MAX):
        ends.add(step, step)
        exact[step] = step
    assert len(ends._ends) <= SAMPLES_MAX
    for offset in (SAMPLES_MAX, 2 * SAMPLES_MAX, 3 * SAMPLES_MAX - 5):
        age_ms = ends.age_ms(offset, 10_000)
        assert age_ms is not None
        assert age_ms >= 10_000 - exact[offset]


def test_a_log_that_was_cut_is_begun_anew() -> None:
    ends = EndHistory()
    ends.add(1_000, 50)
    ends.add(2_000, 10)
    assert ends.end == 10
    assert ends.age_ms(5, 3_000) is None


def test_the_record_of_a_bucket_tells_for_its_customers() -> None:
    found = tracks(low=40)
    assert found.lag_ms(1, 2_000) == 0
    assert found.lag_ms(0, 2_000) is None
    assert found.unknown(2_000) == [(0, 40)]
    found.partitions[0].beginning_ms = (40, 500)
    assert found.lag_ms(0, 2_000) == 1_500


def test_a_notice_is_newer_than_the_records() -> None:
    found = tracks(low=40)
    found.see_notices([notice(100)], 1_000)
    assert found.partitions[0].watermark(1_000) == 100
    assert found.lag_ms(0, 1_000) == 0


def test_after_a_loss_only_the_records_count() -> None:
    """Guards the look at falling positions: without it the pipeline would show what is lost as done."""
    found = tracks()
    found.see_notices([notice(100)], 1_000)
    found.see_records([Part(0, 0, 0, 0), Part(1, 0, 0, 0)], 1_100)
    assert found.partitions[0].watermark(1_100) == 0
    assert found.lag_ms(0, 1_100) != 0
    found.see_notices([notice(30, time_ms=1_100 + DISTRUST_MS)], 1_100 + DISTRUST_MS)
    assert found.partitions[0].watermark(1_100 + DISTRUST_MS) == 30


def test_what_owes_a_reaction_and_nobody_owns_is_not_known() -> None:
    found = tracks()
    found.see_records([Part(0, 0, 100, 100, owing=True)], 1_000)
    assert found.partitions[0].watermark(1_000) is None
    assert found.lag_ms(None, 1_000) is None
    assert found.lag_ms(0, 1_000) == 0, "the figures themselves are whole"


def test_old_notices_do_not_count() -> None:
    found = tracks(low=40)
    found.see_notices([notice(100, time_ms=1_000)], 4_001)
    assert found.notices == ()
    assert found.partitions[0].watermark(4_001) == 40


def test_of_two_workers_that_name_a_partition_the_newer_word_counts() -> None:
    found = tracks()
    found.see_notices([notice(9, worker="new", time_ms=1_500), notice(8, worker="old", time_ms=1_000)], 1_600)
    assert (found.partitions[0].worker, found.partitions[0].watermark(1_600)) == ("new", 9)


def test_nothing_is_known_of_no_partitions() -> None:
    assert Tracks().lag_ms(None, 1_000) is None
