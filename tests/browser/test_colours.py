"""The colours as the browser computes them: the set of each scheme, and its contrast as WCAG 1.4.3 and 1.4.11 ask."""

import re
from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.browser.chromium import emulate
from tests.browser.fake_api import serving
from tests.browser.reading import open_view

SETS = {
    "light": {
        "page": "#F6F7F9", "card": "#FFFFFF", "text": "#161B22", "muted": "#57606A", "accent": "#0B5CAD",
        "on-accent": "#FFFFFF", "good": "#1A6B3C", "good-back": "#E7F4EC", "warning": "#8F6200",
        "warning-back": "#FBF1D9", "bad": "#9B1C1C", "bad-back": "#FBE9E7", "control": "#7D8790", "track": "#E6EAEF",
        "series-1": "#0B5CAD", "series-2": "#7E4F23", "series-3": "#19A266", "series-4": "#AC82B9",
        "series-other": "#6E7378",
    },
    "dark": {
        "page": "#0E1116", "card": "#161B22", "text": "#E8ECF1", "muted": "#9BA5B0", "accent": "#6CB0FF",
        "on-accent": "#0E1116", "good": "#5CC98A", "good-back": "#12301F", "warning": "#E9B04C",
        "warning-back": "#33270F", "bad": "#FF8A80", "bad-back": "#3A1B1A", "control": "#6E7883", "track": "#262D36",
        "series-1": "#6CB0FF", "series-2": "#CFAE53", "series-3": "#498563", "series-4": "#9458A1",
        "series-other": "#B2B7BD",
    },
}  # fmt: skip
TONES = ("good", "warning", "bad")
READ = 4.5
SEEN = 3.0
PAIRS = [
    *((one, ground, READ) for one in ("text", "muted", "accent", *TONES) for ground in ("page", "card")),
    *((one, f"{one}-back", READ) for one in TONES),
    ("on-accent", "accent", READ),
    *(("control", ground, SEEN) for ground in ("page", "card")),
    *((one, "track", SEEN) for one in ("accent", "warning", "bad")),
    *((f"series-{n}", "card", SEEN) for n in (1, 2, 3, 4, "other")),
]  # fmt: skip
COMPUTED = """
return Object.fromEntries(arguments[0].map((name) => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(--${name})`;
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return [name, colour];
}));
"""
Colour = tuple[int, int, int]


@pytest.fixture
def page(browser: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    with serving() as (_, address):
        open_view(browser, address, "/")
        yield browser
        browser.execute_script("localStorage.clear()")
        emulate(browser)


def computed(driver: webdriver.Chrome) -> dict[str, Colour]:
    found: dict[str, str] = driver.execute_script(COMPUTED, list(SETS["light"]))
    return {name: rgb(colour) for name, colour in found.items()}


def rgb(colour: str) -> Colour:
    red, green, blue = map(int, re.findall(r"\d+", colour))
    return red, green, blue


def hexed(colour: str) -> Colour:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def contrast(one: Colour, other: Colour) -> float:
    """As WCAG defines it."""

    def luminance(colour: Colour) -> float:
        parts = [c / 255 for c in colour]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", SETS)
def test_the_set_of_a_scheme_is_computed_and_can_be_told_apart(page: webdriver.Chrome, scheme: str) -> None:
    emulate(page, dark=scheme == "dark")
    colours = computed(page)
    assert colours == {name: hexed(colour) for name, colour in SETS[scheme].items()}
    faint = [(one, ground) for one, ground, least in PAIRS if contrast(colours[one], colours[ground]) < least]
    assert faint == []


@pytest.mark.parametrize("scheme", SETS)
def test_a_chosen_theme_outweighs_the_system(page: webdriver.Chrome, scheme: str) -> None:
    emulate(page, dark=scheme == "light")
    theme = page.find_element("css selector", ".theme")
    while theme.text.lower() != scheme:
        theme.click()
    assert computed(page) == {name: hexed(colour) for name, colour in SETS[scheme].items()}
    page.refresh()
    assert computed(page)["page"] == hexed(SETS[scheme]["page"])
