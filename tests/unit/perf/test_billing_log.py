"""The load for the whole service: customers reach their limit by the record that the log names, and not before."""

from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec

from billing.domain.catalog import read_catalog
from perf.harness.billing_log import AHEAD, LIMIT, PRICE, BillingLog, reaching_name

LOG = BillingLog(10_000, 50, every=100, time_s=1_764_000_000)


def values() -> list[dict[str, Any]]:
    return [msgspec.json.decode(value) for _, value in LOG.records()]


def test_keys_are_the_subjects_and_no_event_comes_twice() -> None:
    assert [key.decode() for key, _ in LOG.records()] == [value["subject"] for value in values()]
    assert len({value["id"] for value in values()}) == LOG.events


def test_a_customer_reaches_its_limit_by_its_record_and_not_before() -> None:
    spent: Counter[str] = Counter()
    reached: dict[str, int] = {}
    for number, value in enumerate(values()):
        customer = value["subject"]
        spent[customer] += value["data"]["tokens"]
        if customer.startswith("reaching-") and spent[customer] * Decimal(PRICE) >= Decimal(LIMIT):
            reached.setdefault(customer, number)

    assert reached == {reaching_name(turn): LOG.reached_at(turn) for turn in range(LOG.reaching)}


def test_those_that_reach_it_were_seen_before() -> None:
    seen = Counter(value["subject"] for value in values())

    assert {seen[reaching_name(turn)] for turn in range(AHEAD, LOG.reaching)} == {2}


def test_tokens_are_what_the_records_say() -> None:
    found: Counter[str] = Counter()
    for value in values():
        found[value["subject"]] += value["data"]["tokens"]

    assert found == LOG.tokens()


def test_the_catalog_is_one_and_names_everybody() -> None:
    catalog = read_catalog(LOG.catalog())

    assert all(catalog.customer(customer).watched for customer in LOG.tokens())
