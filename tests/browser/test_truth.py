"""What the page shows of a system at rest is what the API says, what an audit says, and what a recount here says."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

import pytest
from selenium import webdriver

from tests.browser.customer_view import open_customer
from tests.browser.reading import amount, open_view, text, texts, wait
from tests.browser.truth_plans import WIDE, ZERO, money_text
from tests.browser.truth_system import Known, known_system, path_of
from tests.browser.truth_texts import charted, differs, pace_differs, plain, used
from tests.browser.truth_world import EXACT_TOTAL, Customer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
ALERT_NAMES, ALERT_TIMES = ".alerts-table .name a", ".alerts-table time"
VALUE_OF_TILE = "return document.querySelector(arguments[0]).closest('.tile').querySelector('.value').innerText"


@pytest.fixture(scope="module")
def known(browser: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    with known_system(tmp_path_factory.mktemp("truth")) as one:
        open_view(browser, one.system.address, "/")
        yield one


def test_every_figure_of_every_customer_is_true(browser: webdriver.Chrome, known: Known) -> None:
    """Page, API and recount say the same, digit by digit."""
    assert len(known.world.customers) > 50
    wrong = {}
    for customer in known.world.customers.values():
        asked = datetime.now(UTC)
        shown = open_customer(browser, customer.name)
        found = [*differs(shown, customer, known.now), *pace_differs(shown, customer, known.now, asked)]
        if found := [*found, *api_differs(known, customer)]:
            wrong[customer.name] = found
    assert wrong == {}


def api_differs(known: Known, customer: Customer) -> list[str]:
    """What the API says otherwise than the recount."""
    spend, access = known.answer(customer, "spend"), known.answer(customer, "access")
    total = customer.total(known.now)
    start, end = customer.month(known.now)
    days = known.answer(customer, "spend/series")
    lines = {line["rate"]: (Decimal(line["quantity"]), Decimal(line["amount"])) for line in spend["lines"]}
    left = customer.remaining(known.now)
    pairs: list[tuple[object, object]] = [
        (spend["total"], None if total is None else f"{total:f}"),
        (access["spend"], spend["total"]),
        (access["reason"], customer.reason(known.now)),
        (access["allowed"], customer.reason(known.now) != "limit reached"),
        (access["remaining"], None if left is None else f"{left:f}"),
        (lines, customer.lines(known.now)),
        (instant(spend["period"]["start"]), start),
        (instant(spend["period"]["end"]), end),
        (instant(access["resets_at"]), end),
        (spend["time_zone"], customer.zone.key),
        (days["total"], spend["total"]),
        (by_day(days, customer), customer.days(known.now)),
    ]
    return [f"the API says {said!r}, {true!r} is true" for said, true in pairs if said != true]


def instant(time: str) -> datetime:
    return datetime.fromisoformat(time)


def by_day(series: dict[str, Any], customer: Customer) -> dict[datetime, dict[str, Decimal]]:
    found: dict[datetime, dict[str, Decimal]] = {}
    for row in series["data"]:
        start = instant(row["start"]).astimezone(customer.zone)
        assert instant(row["end"]).astimezone(customer.zone) == start + timedelta(days=1)
        found.setdefault(start, {})[row["rate"]] = Decimal(row["amount"])
    return found


def test_what_was_used_and_what_it_adds_up_to_say_every_digit(browser: webdriver.Chrome, known: Known) -> None:
    for name in ("customer-04", "customer-05", "exact"):
        customer = known.world.customers[name]
        assert charted(open_customer(browser, name, "?meter=tokens")) == used(customer, known.now)
        total = customer.total(known.now)
        assert total is not None
        assert plain(open_customer(browser, name, "?show=total").chart[-1][1]) == money_text(total, customer.currency)


def test_an_audit_finds_the_same(known: Known) -> None:
    code, answer = known.system.audit()
    counts = known.world.counts
    assert (code, answer["audit"]) == (0, "equal")
    assert [answer[name] for name in ("counted", "duplicates_dropped", "unmetered", "dead_lettered")] == [
        counts[name] for name in ("counted", "duplicates", "unmetered", "rejected")
    ]


def test_all_customers_and_the_sums_of_their_spend_are_true(browser: webdriver.Chrome, known: Known) -> None:
    open_view(browser, known.system.address, "/")
    browser.find_element("css selector", ".foot button").click()
    wait(browser, "not all are shown", lambda: len(texts(browser, ".customers tbody tr")) == len(known.world.customers))
    shown = {
        names.get_attribute("title") or names.text: row
        for names, *row in zip(
            browser.find_elements("css selector", ".customers td.name a"),
            *(map(plain, texts(browser, f".customers td.{part}")) for part in ("plan", "spend", "limit", "access")),
            map(plain, texts(browser, ".customers td.of-limit")),
            strict=True,
        )
    }
    assert shown == {customer.name: row_texts(customer, known.now) for customer in known.world.customers.values()}
    listed = known.system.get("/v1/customers", order="-limit_share", limit="100")["data"]
    assert list(shown) == [row["customer"] for row in listed]
    tiles = {money_text(spend, currency, code=True) for currency, spend in sums(known).items()}
    assert set(map(plain, texts(browser, ".tile.lead .amount"))) == tiles
    overview = {one["currency"]: Decimal(one["spend"]) for one in known.system.get("/v1/overview")["currencies"]}
    assert overview == sums(known)


def row_texts(customer: Customer, now: datetime) -> list[str]:
    """Plan, spend, limit, access and share of the limit as a row of the table has them."""
    total, limit, currency = customer.total(now), customer.limit, customer.currency
    _, end = customer.month(now)
    access = f"Closed\nuntil 1 {end:%b}" if customer.reason(now) == "limit reached" else "Open"
    if total is None:
        return ["– not priced", "–", "–", access, "– not priced"]
    spend = money_text(total, currency, code=True)
    if limit is None:
        return [str(customer.plan), spend, "–", access, "– no limit"]
    return [str(customer.plan), spend, money_text(limit, currency, code=True), access, f"{customer.percent(now)} %"]


def sums(known: Known) -> dict[str, Decimal]:
    """Spend by currency; nothing is ever added up across them."""
    found: dict[str, Decimal] = {}
    with localcontext(WIDE):
        for customer in known.world.customers.values():
            if (total := customer.total(known.now)) is not None:
                found[customer.currency] = found.get(customer.currency, ZERO) + total
    return found


def test_tiles_count_who_is_at_a_limit_and_near_one(browser: webdriver.Chrome, known: Known) -> None:
    percents = [customer.percent(known.now) for customer in known.world.customers.values()]
    for path, least in (("/?state=at", 100), ("/?state=near", 80)):
        open_view(browser, known.system.address, path)
        wanted = sum(percent is not None and percent >= least for percent in percents)
        assert len(texts(browser, ".customers tbody tr")) == wanted
        link = f'.tile a[href="{path}"]'
        assert browser.execute_script(VALUE_OF_TILE, link) == str(wanted)


def test_alerts_are_true(browser: webdriver.Chrome, known: Known) -> None:
    """Also those of the month before, in which something was used as well."""
    open_view(browser, known.system.address, "/alerts")
    columns = [map(plain, texts(browser, f".alerts-table .{part}")) for part in ("threshold", "spend", "effect")]
    names = [link.get_attribute("title") or link.text for link in browser.find_elements("css selector", ALERT_NAMES)]
    shown = list(zip(names, *columns, strict=True))
    told = known.system.get("/v1/alerts", order="-time")["data"]
    assert sorted((name, amount(spend)) for name, _, spend, _ in shown) == sorted(
        (alert["customer"], Decimal(alert["spend"])) for alert in told
    )
    wanted = [alert_texts(known.world.customers[name], rule, least) for name, rule, least in known.world.due()]
    assert sorted((name, threshold, effect) for name, threshold, _, effect in shown) == sorted(wanted)
    times = [str(time.get_attribute("datetime")) for time in browser.find_elements("css selector", ALERT_TIMES)]
    assert times == sorted(times, reverse=True)


def alert_texts(customer: Customer, rule: str, least: Decimal) -> tuple[str, str, str]:
    percent = rule.removesuffix("%")
    threshold = f"{percent} % · {money_text(least, customer.currency, code=True)}"
    return customer.name, threshold, "closes access" if percent == "100" else "alert only"


def test_what_was_accepted_is_what_was_sent(browser: webdriver.Chrome, known: Known) -> None:
    open_view(browser, known.system.address, "/pipeline")
    counts = known.world.counts
    sent = len(known.world.sent) + len(known.world.rejected)
    assert sum(counts.values()) == sent
    parts = " + ".join(f"{counts[name]:,} {name}" for name in ("counted", "duplicates", "unmetered", "rejected"))
    assert text(browser, ".balance").split() == f"{sent:,} accepted = {parts} + 0 in flight".split()
    assert len(texts(browser, ".rejected tbody tr")) == counts["rejected"]
    letters = known.system.get("/v1/dead-letters")["data"]
    assert texts(browser, ".rejected .error") == [letter["error"] for letter in letters]
    assert sorted(letter["customer"] for letter in letters) == sorted(key.decode() for key, _ in known.world.rejected)


def test_tables_as_csv_say_what_the_answers_say(known: Known) -> None:
    """Letter by letter, with one apostrophe in front of what a spreadsheet would take for a formula."""
    exact, first = known.world.customers["exact"], next(iter(known.world.customers.values()))
    for path in (path_of(exact, "spend"), path_of(first, "spend"), path_of(first, "spend/series")):
        answer = known.system.get(path)
        rows = answer["lines"] if path.endswith("spend") else answer["data"]
        for told, row in zip(csv.DictReader(io.StringIO(known.system.table(path))), rows, strict=True):
            assert (told["rate"], told["amount"]) == (row["rate"], row["amount"])
            assert told["currency"] == answer["currency"]
    assert f",{EXACT_TOTAL}," in known.system.table(path_of(exact, "spend"))
    listed = known.system.get("/v1/customers", limit="100")["data"]
    for told, row in zip(
        csv.DictReader(io.StringIO(known.system.table("/v1/customers", limit="100"))), listed, strict=True
    ):
        for name in ("plan", "spend", "currency", "limit", "limit_share", "time_zone"):
            assert told[name] == (row[name] or "")
