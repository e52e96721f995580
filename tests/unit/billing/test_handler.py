import asyncio
import random
from fractions import Fraction

import orjson
import pytest

from billing.domain.limits import due_alerts
from billing.domain.periods import Window
from billing.domain.spend import Usage, spend_of
from billing.handler import BillingHandler
from billing.reaction import Reactions
from billing.series import parse_series_name
from engine import Aggregate, Counts, Dead, Effect, Period, Reading, Series, Totals
from tests.unit.billing.fakes import CATALOG, NOON, NOV, FakeClock, FakeFacts, Record, history, record

DEC = NOV + 30 * 86_400


def handler(facts: FakeFacts | None = None) -> BillingHandler:
    return BillingHandler(facts or FakeFacts(), horizon_d=34, alerts_topic="billing-alerts", clock=FakeClock())


def one(found: BillingHandler, event: Record) -> Counts | Dead:
    (answer,) = found.prepare(event.key or b"", [event])
    return answer


def counts(answer: Counts | Dead) -> Counts:
    assert isinstance(answer, Counts), answer
    return answer


def test_an_event_moves_the_cell_of_its_hour_and_group() -> None:
    answer = counts(one(handler(), record()))
    ((cell, value),) = answer.adds
    assert cell.start_s == NOON - 3600
    assert cell.series == Series(Aggregate.SUM, b'["tokens",1,"m-large","eu"]')
    assert value == 100 * 10**12
    assert answer.period is not None
    assert (answer.period.start_s, answer.period.end_s, answer.period.watched) == (NOV, DEC, True)


def test_every_matching_meter_counts() -> None:
    answer = counts(one(handler(), record(data={"tokens": "1.5", "model": "m", "user": "ann"})))
    assert [cell.series.aggregate for cell, _ in answer.adds] == [Aggregate.SUM, Aggregate.UNIQUE]


def test_a_customer_without_limit_keeps_a_total_that_nobody_watches() -> None:
    period = counts(one(handler(), record("somebody"))).period
    assert period is not None
    assert not period.watched


def test_a_month_begins_by_the_clock_of_the_customer() -> None:
    answer = counts(one(handler(), record("hanako", time="2026-10-31T15:10:00Z")))
    assert answer.period is not None
    assert answer.period.start_s == NOV - 9 * 3600  # midnight of 1 November in Tokyo


def test_an_unmetered_event_is_remembered_and_adds_nothing() -> None:
    answer = counts(one(handler(), record(type="other")))
    assert answer.adds == ()
    assert answer.period is None


def test_without_time_the_arrival_stands_in() -> None:
    ((cell, _),) = counts(one(handler(), record(time=None))).adds
    assert cell.start_s == NOON


def test_identity_is_source_and_id_within_the_customer() -> None:
    found = handler()
    first = counts(one(found, record())).identity
    assert counts(one(found, record(time=None, data={"tokens": 7}))).identity == first
    assert counts(one(found, record(id="2"))).identity != first
    assert counts(one(found, record(source="other"))).identity != first
    assert counts(one(found, record("globex"))).identity != first


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (Record(b""), "empty"),
        (Record(None), "empty"),
        (Record(b"\xff{"), "UTF-8"),
        (Record(b"[" * 100_000), "nest"),
        (record(data={"model": "m"}), "data.tokens"),
        (record(data={"tokens": "1e3"}), "data.tokens"),
        (record(time="2026-09-01T00:00:00Z"), "34 days before"),
        (record(time="2026-11-03T00:00:00Z"), "24 hours after"),
        (Record(record().value, key=b"globex"), "key"),
        (Record(record().value, key=None), "key"),
    ],
)
def test_what_can_never_count_is_dead_with_a_reason(event: Record, reason: str) -> None:
    found = handler()
    answer = one(found, event)
    assert isinstance(answer, Dead)
    assert reason in answer.reason
    assert isinstance(one(found, record()), Counts), "the next event of the key goes on"


def test_the_log_gives_an_hour_more_than_the_door() -> None:
    assert isinstance(one(handler(), record(time="2026-11-02T12:59:59Z")), Counts)
    assert isinstance(one(handler(), record(time="2026-11-02T13:00:00Z")), Dead)


def test_an_event_belongs_to_the_meters_of_its_arrival() -> None:
    """Guards the span check of `_prepare`: without it the first set of meters would count everything."""
    changed = CATALOG.replace(
        b'group_by = { model = "data.model", region = "data.region" }', b'group_by = { model = "data.model" }'
    )
    facts = FakeFacts(history(CATALOG, changed, from_ms=NOON * 1_000 + 1))
    before, after = handler(facts).prepare(b"acme", [record(), record(timestamp=NOON * 1_000 + 1)])
    assert [parse_series_name(counts(each).adds[0][0].series.name).version for each in (before, after)] == [1, 2]


def test_a_clock_that_was_registered_later_does_not_move_earlier_events() -> None:
    """Guards the look at the clock of the arrival: half an hour apart, the cells differ."""
    named = CATALOG + b'[[customers]]\nid = "mumbai"\ntime_zone = "Asia/Kolkata"\n'
    facts = FakeFacts(history(CATALOG, named, from_ms=NOON * 1_000 + 1))
    before, after = handler(facts).prepare(b"mumbai", [record("mumbai"), record("mumbai", timestamp=NOON * 1_000 + 1)])
    starts = [counts(each).adds[0][0].start_s for each in (before, after)]
    assert starts == [NOON - 3600, NOON - 1800]


