"""Chromium for the tests of the page: skipped with a reason where it is absent, required where CI is set."""

import os
from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.browser.chromium import browsing, missing


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """1280 by 800 CSS pixels, light."""
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"required in CI: {reason}")
        pytest.skip(reason)
    with browsing() as driver:
        yield driver
