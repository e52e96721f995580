"""What tests ask of a page: its text, its complaints, and to wait until something holds."""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.support.wait import WebDriverWait

WAIT_S = 15
VIEWS = {"/": "Spend", "/alerts": "Alerts", "/pipeline": "Pipeline"}
UNREAD = re.compile(r"\b(NaN|undefined|null|Infinity|\[object)\b")


def text(driver: webdriver.Chrome, selector: str = "body") -> str:
    """The visible text of the first match, empty if there is none."""
    found = driver.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)
    return str(found)


def texts(driver: webdriver.Chrome, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)"
    return [str(found) for found in driver.execute_script(script, selector)]


def wait(driver: webdriver.Chrome, what: str, holds: Callable[[], object], *, within_s: float = WAIT_S) -> None:
    """Waits until `holds()` is true; fails with `what` and the page's text."""
    try:
        ignored = [StaleElementReferenceException]
        WebDriverWait(driver, within_s, 0.05, ignored_exceptions=ignored).until(lambda _: holds())
    except TimeoutException:
        raise AssertionError(f"{what}; the page says:\n{text(driver)}") from None


def open_view(driver: webdriver.Chrome, address: str, path: str) -> None:
    """Opens a view and waits until nothing in it is loading."""
    driver.get(address + path)
    wait(
        driver, f"{path} does not load", lambda: text(driver, "main") and not texts(driver, "[aria-busy=true], .ghost")
    )


def amount(shown: str) -> Decimal:
    """`$1,043.83` or `USD 1,043.83` as a number."""
    return Decimal(re.sub(r"[^\d.-]", "", shown))


def complaints(driver: webdriver.Chrome) -> list[str]:
    """Console messages since the last call."""
    return [str(entry["message"]) for entry in driver.get_log("browser")]  # type: ignore[no-untyped-call]


def requested_hosts(driver: webdriver.Chrome) -> set[str]:
    """host:port of every request since the last call."""
    hosts = set()
    for entry in driver.get_log("performance"):  # type: ignore[no-untyped-call]
        message = json.loads(str(entry["message"]))["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = urlsplit(message["params"]["request"]["url"])
            if url.scheme in ("http", "https", "ws", "wss"):
                hosts.add(url.netloc)
    return hosts