def test_a_new_catalog_is_noticed() -> None:
    facts = FakeFacts()
    found = handler(facts)
    assert counts(one(found, record("somebody"))).period is not None
    named = CATALOG + b'[[customers]]\nid = "somebody"\nlimit = "1.00"\n'
    facts.history = history(CATALOG, named)
    period = counts(one(found, record("somebody"))).period
    assert period is not None
    assert period.watched


def test_events_wait_for_the_facts() -> None:
    assert handler(FakeFacts(until_ms=17)).handles_until_ms() == 17


# ------------------------------------------------------------------ reactions
def totals(values: dict[Series, Reading], key: bytes = b"acme", standing: frozenset[bytes] = frozenset()) -> Totals:
    return Totals(key, Period.of(NOV, DEC, keep=True, watched=True), values, standing)


def tokens(number: int, model: str = "m-large", region: str = "eu") -> dict[Series, Reading]:
    return {Series(Aggregate.SUM, orjson.dumps(["tokens", 1, model, region])): Reading(1, number * 10**12)}


def rules(found: BillingHandler, each: Totals) -> list[str]:
    alerts = []
    for effect in found.react(each):
        assert effect.message is not None
        assert effect.message.key == each.key
        content = orjson.loads(effect.message.value or b"")
        assert effect.name.decode() == content["id"]
        alerts.append(content["rule"])
    return alerts


def test_alerts_that_are_due_at_a_total() -> None:
    found = handler()
    assert rules(found, totals(tokens(1_999))) == []
    assert rules(found, totals(tokens(2_000))) == ["20.00"]
    assert rules(found, totals(tokens(2_500) | tokens(2_500, region="us"))) == ["20.00", "50%"]
    assert rules(found, totals(tokens(10_000))) == ["20.00", "50%", "100%"]


def test_alerts_that_stand_are_due_all_the_same() -> None:
    """A rollback may have lost them: a reaction names every effect (trap 36)."""
    found = handler()
    due = found.react(totals(tokens(10_000)))
    names = [effect.name for effect in due]
    assert found.react(totals(tokens(10_000), standing=frozenset(names[:2]))) == [
        Effect(names[0]),
        Effect(names[1]),
        due[2],
    ]


def test_what_an_alert_says() -> None:
    (effect,) = handler().react(totals(tokens(2_345)))
    assert effect.message is not None
    assert effect.message.topic == "billing-alerts"
    content = orjson.loads(effect.message.value or b"")
    assert content == {
        "id": effect.name.decode(),
        "type": "spend.threshold",
        "customer": "acme",
        "period": {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"},
        "rule": "20.00",
        "threshold": "20.00",
        "spend": "23.45",
        "limit": "100.00",
        "currency": "USD",
        "time": "2026-11-01T12:00:00Z",
        "latency_s": None,
    }


def test_an_alert_says_how_fast_it_was() -> None:
    """From the arrival of the first of the events that were handed over last."""
    found = handler()
    for arrivals in ([NOON * 1_000 - 9_000], [NOON * 1_000 - 1_250, NOON * 1_000 - 10]):
        events = [record(timestamp=arrival, id=str(arrival)) for arrival in arrivals]
        found.prepare(b"acme", events)
    found.prepare(b"hanako", [record("hanako", timestamp=NOON * 1_000 - 7)])
    (effect,) = found.react(totals(tokens(2_345)))
    assert effect.message is not None
    assert orjson.loads(effect.message.value or b"")["latency_s"] == 1.25


def test_a_new_limit_acts_at_once() -> None:
    facts = FakeFacts()
    found = handler(facts)
    assert rules(found, totals(tokens(2_000))) == ["20.00"]
    facts.history = history(CATALOG, CATALOG.replace(b'limit = "100.00"', b'limit = "40.00"'))
    assert rules(found, totals(tokens(2_000))) == ["50%", "20.00"]  # at the same amount: in the order of the catalog


def test_sets_that_one_rate_joins_count_as_their_largest() -> None:
    sets = {
        Series(Aggregate.UNIQUE, orjson.dumps(["users", 1, model])): Reading(count)
        for model, count in (("m-large", 4), ("m-small", 9))
    }
    assert rules(handler(), totals(sets)) == ["20.00"]  # 9 seats are 45.00; 13 would have been 65.00


def test_memoised_lines_add_up_to_the_spend() -> None:
    """Totals that move line by line, against the spend computed as a whole."""
    chance = random.Random(4)
    facts = FakeFacts()
    customer = facts.history.newest.customer("acme")
    assert customer.plan is not None
    reactions = Reactions(facts.history)
    values: dict[Series, Reading] = {}
    for _ in range(300):
        model, region = chance.choice(["m-large", "m-small"]), chance.choice(["eu", "us", ""])
        values |= tokens(chance.randrange(12_000), model, region)
        usage = []
        for series, reading in values.items():
            name = parse_series_name(series.name)
            meter = facts.history.meter(name.meter, name.version)
            assert meter is not None
            usage.append(Usage(meter, name.group, reading))
        spend = spend_of(customer.plan, "USD", usage).total
        expected = due_alerts("acme", customer.thresholds, spend, "USD", Window(NOV, DEC))
        assert reactions.due(customer, totals(dict(values))) == expected
        assert Fraction(spend) > 0


def test_prepare_is_not_a_coroutine() -> None:
    assert not asyncio.iscoroutine(handler().prepare(b"acme", [record()]))
