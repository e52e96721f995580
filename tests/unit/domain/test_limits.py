"""Thresholds, access, and ids that follow from content alone."""

from decimal import Decimal
from fractions import Fraction

import pytest

from billing.domain.limits import SPEND_THRESHOLD, access, alert_id, due_alerts, parse_threshold
from billing.domain.periods import Window

NOVEMBER = Window(1_793_491_200, 1_796_083_200)


@pytest.mark.parametrize(
    ("rule", "amount"), [("80%", 400), ("12.5 %", "62.5"), ("150%", 750), ("250.00", 250), ("0.00001", "0.00001")]
)
def test_thresholds_are_percentages_of_the_limit_or_amounts(rule: str, amount: int | str) -> None:
    found = parse_threshold(rule, Fraction(500))
    assert (found.rule, found.amount) == (rule, Fraction(amount))


@pytest.mark.parametrize("rule", ["", "%", "0", "0%", "-5", "-5%", "abc", "80%%", "1e3", "$5"])
def test_what_is_no_threshold_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_threshold(rule, Fraction(500))


def test_a_percentage_needs_a_limit() -> None:
    with pytest.raises(ValueError, match="needs a limit"):
        parse_threshold("80%", None)
    assert parse_threshold("80", None).amount == 80


@pytest.mark.parametrize(
    ("spend", "limit", "allowed", "remaining"),
    [
        ("0", None, True, None),
        ("9.99", "10", True, "0.01"),
        ("10", "10", False, "0"),
        ("11", "10", False, "0"),
        ("0", "0", False, "0"),
    ],
)
def test_access_ends_where_the_limit_is_reached(
    spend: str, limit: str | None, allowed: bool, remaining: str | None
) -> None:
    found = access(Decimal(spend), None if limit is None else Fraction(limit))
    assert found.allowed is allowed
    assert found.remaining == (None if remaining is None else Fraction(remaining))
    assert found.reason == ("no limit" if limit is None else "within limit" if allowed else "limit reached")


def test_due_alerts_name_everything_about_them() -> None:
    thresholds = [parse_threshold(rule, Fraction(500)) for rule in ("100%", "50%", "250.00")]
    due = due_alerts("acme", thresholds, Decimal("250.00"), "USD", NOVEMBER)
    assert [(alert.rule, alert.threshold) for alert in due] == [("50%", Fraction(250)), ("250.00", Fraction(250))]
    assert {(alert.type, alert.customer, alert.currency, alert.period) for alert in due} == {
        (SPEND_THRESHOLD, "acme", "USD", NOVEMBER)
    }
    assert due[0].id == alert_id(SPEND_THRESHOLD, "acme", "50%", {}, NOVEMBER)


def test_an_id_follows_from_type_customer_rule_group_and_period() -> None:
    base = ("t", "acme", "50%", {"model": "l", "region": "eu"}, NOVEMBER)
    same = ("t", "acme", "50%", {"region": "eu", "model": "l"}, NOVEMBER)
    others = [
        ("u", *base[1:]),
        ("t", "acme2", *base[2:]),
        ("t", "acme", "50.0%", *base[3:]),
        ("t", "acme", "50%", {"model": "l"}, NOVEMBER),
        ("t", "acme", "50%", base[3], Window(NOVEMBER.start_s, NOVEMBER.end_s + 1)),
        ("t", 'acme","50%', "", *base[3:]),
    ]
    assert alert_id(*base) == alert_id(*same) == "d76c96ec7b6dc235132f6581245cf741", (
        "stored under this name: it must never change"
    )
    assert len({alert_id(*base), *(alert_id(*other) for other in others)}) == 1 + len(others)
