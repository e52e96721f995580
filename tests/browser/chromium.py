"""Headless Chromium from Debian's packages, and why it is absent."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SMALLEST_WINDOW = 500
"""Chromium's window is never narrower; narrower screens are emulated."""


def missing() -> str | None:
    """What is not installed, or None."""
    if not any(map(shutil.which, BROWSERS)):
        return "Chromium is not installed (Debian: apt-get install chromium chromium-driver)"
    if not shutil.which("chromedriver"):
        return "chromedriver is not installed (Debian: apt-get install chromium-driver)"
    return None


@contextmanager
def browsing(width: int = 1280, height: int = 800, *, dark: bool = False) -> Iterator[webdriver.Chrome]:
    """A browser whose page has `width` times `height` CSS pixels."""
    options = Options()
    options.binary_location = next(path for path in map(shutil.which, BROWSERS) if path)
    for argument in (
        "--headless=new",
        "--hide-scrollbars",
        "--disable-dev-shm-usage",
        "--force-color-profile=srgb",
        "--lang=en-US",
    ):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        resize(driver, width, height)
        emulate(driver, dark=dark)
        yield driver
    finally:
        driver.quit()


def emulate(driver: webdriver.Chrome, *, dark: bool = False, media: str = "", **features: str) -> None:
    """What the reader prefers; `features` by their names with `_` for `-`. Replaces what was emulated before."""
    named = {"prefers-color-scheme": "dark" if dark else "light"}
    named |= {name.replace("_", "-"): value for name, value in features.items()}
    chosen = [{"name": name, "value": value} for name, value in named.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": chosen})


def touch(driver: webdriver.Chrome, *, on: bool) -> None:
    """Whether the pointer is a finger."""
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": on, "maxTouchPoints": 1})


def resize(driver: webdriver.Chrome, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < SMALLEST_WINDOW}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
