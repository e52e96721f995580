"""A reader without a mouse: keys, where the focus is, and whether one can see it."""

from collections.abc import Iterator
from typing import NamedTuple

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

_FOCUSED = """
const one = document.activeElement;
if (!one || one === document.body) return null;
const { left, top, right, bottom } = one.getBoundingClientRect();
const style = getComputedStyle(one);
const probe = document.body.appendChild(document.createElement("i"));
probe.style.color = "var(--accent)";
const accent = getComputedStyle(probe).color;
probe.remove();
const reach = Math.max(0, parseFloat(style.outlineWidth) + parseFloat(style.outlineOffset));
const middle = (left + right) / 2;
const under = (y) => !one.closest(".top, .skip") && document.elementFromPoint(middle, y)?.closest(".top");
const colour = style.outlineColor === accent ? "accent" : style.outlineColor;
return {
  name: (one.ariaLabel || one.innerText || one.placeholder || one.localName).trim().replace(/\\s+/g, " "),
  ring: `${style.outlineStyle} ${style.outlineWidth} ${colour}`,
  seen: top - reach >= 0 && bottom + reach <= innerHeight && left >= 0 && right <= innerWidth && !under(top - reach),
  place: [...document.querySelectorAll("*")].indexOf(one),
};
"""
_REACHABLE = """
const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && !e.disabled && e.tabIndex >= 0;
const all = [...document.querySelectorAll("*")];
return all.flatMap((e, i) => (e.matches("a[href], button, input, select, summary, [tabindex]") && seen(e) ? [i] : []));
"""


class Focus(NamedTuple):
    """`ring`: how the focus is drawn; `seen`: all of it is in the window, under nothing; `place`: in the document."""

    name: str
    ring: str
    seen: bool
    place: int


def press(driver: webdriver.Chrome, *keys: str) -> None:
    """One after another."""
    ActionChains(driver).send_keys(*keys).perform()


def press_with(driver: webdriver.Chrome, held: str, key: str) -> None:
    ActionChains(driver).key_down(held).send_keys(key).key_up(held).perform()


def focused(driver: webdriver.Chrome) -> Focus | None:
    found = driver.execute_script(_FOCUSED)
    return Focus(**found) if found else None


def walk(driver: webdriver.Chrome, *, back: bool = False, most: int = 200) -> Iterator[Focus]:
    """Every stop of the tabulator until it leaves the document."""
    for _ in range(most):
        if back:
            press_with(driver, Keys.SHIFT, Keys.TAB)
        else:
            press(driver, Keys.TAB)
        found = focused(driver)
        if found is None:
            return
        yield found
    raise AssertionError(f"no end after {most} stops")


def reachable(driver: webdriver.Chrome) -> list[int]:
    """The places in the document of all that takes the focus, in reading order."""
    return [int(place) for place in driver.execute_script(_REACHABLE)]


def tab_to(driver: webdriver.Chrome, name: str) -> Focus:
    """Tabs on until the focus is on `name`."""
    for found in walk(driver):
        if found.name == name:
            return found
    raise AssertionError(f"the tabulator never reaches {name}")
