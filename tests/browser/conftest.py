"""Chromium for the tests of the page, skipped with a reason where it is absent, and a system for it to look at."""

import os
from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.browser.chromium import browsing, missing
from tests.browser.fake_api import FakeApi, serving
from tests.browser.running import Running, running


@pytest.fixture(scope="session")
def chromium() -> None:
    """It is there; in CI it must be."""
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"required in CI: {reason}")
        pytest.skip(reason)


@pytest.fixture(scope="module")
def browser(chromium: None) -> Iterator[webdriver.Chrome]:
    """1280 by 800 CSS pixels, light."""
    with browsing() as driver:
        yield driver


@pytest.fixture(scope="package")
def stage(chromium: None) -> Iterator[Running]:
    """A running system that rests."""
    with running() as one:
        one.rest()
        yield one


@pytest.fixture(scope="module")
def system(stage: Running) -> Iterator[Running]:
    """A running system with a load."""
    stage.go_on()
    yield stage
    stage.rest()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[FakeApi, str]]:
    """A stand-in for the API, which can be put into any state, and its address."""
    with serving() as one:
        yield one
