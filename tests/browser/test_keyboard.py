"""Everything by keyboard: every control is reached, seen and works, and nothing moves away under the reader's hands."""

from collections.abc import Iterator
from functools import partial
from itertools import islice

import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import resize
from tests.browser.fake_api import FakeApi
from tests.browser.fake_data import Customer
from tests.browser.keyboard import focused, press, press_with, reachable, tab_to, walk
from tests.browser.reading import VIEWS, open_view, text, texts, wait

RING = "solid 2px accent"
"""Style, width and colour of the outline."""
WINDOW = (1280, 600)
PATHS = (*VIEWS, "/customers/acme")


@pytest.fixture
def reader(browser: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """In a window of which most views need several."""
    resize(browser, *WINDOW)
    yield browser
    browser.execute_script("localStorage.clear(); sessionStorage.clear()")
    resize(browser, 1280, 800)


def opened(driver: webdriver.Chrome, served: tuple[FakeApi, str], path: str, state: str = "load") -> FakeApi:
    api, address = served
    api.put(state)
    open_view(driver, address, path)
    return api


def has_theme(driver: webdriver.Chrome, theme: str) -> bool:
    return bool(driver.execute_script("return document.documentElement.dataset.theme === arguments[0]", theme))


def query(driver: webdriver.Chrome) -> str:
    return str(driver.execute_script("return location.search"))


@pytest.mark.parametrize("path", PATHS)
def test_the_tabulator_reaches_everything_in_order_and_is_seen(
    reader: webdriver.Chrome, served: tuple[FakeApi, str], path: str
) -> None:
    opened(reader, served, path)
    reader.execute_script("document.querySelector('button[aria-label=Pause]').click()")  # which moves no focus
    stops = list(walk(reader))
    assert [stop.name for stop in stops if stop.ring != RING] == []
    assert [stop.name for stop in stops if not stop.seen] == []
    assert stops[0].name == "Skip to content"
    assert [stop.place for stop in stops] == reachable(reader)
    back = list(islice(walk(reader, back=True), len(stops)))
    assert [stop.name for stop in back if not stop.seen] == []
    assert [stop.place for stop in back] == reachable(reader)[::-1]


def test_the_skip_link_leads_past_the_head(reader: webdriver.Chrome, served: tuple[FakeApi, str]) -> None:
    opened(reader, served, "/")
    press(reader, Keys.TAB, Keys.ENTER, Keys.TAB)
    assert reader.execute_script("return document.activeElement.closest('main') !== null")


@pytest.mark.parametrize("held", [Keys.CONTROL, Keys.META])
def test_find_is_one_chord_away(reader: webdriver.Chrome, served: tuple[FakeApi, str], held: str) -> None:
    opened(reader, served, "/pipeline")
    press_with(reader, held, "k")
    assert reader.switch_to.active_element.get_attribute("id") == "find"
    press(reader, "globex", Keys.ENTER)
    wait(reader, "not opened", lambda: text(reader, "h1") == "globex")


def test_a_search_stays_in_its_field_until_it_is_cleared(reader: webdriver.Chrome, served: tuple[FakeApi, str]) -> None:
    opened(reader, served, "/?q=acm-e")
    field = reader.find_element("id", "find")
    assert field.get_property("value") == "acm-e"
    tab_to(reader, "Clear")
    press(reader, Keys.ENTER)
    wait(reader, "not cleared", lambda: len(texts(reader, ".customers tbody tr")) > 10)
    assert field.get_property("value") == ""


def test_sorting_is_told_and_keeps_the_focus(reader: webdriver.Chrome, served: tuple[FakeApi, str]) -> None:
    opened(reader, served, "/")
    assert texts(reader, "th[aria-sort=descending]") == ["Of limit"]
    tab_to(reader, "Spend")  # the link of the view
    tab_to(reader, "Spend")
    press(reader, Keys.SPACE)
    wait(reader, "not sorted", lambda: texts(reader, "th[aria-sort=descending]") == ["Spend"])
    assert query(reader) == "?order=-spend"
    assert (found := focused(reader))
    assert found.name == "Spend"
    assert texts(reader, "th[aria-sort=none]") == ["Of limit"]


def test_a_filter_is_told_and_keeps_the_focus(reader: webdriver.Chrome, served: tuple[FakeApi, str]) -> None:
    opened(reader, served, "/")
    tab_to(reader, "At limit")
    press(reader, Keys.ENTER)
    wait(
        reader,
        "not filtered",
        lambda: {one.split("\n")[0] for one in texts(reader, ".customers td.access")} == {"Closed"},
    )
    assert query(reader) == "?state=at"
    assert texts(reader, ".choice [aria-current=true]") == ["At limit"]
    assert (found := focused(reader))
    assert found.name == "At limit"


def test_show_more_shows_more(reader: webdriver.Chrome, served: tuple[FakeApi, str]) -> None:
    api, address = served
    api.put("load")
    for number in range(100):
        name = f"customer-{number:03}"
        api.world.customers[name] = Customer(name, number, api.world.chance)
    open_view(reader, address, "/")
    wait(reader, "not 50", lambda: len(texts(reader, ".customers tbody tr")) == 50)
    tab_to(reader, "Show more")
    press(reader, Keys.ENTER)
    wait(reader, "not 100", lambda: len(texts(reader, ".customers tbody tr")) == 100)
    assert (found := focused(reader))
    assert found.name == "Show more"


def test_theme_and_pause_work_by_key(reader: webdriver.Chrome, served: tuple[FakeApi, str]) -> None:
    opened(reader, served, "/")
    tab_to(reader, "Pause")
    press(reader, Keys.SPACE)
    wait(reader, "not paused", lambda: text(reader, ".chip.state").startswith("Paused"))
    assert (found := focused(reader))
    assert found.name == "Resume"
    press(reader, Keys.ENTER)
    wait(reader, "not resumed", lambda: text(reader, ".chip.state").startswith("Live"))
    press(reader, Keys.TAB)
    for theme in ("light", "dark"):
        press(reader, Keys.ENTER)
        wait(reader, f"not {theme}", partial(has_theme, reader, theme))
    assert (found := focused(reader))
    assert found.name == "Theme: Dark"


def test_a_chart_is_read_by_arrows_and_as_a_table(reader: webdriver.Chrome, served: tuple[FakeApi, str]) -> None:
    opened(reader, served, "/customers/acme")
    assert text(reader, "figcaption").startswith("Spend")
    tab_to(reader, "Chart. Arrow keys move along it.")
    press(reader, Keys.ARROW_RIGHT)
    wait(reader, "no value", lambda: text(reader, ".legend .at").endswith("00:00"))
    first = text(reader, ".legend")
    assert "$" in first
    press(reader, Keys.ARROW_RIGHT)
    wait(reader, "the cursor stands", lambda: text(reader, ".legend") != first)
    tab_to(reader, "Show as table")
    press(reader, Keys.ENTER)
    wait(reader, "no table", lambda: texts(reader, ".rows tbody tr"))
    rows = [row.replace("\t", " ") for row in texts(reader, ".rows tbody tr")]
    assert all("$" in row for row in rows)
    assert texts(reader, "[aria-expanded=true]") == ["Hide table"]
    tab_to(reader, "Save as CSV")


def test_a_command_is_copied(reader: webdriver.Chrome, served: tuple[FakeApi, str]) -> None:
    opened(reader, served, "/", "no_events")
    grants = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": served[1]}
    reader.execute_cdp_cmd("Browser.grantPermissions", grants)
    tab_to(reader, "Copy")
    press(reader, Keys.ENTER)
    wait(reader, "not told", lambda: "Copied" in text(reader, ".command"))
    copied = reader.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied == text(reader, ".command pre")
    assert f"curl -i {served[1]}/v1/events" in copied


def test_the_focus_goes_with_the_reader_and_back(reader: webdriver.Chrome, served: tuple[FakeApi, str]) -> None:
    opened(reader, served, "/?state=near")
    tab_to(reader, "acme")
    press(reader, Keys.ENTER)
    wait(reader, "the heading has no focus", lambda: (found := focused(reader)) and found.name == "acme")
    assert reader.execute_script("return document.activeElement.localName") == "h1"
    reader.back()
    wait(reader, "not back", lambda: (found := focused(reader)) and found.name == "Spend")
    assert query(reader) == "?state=near"
    wait(reader, "not filtered", lambda: texts(reader, ".choice [aria-current=true]") == ["80 % or more"])


def test_rows_stay_while_the_focus_is_among_them(reader: webdriver.Chrome, served: tuple[FakeApi, str]) -> None:
    api = opened(reader, served, "/?state=none")
    before = texts(reader, ".customers td.name")
    tab_to(reader, before[-1])
    wait(reader, "not told", lambda: "Order paused while you are in the table" in text(reader, ".foot"))
    last = api.world.customers[before[-1]]
    last.quantities = [1_000 * quantity for quantity in last.quantities]
    api.tell("totals", {"as_of": "2999-01-01T00:00:00Z", "freshness_s": 0.1, "rows": [last.row()], "currencies": []})
    grown = f"{last.spend:,}"[:6]
    wait(reader, "the figure stands", lambda: grown in texts(reader, ".customers td.spend")[-1])
    reader.execute_async_script("setTimeout(arguments[0], 3000)")  # longer than rows wait for each other
    assert texts(reader, ".customers td.name") == before
    press_with(reader, Keys.CONTROL, "k")
    wait(reader, "the order stays", lambda: texts(reader, ".customers td.name") != before)
    assert "Order paused" not in text(reader, ".foot")
