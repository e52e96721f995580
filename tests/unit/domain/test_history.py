"""What holds at an arrival. Trap 33: the catalog changes while events flow, and every reader gets the same answer."""

from pathlib import Path
from typing import Any

import pytest

from billing.catalog import (
    BEGINNING_MS,
    FOREVER_MS,
    Catalog,
    CatalogHistory,
    InvalidCatalog,
    load_catalog,
    read_catalog,
)

EXAMPLES = Path(__file__).parents[3] / "examples"


def meter(name: str = "tokens", **more: Any) -> dict[str, Any]:
    return {"name": name, "event_type": "t", "aggregation": "sum", "property": "data.x"} | more


def catalog(
    *meters: dict[str, Any], customers: dict[str, str] | None = None, zone: str = "UTC", unit: str = "1"
) -> Catalog:
    rates = [
        {"name": item["name"], "meter": item["name"], "rate": {"model": "per_unit", "unit": unit}} for item in meters
    ]
    entries = [{"id": name, "time_zone": clock} for name, clock in (customers or {}).items()]
    return read_catalog(
        {
            "meters": list(meters),
            "plans": [{"name": "p", "rates": rates}],
            "defaults": {"plan": "p", "currency": "USD", "time_zone": zone},
            "customers": entries,
        }
    )


def versions_at(history: CatalogHistory, arrival_ms: int) -> dict[str, int]:
    return {name: found.version for name, found in history.meters_at(arrival_ms).meters.items()}


def test_without_a_version_nothing_is_metered() -> None:
    empty = CatalogHistory()
    assert versions_at(empty, 0) == {}
    assert empty.newest.customer("x").plan is None
    assert empty.meter("tokens", 1) is None


def test_the_first_version_holds_from_the_beginning() -> None:
    history = CatalogHistory().with_version(catalog(meter()), 10**15)
    for arrival_ms in (BEGINNING_MS, -1, 0, FOREVER_MS):
        assert versions_at(history, arrival_ms) == {"tokens": 1}


def test_only_what_a_meter_counts_makes_a_new_version_of_it() -> None:
    first = catalog(meter(), meter("calls"))
    history = (
        CatalogHistory()
        .with_version(first, 0)
        .with_version(catalog(meter(), meter("calls"), unit="2"), 1000)
        .with_version(catalog(meter(filter={"data.r": ["eu"]}), meter("calls")), 2000)
    )
    assert [versions_at(history, at)["tokens"] for at in (999, 1000, 1999, 2000)] == [1, 1, 1, 2]
    assert versions_at(history, 2000)["calls"] == 1
    assert history.meters_at(0).meters["calls"] is history.meters_at(5000).meters["calls"]
    assert [item.version for item in history.meter_versions("tokens")] == [1, 2]


def test_a_meter_is_that_of_the_arrival_on_either_side_of_the_change() -> None:
    history = CatalogHistory().with_version(catalog(meter()), 0).with_version(catalog(meter(property="data.y")), 1000)
    before, after = history.meters_at(999), history.meters_at(1000)
    assert (before.from_ms, before.until_ms, after.from_ms, after.until_ms) == (BEGINNING_MS, 1000, 1000, FOREVER_MS)
    assert before.meters["tokens"].definition.property == "data.x"
    assert after.meters["tokens"].definition.property == "data.y"
    later = history.with_version(catalog(meter(property="data.z")), 3000)
    assert later.meters_at(999).meters["tokens"] is before.meters["tokens"], "a later version changes nothing before it"
    assert versions_at(later, 2999) == {"tokens": 2}


def test_a_meter_that_went_and_came_back_is_a_new_version_and_the_old_one_is_still_known() -> None:
    history = (
        CatalogHistory()
        .with_version(catalog(meter()), 0)
        .with_version(catalog(), 1000)
        .with_version(catalog(meter()), 2000)
    )
    assert [versions_at(history, at) for at in (0, 1000, 2000)] == [{"tokens": 1}, {}, {"tokens": 2}]
    assert history.meter("tokens", 1) is not history.meter("tokens", 2)
    assert history.meter("tokens", 3) is None
    assert history.meter("tokens", 0) is None


