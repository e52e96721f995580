"""`python -m tests.browser.screenshots [--into FOLDER]`: the page as people see it, on made-up figures.

Files are named view-WIDTHxHEIGHT-theme.png. The figures are seeded, so that they differ from run to run only by time.
"""

import argparse
import base64
import time
from pathlib import Path
from typing import NamedTuple

from selenium import webdriver

from tests.browser.chromium import browsing, resize
from tests.browser.fake_api import FakeApi, serving
from tests.browser.reading import open_view, text, wait

WIDE = (1280, 800)
NARROW = (390, 844)
SCHEMES = ("light", "dark")
SETTLE_S = 4.0
"""Until charts are drawn and frames were folded in."""
MOST_BYTES = 200_000


class Shot(NamedTuple):
    """One picture: a view at an address path, in a state of the API."""

    view: str
    path: str
    size: tuple[int, int]
    state: str = "load"


VIEWS = (("spend", "/"), ("customer", "/customers/acme"), ("alerts", "/alerts"), ("pipeline", "/pipeline"))
STATES = (("empty", "no_events"), ("disconnected", "disconnected"))
SHOTS = tuple(
    shot
    for size in (WIDE, NARROW)
    for shot in (
        *(Shot(view, path, size) for view, path in VIEWS),
        *(Shot(name, "/", size, state=state) for name, state in STATES),
    )
)


def take(folder: Path) -> list[Path]:
    """Writes the pictures and returns their paths.

    Raises:
        ValueError: a picture is larger than MOST_BYTES.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for scheme in SCHEMES:
        with browsing(dark=scheme == "dark") as driver:
            for shot in SHOTS:
                path = folder / f"{shot.view}-{shot.size[0]}x{shot.size[1]}-{scheme}.png"
                path.write_bytes(_picture(driver, shot))
                paths.append(path)
    if large := [path.name for path in paths if path.stat().st_size > MOST_BYTES]:
        raise ValueError(f"larger than {MOST_BYTES:,} bytes: {', '.join(large)}")
    return paths


def _picture(driver: webdriver.Chrome, shot: Shot) -> bytes:
    resize(driver, *shot.size)
    with serving("load" if shot.state == "disconnected" else shot.state) as (api, address):
        open_view(driver, address, shot.path)
        time.sleep(SETTLE_S)
        if shot.state == "disconnected":
            _disconnect(driver, api)
        image = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": False})
    return base64.b64decode(image["data"])


def _disconnect(driver: webdriver.Chrome, api: FakeApi) -> None:
    api.state = "disconnected"
    wait(driver, "the cut is not told", lambda: "Not connected since" in text(driver, ".strip.bad"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=Path(__file__).parents[2] / "docs" / "screenshots")
    options = parser.parse_args()
    print(f"{len(take(options.into))} screenshots in {options.into}")


if __name__ == "__main__":
    main()
