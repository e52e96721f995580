"""What the browser really transferred, request by request, from its own record of the network."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver


@dataclass
class Transfer:
    """One request and its answer; bytes as they came over the wire."""

    path: str
    status: int = 0
    head_bytes: int = 0
    bytes: int = 0
    """With the head."""
    cached: bool = False
    finished: bool = False

    @property
    def body_bytes(self) -> int:
        return self.bytes - self.head_bytes

    @property
    def is_own_file(self) -> bool:
        """The document or one of the page's files, neither an answer nor the stream."""
        return not self.path.startswith(("/v1/", "/readyz"))


def forget_files(driver: webdriver.Chrome) -> None:
    """As if the page was never visited."""
    driver.execute_cdp_cmd("Network.clearBrowserCache", {})


def throttle(driver: webdriver.Chrome, *, bits_per_s: int, latency_ms: int) -> None:
    """A slow line, both ways; 0 bits per second: as fast as it goes."""
    bytes_per_s = bits_per_s // 8 or -1
    line = {"latency": latency_ms, "downloadThroughput": bytes_per_s, "uploadThroughput": bytes_per_s}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, **line})


class Record:
    """The requests since the record was begun, in their order."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver
        self._found: dict[str, Transfer] = {}
        for _ in _events(driver):
            pass  # what was before

    def read(self) -> list[Transfer]:
        """All so far."""
        for method, event in _events(self._driver):
            if method == "Network.requestWillBeSent":
                self._found[event["requestId"]] = Transfer(urlsplit(event["request"]["url"]).path)
            elif transfer := self._found.get(event.get("requestId", "")):
                _note(transfer, method, event)
        return [one for one in self._found.values() if one.path.startswith("/")]


def _note(transfer: Transfer, method: str, event: dict[str, Any]) -> None:
    if method == "Network.requestServedFromCache":
        transfer.cached = True
    elif method == "Network.responseReceived":
        response = event["response"]
        transfer.status = response["status"]
        transfer.cached |= response.get("fromDiskCache", False) or response.get("fromPrefetchCache", False)
        transfer.head_bytes = transfer.bytes = 0 if transfer.cached else response["encodedDataLength"]
    elif method == "Network.dataReceived":
        transfer.bytes += event["encodedDataLength"]
    elif method == "Network.loadingFinished":
        transfer.finished = True
        if not transfer.cached:
            transfer.bytes = event["encodedDataLength"]


def _events(driver: webdriver.Chrome) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in driver.get_log("performance"):  # type: ignore[no-untyped-call]
        message = json.loads(str(entry["message"]))["message"]
        yield message["method"], message["params"]