def test_rates_plans_and_limits_hold_as_the_newest_version_says() -> None:
    history = CatalogHistory().with_version(catalog(meter()), 0).with_version(catalog(meter(), unit="7"), FOREVER_MS)
    plan = history.newest.customer("anybody").plan
    assert plan is not None
    assert plan.rates[0].rate.price(1) == 7  # type: ignore[arg-type]


def test_a_time_zone_is_fixed_once_registered() -> None:
    history = CatalogHistory().with_version(catalog(meter(), customers={"a": "Asia/Kathmandu"}), 0)
    for customers in ({"a": "UTC"}, {"b": "UTC", "a": "Europe/Berlin"}):
        with pytest.raises(InvalidCatalog, match=r"customers\[\d\]\.time_zone.*is fixed"):
            history.with_version(catalog(meter(), customers=customers), 1000)
    with pytest.raises(InvalidCatalog, match=r"defaults\.time_zone.*is fixed"):
        history.with_version(catalog(meter(), zone="Europe/Berlin"), 1000)
    gone = history.with_version(catalog(meter()), 1000)
    assert gone.newest.customer("a").time_zone.name == "Asia/Kathmandu", "also while no entry names the customer"
    with pytest.raises(InvalidCatalog, match="is fixed"):
        gone.with_version(catalog(meter(), customers={"a": "UTC"}), 2000)
    back = gone.with_version(catalog(meter(), customers={"a": "Asia/Kathmandu"}), 2000)
    assert back.newest.customer("a").named


def test_the_clock_is_that_of_the_arrival() -> None:
    """A customer whom version 2 names first had the default clock before: a replay must put events where they were."""
    history = CatalogHistory().with_version(catalog(meter()), 0)
    history = history.with_version(catalog(meter(), customers={"a": "Asia/Kathmandu"}), 1000)
    history = history.with_version(catalog(meter()), 2000)
    history = history.with_version(catalog(meter(), customers={"a": "Asia/Kathmandu"}), 3000)
    clocks = [history.time_zone("a", arrival_ms).name for arrival_ms in (0, 999, 1000, 5000)]
    assert clocks == ["UTC", "UTC", "Asia/Kathmandu", "Asia/Kathmandu"]
    assert history.time_zone("b", 5000).name == "UTC"


def test_a_version_may_not_begin_before_the_one_that_it_follows() -> None:
    history = CatalogHistory().with_version(catalog(meter()), 0).with_version(catalog(), 1000)
    with pytest.raises(InvalidCatalog, match="from: must not be before version 2"):
        history.with_version(catalog(meter()), 999)
    assert versions_at(history.with_version(catalog(meter()), 1000), 1000) == {"tokens": 2}


def test_a_refused_version_leaves_no_trace() -> None:
    history = CatalogHistory().with_version(catalog(meter(), customers={"a": "UTC"}), 0)
    with pytest.raises(InvalidCatalog):
        history.with_version(catalog(meter("other"), customers={"a": "Asia/Tokyo", "b": "Asia/Tokyo"}), 1000)
    assert versions_at(history, 2000) == {"tokens": 1}
    assert history.time_zone("b", 2000).name == "UTC"


def test_every_reader_of_the_same_facts_knows_the_same() -> None:
    texts = [load_catalog(EXAMPLES / name).to_json() for name in ("catalog.toml", "catalog-2.toml")]

    def follow() -> CatalogHistory:
        from billing.catalog import parse_catalog

        history = CatalogHistory()
        for index, text in enumerate(texts):
            history = history.with_version(parse_catalog(text, json=True), index * 60_000)
        return history

    one, other = follow(), follow()
    assert one.newest == other.newest
    for arrival_ms in (0, 59_999, 60_000, 10**12):
        assert versions_at(one, arrival_ms) == versions_at(other, arrival_ms)
    assert set(versions_at(one, 60_000)) - set(versions_at(one, 59_999)) == {"cached tokens"}
    acme = one.newest.customer("acme")
    assert acme.limit == 800
