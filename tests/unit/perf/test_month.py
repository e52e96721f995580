"""The month that is read, what its log says, and what answers tell of it."""

from datetime import UTC, datetime

import msgspec
import pytest

from billing.catalog import parse_catalog
from engine import Aggregate, Cell, Reading
from engine.state.reader import Account
from perf.harness.audited import check_answer
from perf.harness.checks import CheckFailed
from perf.harness.month_log import Month, MonthLog, month_catalog
from perf.harness.month_reads import Told, told_by_account, told_by_spend, told_by_usage
from perf.harness.open_loop import Schedule
from perf.harness.reading import Plan, check
from perf.harness.usage import HOUR_S, SCALE

AT = Schedule(0, 1.0)


@pytest.mark.parametrize(
    ("now", "name"),
    [("2026-11-26", "2026-10"), ("2026-11-01", "2026-10"), ("2026-03-15", "2026-01"), ("2027-01-31", "2026-12")],
)
def test_the_newest_long_month_that_is_over(now: str, name: str) -> None:
    month = Month.newest_before(int(datetime.fromisoformat(f"{now}T12:00:00+00:00").timestamp()))

    assert month.name == name
    assert datetime.fromtimestamp(month.start_s, UTC).isoformat() == f"{name}-01T00:00:00+00:00"
    assert datetime.fromtimestamp(month.end_s, UTC).day == 1


MONTH = Month("2026-10", int(datetime(2026, 10, 1, tzinfo=UTC).timestamp()))


def test_a_filling_log_has_one_event_a_cell() -> None:
    log = MonthLog.filling(MONTH, 3, hours=24)
    events = [msgspec.json.decode(value) for _, value in log.records()]

    assert len({(event["time"], event["data"]["model"]) for event in events}) == len(events) == log.events == 72
    assert {event["subject"] for event in events} == {"customer-0"}
    assert sum(event["data"]["tokens"] for event in events) == log.tokens_of_first()


def test_a_load_touches_only_cells_that_are_there() -> None:
    load = MonthLog(MONTH, 3, 500, 10, hours=24, seed=2)
    events = [(key, msgspec.json.decode(value)) for key, value in load.records()]

    assert {event["time"] for _, event in events} == {"2026-10-01T23:00:00Z"}
    assert {event["data"]["model"] for _, event in events} == {"m0", "m1", "m2"}
    assert len({key for key, _ in events}) == 10
    first = [event for key, event in events if key == b"customer-0"]
    assert sum(event["data"]["tokens"] for event in first) == load.tokens_of_first() > 0


def test_the_catalog_is_one() -> None:
    assert len(parse_catalog(msgspec.json.encode(month_catalog(5)), json=True).customers) == 5


def test_what_answers_tell() -> None:
    cells = {Cell.of(Aggregate.SUM, hour * HOUR_S, b"tokens"): Reading(1, 7 * SCALE) for hour in range(3)}

    assert told_by_account(Account(None, cells, None)) == Told(21, 3)
    assert told_by_spend(b'{"lines":[{"quantity":"20"},{"quantity":"1"}]}') == Told(21)
    assert told_by_usage(b'{"data":[{"value":"20"},{"value":"1"}]}') == Told(21, 2)


@pytest.mark.parametrize(
    ("told", "right"),
    [(Told(10, 3), True), (Told(15, 3), True), (Told(9, 3), False), (Told(16, 3), False), (Told(12, 2), False)],
)
def test_an_answer_lies_between_what_was_sent_before_and_after(told: Told, *, right: bool) -> None:
    plan = Plan(None, AT, 1, AT, used_before=10, used_after=15)
    if right:
        check("usage", told, 3, plan)
        return
    with pytest.raises(CheckFailed, match="usage: customer-0 used"):
        check("usage", told, 3, plan)


@pytest.mark.parametrize("answer", [{}, {"audit": "different", "counted": 5}, {"audit": "equal", "counted": 4}])
def test_an_audit_that_is_not_equal_is_refused(answer: dict[str, object]) -> None:
    check_answer({"audit": "equal", "counted": 5}, 5)
    with pytest.raises(CheckFailed, match="the audit of 5 events"):
        check_answer(answer, 5, "said")
